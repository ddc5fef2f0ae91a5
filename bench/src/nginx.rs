//! The usual servers of a cached page: nginx that returns a constant, and nginx with a proxy cache
//! in front of the store. Two workers, like the store and the bare hyper server; everything that
//! costs time and is of no use here (the access log, versions in headers) is off.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};

use crate::http;
use crate::hyper_server::{CannedResponse, WORKERS, free_address};

/// A running nginx. It is killed when this is dropped.
pub(crate) struct Nginx {
    /// Where it returns a constant.
    pub(crate) constant: String,
    /// Where it returns what it has cached of the store.
    pub(crate) cache: String,
    _master: Child,
}

impl Nginx {
    /// Starts nginx with its files in `dir`, which is created, and waits until it has cached `path`
    /// of the store's frontend `origin`. The constant is `response`, with its headers.
    ///
    /// # Errors
    /// If nginx is not installed, or returns another body than that of `response`.
    pub(crate) async fn start(dir: &Path, response: &[u8], origin: impl std::fmt::Display, path: &str) -> Result<Self> {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let canned = CannedResponse::parse(response)?;
        let (constant, cache) = (free_address()?.to_string(), free_address()?.to_string());
        let file = dir.join("nginx.conf");
        std::fs::write(&file, configuration(dir, &canned, &constant, &cache, &origin.to_string())?)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir).arg("-c").arg(&file).args(["-e", "error.log"]);
        command.stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        let master = command.spawn().context("cannot start nginx: is it installed?")?;
        let nginx = Self { constant, cache, _master: master };
        for address in [&nginx.constant, &nginx.cache] {
            let received = CannedResponse::parse(&http::fetch_from_started(address, path).await.context("nginx")?)?;
            ensure!(received.body() == canned.body(), "nginx returns another body: {:?}", received.body());
        }
        Ok(nginx)
    }
}

/// The version of the installed nginx, such as `1.22.1`.
pub(crate) async fn version() -> Result<String> {
    let output = Command::new("nginx").arg("-v").stdin(Stdio::null()).output().await;
    let output = output.context("cannot start nginx: is it installed?")?;
    let text = String::from_utf8_lossy(&output.stderr);
    let version = text.trim().strip_prefix("nginx version: nginx/").context("nginx does not print its version")?;
    Ok(version.to_owned())
}

fn configuration(dir: &Path, canned: &CannedResponse, constant: &str, cache: &str, origin: &str) -> Result<String> {
    let quoted = |text: &str| {
        ensure!(!text.contains(['\'', '\\', '$']), "{text:?} would have to be escaped for nginx");
        Ok(format!("'{text}'"))
    };
    let body = quoted(std::str::from_utf8(canned.body())?)?;
    let headers = canned.headers().iter().filter(|(name, _)| *name != hyper::header::CONTENT_TYPE);
    let headers = headers.map(|(name, value)| Ok(format!("add_header {name} {};", quoted(value.to_str()?)?)));
    let headers = headers.collect::<Result<Vec<_>>>()?.join(" ");
    // Its workers have another user than a root's master, and could not enter the directory.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let dir = dir.display();
    Ok(format!(
        "{user}
daemon off;
worker_processes {WORKERS};
pid {dir}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    server_tokens off;
    default_type application/json;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/client_body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    proxy_cache_path {dir}/cache keys_zone=products:1m inactive=1h;
    server {{
        listen {constant};
        location / {{ {headers} return 200 {body}; }}
    }}
    server {{
        listen {cache};
        location / {{
            proxy_pass http://{origin};
            proxy_cache products;
            proxy_cache_valid 200 1h;
            proxy_ignore_headers Cache-Control Expires Set-Cookie;
        }}
    }}
}}
"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_nginx_would_interpret_is_refused() {
        let response = |body: &str| {
            let text = format!("HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            CannedResponse::parse(text.as_bytes()).unwrap()
        };
        let written = |body| configuration(Path::new("/tmp"), &response(body), "a:1", "b:2", "c:3");
        assert!(written("{\"a\":1}").unwrap().contains("add_header x 'y'; return 200 '{\"a\":1}';"));
        assert!(written("{\"a\":\"$b\"}").is_err());
    }
}
