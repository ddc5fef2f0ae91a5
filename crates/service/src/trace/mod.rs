//! Traces: one order's way through the frontend, the order leader and the catalog, as OpenTelemetry shows it.
//!
//! Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set, and then free: a request costs one look at a static variable, nothing is allocated.
//! Switched on, each request on the public port begins a trace, or goes on with the one in its `traceparent`; requests to other services
//! made on its behalf carry the header on. Other ports only go on with traces: probes, leases and heartbeats have none.
//!
//! A batch serves many orders. Its span is a child of the first traced one, and has a link to each of the others.
//!
//! Spans go out as OTLP over HTTP with JSON, which every collector takes. It is written here: what is wanted of it is a dozen fields, while
//! the `opentelemetry` crates (0.33, with `opentelemetry-otlp` and `tracing-opentelemetry`) are 13 crates more, and an export thread
//! with an HTTP client of its own.
//!
//! # What it does not do
//! It samples nothing away: whoever wants fewer traces says so in the header's flag, or in the collector. `tracestate` and baggage are not
//! carried on. Events of the log are not part of spans. There is no TLS: the collector is beside the process, or behind a mesh.

mod context;
mod export;

use std::sync::OnceLock;

use api::Address;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tokio::time::Instant;

pub use context::Context;
pub use export::Exporter;

use crate::settings::{Setting, Values};

/// The header of W3C Trace Context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where this process's spans go; empty if nobody wants them.
static EXPORT: OnceLock<export::Sender> = OnceLock::new();

tokio::task_local! {
    /// On whose behalf this task works just now.
    static CURRENT: Context;
}

/// A collector, if there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceConfig(Option<Endpoint>);

/// Where a collector listens: the base of its OTLP paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    address: Address,
    base: String,
}

impl TraceConfig {
    /// The setting of every process that takes part in traces.
    pub fn settings() -> Vec<Setting> {
        let help = "Collector that gets traces as OTLP over HTTP, such as http://localhost:4318 [default: no traces]";
        vec![Setting::optional("OTEL_EXPORTER_OTLP_ENDPOINT", help)]
    }

    /// Takes the setting's value.
    pub fn read(values: &mut Values) -> Self {
        Self(values.optional::<Endpoint>("OTEL_EXPORTER_OTLP_ENDPOINT"))
    }

    /// Begins to export, under the name `toystore-<component>`; once per process, within its runtime.
    pub fn start(self, component: &str) -> Exporter {
        let Some(endpoint) = self.0 else { return Exporter::none() };
        let (sender, exporter) = export::start(endpoint, component);
        assert!(EXPORT.set(sender).is_ok(), "traces are started once per process");
        exporter
    }
}

impl std::str::FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "it must be a URL such as http://localhost:4318, without a query";
        let uri: Uri = text.parse().map_err(|_| WANTED)?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("http") && uri.query().is_none()).ok_or(WANTED)?;
        let base = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { address: Address::new(host, uri.port_u16().unwrap_or(4318)), base })
    }
}

/// What a span is to its parent, in the numbers of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// One thing that takes its time. It ends when it is dropped; without an outcome it counts as given up.
#[derive(Debug)]
pub struct Span(Box<Content>);

#[derive(Debug)]
struct Content {
    context: Context,
    parent: Option<u64>,
    links: Vec<Context>,
    kind: Kind,
    name: String,
    attributes: Vec<(&'static str, String)>,
    status: Option<u16>,
    failed: bool,
    begun: Instant,
    ended: Instant,
    to: &'static export::Sender,
}

impl Span {
    fn begin(context: Context, parent: Option<u64>, kind: Kind, name: String) -> Option<Self> {
        let to = EXPORT.get().filter(|_| context.sampled)?;
        let (links, attributes, begun) = (Vec::new(), Vec::new(), Instant::now());
        // Until it is known better.
        let (status, failed, ended) = (None, true, begun);
        Some(Self(Box::new(Content {
            context,
            parent,
            links,
            kind,
            name,
            attributes,
            status,
            failed,
            begun,
            ended,
            to,
        })))
    }

    /// What its children are children of.
    pub fn context(&self) -> Context {
        self.0.context
    }

    /// What a request says whose receiver works for this span.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.context.header()
    }

    /// It came to an end: with a status, for requests.
    pub(crate) fn answered(mut self, status: u16) {
        // A client's mistake is no failure of the server's.
        let failing = if self.0.kind == Kind::Client { 400 } else { 500 };
        (self.0.status, self.0.failed) = (Some(status), status >= failing);
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.ended = Instant::now();
        self.to.send(export::Ended::of(self));
    }
}

/// `span` came to a good end.
pub fn done(span: Option<Span>) {
    if let Some(mut span) = span {
        span.0.failed = false;
    }
}

/// Whether anybody wants traces.
pub fn is_on() -> bool {
    EXPORT.get().is_some()
}

/// On whose behalf this task works, if that is traced.
pub fn current() -> Option<Context> {
    if is_on() { CURRENT.try_get().ok() } else { None }
}

/// Works on behalf of `span`; its children are those of the requests made meanwhile.
pub async fn within<T>(span: Option<&Span>, work: impl Future<Output = T>) -> T {
    match span {
        Some(span) => CURRENT.scope(span.context(), work).await,
        None => work.await,
    }
}

/// A request that came in. `begins`: whether a request without a trace begins one.
pub(crate) fn serve(headers: &HeaderMap, method: &Method, route: &str, begins: bool) -> Option<Span> {
    let parent = headers.get(TRACEPARENT).and_then(|header| Context::parse(header.to_str().ok()?));
    let context = match parent {
        Some(parent) => parent.child(),
        None if begins => Context::root(),
        None => return None,
    };
    let mut span =
        Span::begin(context, parent.map(|parent| parent.span_id), Kind::Server, format!("{method} {route}"))?;
    span.0.attributes = vec![("http.request.method", method.to_string()), ("http.route", route.to_owned())];
    Some(span)
}

/// A request to another process, on behalf of this task.
pub(crate) fn call(method: &Method, route: &str, target: &str) -> Option<Span> {
    let parent = current()?;
    let mut span = Span::begin(parent.child(), Some(parent.span_id), Kind::Client, format!("{method} {route}"))?;
    span.0.attributes = vec![("http.request.method", method.to_string()), ("peer.service", target.to_owned())];
    Some(span)
}

/// Work for several at once: a child of the first, with links to the others.
pub fn shared(name: &str, on_behalf_of: impl IntoIterator<Item = Context>) -> Option<Span> {
    let mut sampled = on_behalf_of.into_iter().filter(|context| context.sampled);
    let parent = sampled.next()?;
    let mut span = Span::begin(parent.child(), Some(parent.span_id), Kind::Internal, name.to_owned())?;
    span.0.links = sampled.collect();
    Some(span)
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

    #[tokio::test]
    async fn without_a_collector_nothing_is_traced() {
        assert!(!is_on() && current().is_none());
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, Context::root().header());
        assert!(serve(&headers, &Method::GET, "/", true).is_none());
        assert!(shared("reserve", [Context::root()]).is_none());
        assert_eq!(within(None, async { current() }).await, None);
    }
}
