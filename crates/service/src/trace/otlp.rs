//! Spans in the JSON encoding of OTLP
//! (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>): ids in hexadecimal, 64-bit
//! numbers as text.

use std::time::UNIX_EPOCH;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::context::TraceContext;

/// The relation of a span to its parent, in the numbers of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanKind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// What is recorded of a span.
#[derive(Debug)]
pub(super) struct SpanData {
    pub(super) context: TraceContext,
    pub(super) parent: Option<u64>,
    pub(super) links: Vec<TraceContext>,
    pub(super) kind: SpanKind,
    pub(super) name: String,
    pub(super) attributes: Vec<(&'static str, String)>,
    /// The HTTP status, for requests.
    pub(super) status: Option<u16>,
    pub(super) failed: bool,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
}

/// An encoded span.
#[derive(Debug)]
pub(super) struct OtlpSpan(pub(super) Value);

impl SpanData {
    pub(super) fn to_otlp(&self, clock: &SpanClock) -> OtlpSpan {
        let mut attributes: Vec<_> = self.attributes.iter().map(|(key, value)| text_attribute(key, value)).collect();
        if let Some(status) = self.status {
            let value = json!({ "intValue": status.to_string() });
            attributes.push(json!({ "key": "http.response.status_code", "value": value }));
        }
        let ids = |context: &TraceContext| {
            let (trace_id, span_id) = (format!("{:032x}", context.trace_id), format!("{:016x}", context.span_id));
            json!({ "traceId": trace_id, "spanId": span_id })
        };
        let mut span = ids(&self.context);
        span["parentSpanId"] = self.parent.map_or_else(String::new, |parent| format!("{parent:016x}")).into();
        span["name"] = self.name.clone().into();
        span["kind"] = (self.kind as u8).into();
        span["startTimeUnixNano"] = clock.unix_ns(self.begun).into();
        span["endTimeUnixNano"] = clock.unix_ns(self.ended).into();
        span["attributes"] = attributes.into();
        span["links"] = self.links.iter().map(ids).collect();
        // 0 is unset, 2 is an error.
        span["status"] = json!({ "code": if self.failed { 2 } else { 0 } });
        OtlpSpan(span)
    }
}

/// An attribute with a text value.
pub(super) fn text_attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// Converts instants to wall-clock time, by which spans of several machines are compared. The wall
/// clock is read once, so no span has a negative duration, however this clock jumps.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpanClock {
    start: Instant,
    start_ns: u128,
}

impl SpanClock {
    pub(super) fn now() -> Self {
        #[expect(clippy::disallowed_types, reason = "spans have wall-clock times, and nothing is decided by them")]
        let since_epoch = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), start_ns: since_epoch.as_nanos() }
    }

    fn unix_ns(&self, at: Instant) -> String {
        (self.start_ns + at.saturating_duration_since(self.start).as_nanos()).to_string()
    }
}
