//! Traces: the path of an order through the frontend, the order leader and the catalog, for
//! OpenTelemetry.
//!
//! Traces are off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set, and then free: a request costs one
//! read of a static variable, and nothing is allocated. When traces are on, each request on the
//! public port starts a trace or continues the one in its `traceparent` header, and requests to
//! other services made on its behalf carry the header on. Other ports only continue traces: probes,
//! leases and heartbeats have none.
//!
//! A batch serves many orders. Its span is a child of the first traced order, with a link to each
//! of the others.
//!
//! Spans are exported as OTLP over HTTP with JSON, which every collector accepts. The exporter is
//! written here because it needs only a dozen fields of OTLP. The `opentelemetry` crates (0.33,
//! with `opentelemetry-otlp` and `tracing-opentelemetry`) would add 13 crates and an export thread
//! with an HTTP client of its own.
//!
//! Read in this order: `context` (ids and the header), `span` (what is measured), `otlp` (the
//! format), `queue` and `export` (the path to the collector), `config`.
//!
//! # Caveats
//! Every trace is sampled. To get fewer traces, use the sampled flag of the header, or the
//! collector. `tracestate` and baggage are not propagated. Log events are not part of spans. There
//! is no TLS: the collector runs beside the process or behind a service mesh.

mod config;
mod context;
mod export;
mod otlp;
mod queue;
pub(crate) mod span;

pub use config::TraceConfig;
pub use context::TraceContext;
pub use export::Exporter;
pub use span::{Span, current, done, is_on, shared, within};
