//! Logs go to standard error: for people on a terminal, or one JSON object a line (`LOG_FORMAT=json`).
//!
//! `LOG_LEVEL` takes a level or `tracing` directives (`info`, `order=debug,info`). A failure is logged once, where it is
//! handled; fields carry their unit in the name (`elapsed_ms`). The consensus engine's own log is off unless it is named
//! (`info,openraft=debug`): what matters of it, the store logs itself.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

use crate::settings::{Setting, Values};

/// How logs look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Human-readable lines.
    #[default]
    Text,
    /// One JSON object a line.
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

/// What to log, and how.
#[derive(Debug)]
pub struct LogConfig {
    format: LogFormat,
    filter: EnvFilter,
}

impl LogConfig {
    /// The settings of every process that logs.
    pub fn settings() -> Vec<Setting> {
        vec![
            Setting::new("LOG_FORMAT", "text", "How logs look: text or json"),
            Setting::new("LOG_LEVEL", "info", "What is logged: a level, or directives such as order=debug,info"),
        ]
    }

    /// Takes the settings' values.
    pub fn read(values: &mut Values) -> Option<Self> {
        let format = values.required("LOG_FORMAT");
        let filter = values.required::<Filter>("LOG_LEVEL");
        Some(Self { format: format?, filter: filter?.0 })
    }
}

/// Directives, with the quiet ones before them: whoever names a target again wins.
struct Filter(EnvFilter);

impl FromStr for Filter {
    type Err = String;
    fn from_str(directives: &str) -> Result<Self, Self::Err> {
        // The parser (tracing-subscriber 0.3.23) panics at some characters of several bytes; no crate's name has any.
        if !directives.is_ascii() {
            return Err("it must be ASCII".to_owned());
        }
        let parsed = EnvFilter::builder().parse(format!("openraft=off,{directives}"));
        parsed.map(Self).map_err(|error| error.to_string())
    }
}

/// Starts logging; once per process.
pub fn start(config: LogConfig) {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(config.filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match config.format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_that_the_parser_would_panic_at_are_refused() {
        assert!("c𝔘=info".parse::<Filter>().is_err());
        assert!("order=debug,info".parse::<Filter>().is_ok());
    }
}
