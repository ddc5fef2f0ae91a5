//! The task that sends ended spans to the collector: at low load, at most one request per second.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::Address;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::otlp::{OtlpSpan, text_attribute};
use super::queue::SpanQueue;
use crate::http::{Client, ClientOptions, ClientRequest, Payload};

/// Spans in one request: some 300 KiB.
const BATCH_SPANS: usize = 512;
/// How long the first span of a request waits for more spans.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// The timeout of one request to the collector.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a process that stops waits until its last spans are sent.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest response that is read, in bytes. Its content is ignored.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// The export of this process's spans.
#[derive(Debug)]
pub struct Exporter(Option<(CancellationToken, JoinHandle<()>)>);

impl Exporter {
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// Sends the spans that have ended, and stops.
    pub async fn stop(self) {
        if let Some((stop, task)) = self.0 {
            stop.cancel();
            // Spans that a slow collector has not received by then are lost.
            let _ = timeout(STOP_TIMEOUT, task).await;
        }
    }
}

/// Starts the export to the collector at `address`, whose OTLP paths begin with `base`.
pub(super) fn start(address: Address, base: &str, component: &str) -> (SpanQueue, Exporter) {
    let (queue, ended, dropped) = SpanQueue::new();
    let stop = CancellationToken::new();
    let options = ClientOptions { connect_timeout: TIMEOUT, keepalive: None, token: None, headers: HeaderMap::new() };
    let client = Client::new(options);
    tracing::info!(collector = %address, "exporting traces");
    let export = ExportTask {
        path: format!("{base}/v1/traces"),
        collector: address,
        client,
        resource: json!({
            "attributes": [
                text_attribute("service.name", &format!("toystore-{component}")),
                text_attribute("service.version", env!("CARGO_PKG_VERSION")),
                text_attribute("service.instance.id", &crate::world::random_uuid().to_string()),
            ],
        }),
        dropped,
        reported: 0,
    };
    let task = tokio::spawn(export.run(ended, stop.clone()));
    (queue, Exporter(Some((stop, task))))
}

struct ExportTask {
    collector: Address,
    path: String,
    client: Client,
    resource: Value,
    dropped: Arc<AtomicU64>,
    /// The number of lost spans in the last warning.
    reported: u64,
}

impl ExportTask {
    async fn run(mut self, mut ended: mpsc::Receiver<OtlpSpan>, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                _ = ended.recv_many(&mut batch, BATCH_SPANS) => {}
                () = stop.cancelled() => break,
            }
            let until = Instant::now() + BATCH_DELAY;
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

    async fn send(&mut self, batch: Vec<OtlpSpan>) {
        let count = batch.len() as u64;
        let spans: Vec<_> = batch.into_iter().map(|OtlpSpan(span)| span).collect();
        let scope = json!({ "name": "toystore", "version": env!("CARGO_PKG_VERSION") });
        let body = json!({
            "resourceSpans": [{ "resource": self.resource, "scopeSpans": [{ "scope": scope, "spans": spans }] }],
        });
        let json = HeaderValue::from_static("application/json");
        let request = ClientRequest {
            method: Method::POST,
            path: &self.path,
            route: "/v1/traces",
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
            body: Payload::Whole(body.to_string().into()),
            timeout: Some(TIMEOUT),
            response_bytes_max: RESPONSE_BYTES_MAX,
            hedge: None,
        };
        let refusal = match self.client.send(&self.collector, request).await {
            Ok((status, _)) if status.is_success() => None,
            Ok((status, _)) => Some(format!("it answered {status}")),
            Err(error) => Some(error.to_string()),
        };
        let lost = self.dropped.fetch_add(if refusal.is_some() { count } else { 0 }, Ordering::Relaxed);
        let lost = lost + if refusal.is_some() { count } else { 0 };
        if lost > self.reported {
            let reason = refusal.as_deref().unwrap_or("spans end faster than they are sent");
            tracing::warn!(collector = %self.collector, spans = lost - self.reported, reason, "lost spans");
            self.reported = lost;
        }
    }
}
