//! `toystore health`: checks one process over HTTP, and reports the result as exit code.
//!
//! A container's health check runs this, because the image has neither a shell nor curl. Kubernetes
//! probes use HTTP directly.

use std::str::FromStr;
use std::time::Duration;

use api::Address;
use http::Uri;
use service::json_client::{JsonClient, RequestPath};
use service::lifecycle::{ExitCode, ExitError};
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use tokio_util::sync::CancellationToken;

/// What to check.
#[derive(Clone, Debug)]
pub struct Config {
    url: ProbeUrl,
    timeout: Duration,
}

/// The settings of `toystore health`.
pub fn settings() -> Vec<Setting> {
    let own = vec![
        Setting::new(
            "HEALTH_URL",
            "http://127.0.0.1:1110/readyz",
            "URL to request; the exit code is 0 if the response is a success",
        )
        .with_flag("url"),
        Setting::new("HEALTH_TIMEOUT_MS", "2000", "Timeout of the request in milliseconds, 1 to 60000")
            .with_flag("timeout-ms"),
    ];
    [own, LogConfig::settings()].concat()
}

impl Config {
    /// Takes the values of the settings.
    pub fn read(values: &mut Values) -> Option<Self> {
        let url = values.required("HEALTH_URL");
        let timeout = values.within("HEALTH_TIMEOUT_MS", 1..=60_000).map(Duration::from_millis);
        Some(Self { url: url?, timeout: timeout? })
    }
}

/// Sends one request. The caller (Docker, Compose) repeats health checks, and decides how many may
/// fail.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), ExitError> {
    let Config { url: ProbeUrl { address, path }, timeout } = config;
    // The path is arbitrary, so the request is counted in no metric.
    let (client, route) = (JsonClient::new(None), RequestPath::filled("", &path));
    let answer = tokio::select! {
        answer = client.probe(&address, route, timeout) => answer,
        () = stop.cancelled() => Err("stopped".to_owned()),
    };
    answer.map_err(|why| ExitError::new(ExitCode::Failure, format!("{}: {why}", address.url(&path))))
}

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ProbeUrl {
    address: Address,
    path: String,
}

impl FromStr for ProbeUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
        match (uri.scheme_str(), uri.host()) {
            (Some("http"), Some(host)) if !host.is_empty() => {
                let address = Address::new(host, uri.port_u16().unwrap_or(80));
                let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
                Ok(Self { address, path })
            }
            _ => Err("it must have the form http://host:port/path".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_parsed() {
        for (text, expected) in [
            ("http://127.0.0.1:1110/readyz", "http://127.0.0.1:1110/readyz"),
            ("http://order-1:1121/readyz?why", "http://order-1:1121/readyz?why"),
            ("http://[::1]:1110/healthz", "http://[::1]:1110/healthz"),
            ("http://frontend", "http://frontend:80/"),
        ] {
            let ProbeUrl { address, path } = text.parse().unwrap();
            assert_eq!(address.url(&path), expected);
        }
        for wrong in [
            "",
            "readyz",
            "/readyz",
            "127.0.0.1:1110",
            "https://127.0.0.1:1110/readyz",
            "http://:1110/readyz",
            "http://a b/",
        ] {
            assert!(wrong.parse::<ProbeUrl>().is_err(), "{wrong:?} is accepted");
        }
    }
}
