//! The bounded queue between ended spans and the task that exports them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::otlp::{OtlpSpan, SpanClock, SpanData};

/// Spans in the queue. A span that does not fit is dropped: a collector that is down must cost
/// neither time nor memory.
const QUEUE_SPANS: usize = 4096;

/// The sending end of the queue.
#[derive(Clone, Debug)]
pub(super) struct SpanQueue {
    spans: mpsc::Sender<OtlpSpan>,
    dropped: Arc<AtomicU64>,
    clock: SpanClock,
}

impl SpanQueue {
    /// The queue, its receiving end, and the number of spans dropped so far.
    pub(super) fn new() -> (Self, mpsc::Receiver<OtlpSpan>, Arc<AtomicU64>) {
        let (spans, ended) = mpsc::channel(QUEUE_SPANS);
        let dropped = Arc::new(AtomicU64::new(0));
        (Self { spans, dropped: Arc::clone(&dropped), clock: SpanClock::now() }, ended, dropped)
    }

    /// Queues a span that has ended.
    pub(super) fn send(&self, span: &SpanData) {
        if self.spans.try_send(span.to_otlp(&self.clock)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
