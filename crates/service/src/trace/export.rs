//! The way of ended spans to the collector: a bounded queue, a task, one request per second at most under little load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use axum::http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Content, Context, Endpoint};
use crate::http::{Client, ClientOptions, Outgoing, Payload};

/// Spans that wait; what does not fit is dropped: a collector that is away must cost neither time nor memory.
const QUEUE_SPANS: usize = 4096;
/// Spans in one request: some 300 KiB.
const BATCH_SPANS: usize = 512;
/// How long the first span of a request waits for more.
const GATHER: Duration = Duration::from_secs(1);
/// For one request to the collector.
const TIMEOUT: Duration = Duration::from_secs(5);
/// For the last spans of a process that ends.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);
/// An answer says nothing that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where ended spans are handed in.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    spans: mpsc::Sender<Ended>,
    dropped: Arc<AtomicU64>,
    clock: Clock,
}

impl Sender {
    pub(super) fn send(&self, span: Ended) {
        if self.spans.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Turns instants into the wall clock's time, which spans of several machines are compared by. It is looked at once: a span is never
/// negative, however that clock jumps.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Instant,
    start_ns: u128,
}

impl Clock {
    fn now() -> Self {
        #[expect(clippy::disallowed_types, reason = "spans bear the wall clock's time, and nothing is decided by it")]
        let since_epoch = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), start_ns: since_epoch.as_nanos() }
    }

    fn unix_ns(&self, at: Instant) -> String {
        (self.start_ns + at.saturating_duration_since(self.start).as_nanos()).to_string()
    }
}

/// A span that has ended, as OTLP's JSON (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>): ids in hexadecimal, 64-bit numbers
/// as text.
#[derive(Debug)]
pub(super) struct Ended(Value);

impl Ended {
    pub(super) fn of(span: &Content) -> Self {
        let clock = &span.to.clock;
        let mut attributes: Vec<_> = span.attributes.iter().map(|(key, value)| text(key, value)).collect();
        if let Some(status) = span.status {
            let value = json!({ "intValue": status.to_string() });
            attributes.push(json!({ "key": "http.response.status_code", "value": value }));
        }
        let ids = |context: &Context| {
            let (trace_id, span_id) = (format!("{:032x}", context.trace_id), format!("{:016x}", context.span_id));
            json!({ "traceId": trace_id, "spanId": span_id })
        };
        let mut ended = ids(&span.context);
        ended["parentSpanId"] = span.parent.map_or_else(String::new, |parent| format!("{parent:016x}")).into();
        ended["name"] = span.name.clone().into();
        ended["kind"] = (span.kind as u8).into();
        ended["startTimeUnixNano"] = clock.unix_ns(span.begun).into();
        ended["endTimeUnixNano"] = clock.unix_ns(span.ended).into();
        ended["attributes"] = attributes.into();
        ended["links"] = span.links.iter().map(ids).collect();
        // 0 is unset, 2 is an error.
        ended["status"] = json!({ "code": if span.failed { 2 } else { 0 } });
        Self(ended)
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// The export of this process's spans.
#[derive(Debug)]
pub struct Exporter(Option<(CancellationToken, JoinHandle<()>)>);

impl Exporter {
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Sends what has ended, and ends.
    pub async fn stop(self) {
        if let Some((stop, task)) = self.0 {
            stop.cancel();
            // A collector that does not answer gets no more.
            let _ = timeout(LAST_TIMEOUT, task).await;
        }
    }
}

pub(super) fn start(endpoint: Endpoint, component: &str) -> (Sender, Exporter) {
    let (spans, ended) = mpsc::channel(QUEUE_SPANS);
    let (stop, dropped) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let options = ClientOptions { connect_timeout: TIMEOUT, keepalive: None, token: None, headers: HeaderMap::new() };
    let client = Client::new(options).expect("an HTTP client can be made");
    tracing::info!(collector = %endpoint.address, "traces are exported");
    let export = Export {
        path: format!("{}/v1/traces", endpoint.base),
        endpoint,
        client,
        resource: json!({
            "attributes": [
                text("service.name", &format!("toystore-{component}")),
                text("service.version", env!("CARGO_PKG_VERSION")),
                text("service.instance.id", &crate::world::random_uuid().to_string()),
            ],
        }),
        dropped: Arc::clone(&dropped),
        lost: 0,
    };
    let task = tokio::spawn(export.run(ended, stop.clone()));
    (Sender { spans, dropped, clock: Clock::now() }, Exporter(Some((stop, task))))
}

struct Export {
    endpoint: Endpoint,
    path: String,
    client: Client,
    resource: Value,
    dropped: Arc<AtomicU64>,
    /// How many were lost when it was last told.
    lost: u64,
}

impl Export {
    async fn run(mut self, mut ended: mpsc::Receiver<Ended>, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                _ = ended.recv_many(&mut batch, BATCH_SPANS) => {}
                () = stop.cancelled() => break,
            }
            let until = Instant::now() + GATHER;
            while batch.len() < BATCH_SPANS && !stop.is_cancelled() {
                let room = BATCH_SPANS - batch.len();
                tokio::select! {
                    more = timeout_at(until, ended.recv_many(&mut batch, room)) => if more.is_err() { break },
                    () = stop.cancelled() => {}
                }
            }
            self.send(std::mem::take(&mut batch)).await;
        }
        while let Ok(span) = ended.try_recv() {
            batch.push(span);
        }
        if !batch.is_empty() {
            self.send(batch).await;
        }
    }

    async fn send(&mut self, batch: Vec<Ended>) {
        let count = batch.len() as u64;
        let spans: Vec<_> = batch.into_iter().map(|Ended(span)| span).collect();
        let scope = json!({ "name": "toystore", "version": env!("CARGO_PKG_VERSION") });
        let body = json!({
            "resourceSpans": [{ "resource": self.resource, "scopeSpans": [{ "scope": scope, "spans": spans }] }],
        });
        let json = HeaderValue::from_static("application/json");
        let request = Outgoing {
            method: Method::POST,
            path: &self.path,
            route: "/v1/traces",
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
            body: Payload::Whole(body.to_string().into()),
            timeout: Some(TIMEOUT),
            answer_max: ANSWER_BYTES_MAX,
        };
        let refusal = match self.client.send(&self.endpoint.address, request).await {
            Ok((status, _)) if status.is_success() => None,
            Ok((status, _)) => Some(format!("it answers {status}")),
            Err(error) => Some(error.to_string()),
        };
        let lost = self.dropped.fetch_add(if refusal.is_some() { count } else { 0 }, Ordering::Relaxed);
        let lost = lost + if refusal.is_some() { count } else { 0 };
        if lost > self.lost {
            let why = refusal.as_deref().unwrap_or("more spans than are sent");
            tracing::warn!(collector = %self.endpoint.address, spans = lost - self.lost, why, "spans are lost");
            self.lost = lost;
        }
    }
}
