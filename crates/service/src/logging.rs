//! Logs go to standard error: as text for people, or as one JSON object per line
//! (`LOG_FORMAT=json`).
//!
//! `LOG_LEVEL` takes a level or `tracing` directives (`info`, `order=debug,info`). A failure is
//! logged once, where it is handled. Names of fields end with their unit (`elapsed_ms`).
//! [`is_colored`] decides about colors.
//!
//! Two logs are off unless a directive names them: that of the consensus engine
//! (`info,openraft=debug`), and that of the Kubernetes client (`kube_client::client=debug`), which
//! has an ERROR for each retry. What matters of them, the store logs itself.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

use crate::settings::{Setting, Values};

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Human-readable lines.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("it must be text or json"),
        }
    }
}

/// What is logged, and how.
#[derive(Debug)]
pub struct LogConfig {
    format: LogFormat,
    filter: EnvFilter,
}

impl LogConfig {
    /// The settings of every process that logs.
    pub fn settings() -> Vec<Setting> {
        Self::settings_with("info")
    }

    /// The same settings with another default level.
    pub fn settings_with(level: &'static str) -> Vec<Setting> {
        vec![
            Setting::new("LOG_FORMAT", "text", "Format of log lines: text or json"),
            Setting::new("LOG_LEVEL", level, "Log level, or directives such as order=debug,info"),
        ]
    }

    /// Reads the settings.
    pub fn read(values: &mut Values) -> Option<Self> {
        let format = values.required("LOG_FORMAT");
        let filter = values.required::<Filter>("LOG_LEVEL");
        Some(Self { format: format?, filter: filter?.0 })
    }
}

/// Targets that are off unless a later directive names them.
const QUIET: &str = "openraft=off,kube_client::client=off,kube_client::client::tls=warn";

/// The filter of the given directives, preceded by [`QUIET`].
struct Filter(EnvFilter);

impl FromStr for Filter {
    type Err = String;
    fn from_str(directives: &str) -> Result<Self, Self::Err> {
        // The parser (tracing-subscriber 0.3.23) panics on some multi-byte characters, which no
        // crate's name has.
        if !directives.is_ascii() {
            return Err("it must be ASCII".to_owned());
        }
        let parsed = EnvFilter::builder().parse(format!("{QUIET},{directives}"));
        parsed.map(Self).map_err(|error| error.to_string())
    }
}

/// Starts logging. Call this once per process.
pub fn start(config: LogConfig) {
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(config.filter).with_writer(std::io::stderr).with_ansi(is_colored());
    match config.format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
}

/// Whether logs are colored: on a terminal, or if `CLICOLOR_FORCE` is set, as by a process that
/// passes the lines on to a terminal. `NO_COLOR` switches colors off (<https://no-color.org>,
/// <https://bixense.com/clicolors>).
pub fn is_colored() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && (std::io::stderr().is_terminal() || is_set("CLICOLOR_FORCE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retrying_client_does_not_log_each_attempt_unless_it_is_named() {
        for (directives, is_heard) in [("info", false), ("warn,kube_client::client=debug", true)] {
            let filter = directives.parse::<Filter>().map(|filter| filter.0).unwrap();
            let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::sink).finish();
            tracing::subscriber::with_default(subscriber, || {
                assert_eq!(tracing::enabled!(target: "kube_client::client::builder", tracing::Level::ERROR), is_heard);
                assert!(tracing::enabled!(target: "kube_client::client::tls", tracing::Level::WARN));
                assert!(tracing::enabled!(target: "discovery", tracing::Level::WARN));
            });
        }
    }

    #[test]
    fn directives_on_which_the_parser_would_panic_are_refused() {
        assert!("c𝔘=info".parse::<Filter>().is_err());
        assert!("order=debug,info".parse::<Filter>().is_ok());
    }
}
