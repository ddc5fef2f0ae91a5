//! `toystore health`: asks one process how it is, over HTTP, and answers with its own exit code.
//!
//! The image has neither a shell nor curl, so this is what a container's health check runs. Kubernetes asks over HTTP itself.

use std::str::FromStr;
use std::time::Duration;

use api::Address;
use http::Uri;
use service::call::{Caller, Route};
use service::lifecycle::ExitCode;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use tokio_util::sync::CancellationToken;

use crate::cli::Failed;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Config {
    question: Question,
    timeout: Duration,
}

/// The settings of `toystore health`.
pub fn settings() -> Vec<Setting> {
    let own = vec![
        Setting::new(
            "HEALTH_URL",
            "http://127.0.0.1:1110/readyz",
            "What is asked: exit code 0 if it answers with a success",
        )
        .with_flag("url"),
        Setting::new("HEALTH_TIMEOUT_MS", "2000", "How long it may take, 1 to 60000").with_flag("timeout-ms"),
    ];
    [own, LogConfig::settings()].concat()
}

impl Config {
    /// Takes the settings' values.
    pub fn read(values: &mut Values) -> Option<Self> {
        let question = values.required("HEALTH_URL");
        let timeout = values.within("HEALTH_TIMEOUT_MS", 1..=60_000).map(Duration::from_millis);
        Some(Self { question: question?, timeout: timeout? })
    }
}

/// Asks once. Whoever runs health checks repeats them, and says how often one may fail.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Failed> {
    let Config { question: Question { address, path }, timeout } = config;
    // Any path may be asked for, and nobody counts it.
    let (caller, route) = (Caller::new(None), Route::filled("", &path));
    let answer = tokio::select! {
        answer = caller.probe(&address, route, timeout) => answer,
        () = stop.cancelled() => Err("stopped".to_owned()),
    };
    answer.map_err(|why| Failed::new(ExitCode::Failure, format!("{}: {why}", address.url(&path))))
}

/// A URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Question {
    address: Address,
    path: String,
}

impl FromStr for Question {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
        match (uri.scheme_str(), uri.host()) {
            (Some("http"), Some(host)) if !host.is_empty() => {
                let address = Address::new(host, uri.port_u16().unwrap_or(80));
                let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
                Ok(Self { address, path })
            }
            _ => Err("it must look like http://host:port/path".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        for (url, asked) in [
            ("http://127.0.0.1:1110/readyz", "http://127.0.0.1:1110/readyz"),
            ("http://order-1:1121/readyz?why", "http://order-1:1121/readyz?why"),
            ("http://[::1]:1110/healthz", "http://[::1]:1110/healthz"),
            ("http://frontend", "http://frontend:80/"),
        ] {
            let Question { address, path } = url.parse().unwrap();
            assert_eq!(address.url(&path), asked);
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
            assert!(wrong.parse::<Question>().is_err(), "{wrong:?} is taken");
        }
    }
}
