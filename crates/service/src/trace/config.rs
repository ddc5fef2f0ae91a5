//! Where traces go: the setting, and starting the export.

use std::str::FromStr;

use api::Address;
use axum::http::Uri;

use super::export::{self, Exporter};
use super::span;
use crate::settings::{Setting, Values};

/// The collector, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceConfig(Option<Endpoint>);

/// Where a collector listens: its address, and the base of its OTLP paths.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Endpoint {
    address: Address,
    base: String,
}

impl TraceConfig {
    /// The setting of every process that takes part in traces.
    pub fn settings() -> Vec<Setting> {
        let help = "Collector for traces as OTLP over HTTP, such as http://localhost:4318 [default: no traces]";
        vec![Setting::optional("OTEL_EXPORTER_OTLP_ENDPOINT", help)]
    }

    /// Reads the setting.
    pub fn read(values: &mut Values) -> Self {
        Self(values.optional::<Endpoint>("OTEL_EXPORTER_OTLP_ENDPOINT"))
    }

    /// Starts the export under the name `toystore-<component>`. Call this once per process, within
    /// its runtime.
    pub fn start(self, component: &str) -> Exporter {
        let Some(Endpoint { address, base }) = self.0 else { return Exporter::none() };
        let (queue, exporter) = export::start(address, &base, component);
        span::export_to(queue);
        exporter
    }
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "it must be a URL such as http://localhost:4318, without a query";
        let uri: Uri = text.parse().map_err(|_| WANTED)?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("http") && uri.query().is_none()).ok_or(WANTED)?;
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { address: Address::new(host, uri.port_u16().unwrap_or(4318)), base })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_named_by_its_url() {
        let endpoint = |host, port, base: &str| Endpoint { address: Address::new(host, port), base: base.to_owned() };
        assert_eq!("http://otel:4318".parse(), Ok(endpoint("otel", 4318, "")));
        assert_eq!("http://otel".parse(), Ok(endpoint("otel", 4318, "")));
        assert_eq!("http://127.0.0.1:80/base/".parse(), Ok(endpoint("127.0.0.1", 80, "/base")));
        for bad in ["", "otel:4318", "https://otel:4318", "http://otel/?a=b", "ftp://otel"] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad}");
        }
    }
}
