//! Responses that wait for their clients to read them, bounded in bytes for all connections of a
//! port together.
//!
//! A short response goes into the socket's buffer at once and is then the kernel's. A long one
//! stays in this process until its client has read most of it ([`UNSENT_MAX`]), and each slow
//! client may keep one for [`Limits::write_timeout`](super::Limits). To keep many of them from
//! filling the memory, this module counts what they take: a response once for all clients that
//! share it, and for each of them what the kernel holds. Beyond the limit, it closes the
//! connections whose responses have waited for longest. A client that reads is done within
//! milliseconds and is not among them.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body as _, Frame, SizeHint};
use prometheus::{IntCounter, IntGauge};

use super::connections::CloseSignal;

/// Shorter responses are not counted: an empty socket buffer takes them whole.
const COUNTED_BYTES_MIN: usize = 16 * 1024;

/// The most unsent bytes that the kernel accepts per connection (`TCP_NOTSENT_LOWAT`): enough to
/// keep a connection busy. Without this bound it would accept some MiB for each client that does
/// not read, and these would not be counted.
pub(super) const UNSENT_MAX: u32 = 16 * 1024;

/// The memory of a response in the kernel: [`UNSENT_MAX`], and as much for bookkeeping.
const KERNEL_BYTES: usize = 32 * 1024;

/// The unread responses of one port. Clones share the count.
#[derive(Clone, Debug)]
pub(super) struct UnreadResponses(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes_max: usize,
    metrics: Option<UnreadMetrics>,
    waiting: Mutex<WaitingResponses>,
}

/// The metrics of the unread responses.
#[derive(Clone, Debug)]
pub(super) struct UnreadMetrics {
    pub(super) bytes: IntGauge,
    pub(super) dropped: IntCounter,
}

#[derive(Debug, Default)]
struct WaitingResponses {
    next_id: u64,
    bytes: usize,
    /// By age, the oldest first.
    responses: BTreeMap<u64, WaitingResponse>,
    /// How many responses share each piece of memory.
    shared: HashMap<MemoryRange, usize>,
}

#[derive(Debug)]
struct WaitingResponse {
    memory: MemoryRange,
    connection: Arc<CloseSignal>,
}

/// A piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct MemoryRange {
    begin: usize,
    bytes: usize,
}

impl MemoryRange {
    fn of(bytes: &Bytes) -> Self {
        Self { begin: bytes.as_ptr().addr(), bytes: bytes.len() }
    }
}

impl WaitingResponses {
    fn add(&mut self, response: WaitingResponse) -> u64 {
        let sharing = self.shared.entry(response.memory).or_default();
        self.bytes += KERNEL_BYTES + if *sharing == 0 { response.memory.bytes } else { 0 };
        *sharing += 1;
        let id = self.next_id;
        self.next_id += 1;
        self.responses.insert(id, response);
        id
    }

    /// Stops counting a response, if it is still counted.
    fn remove(&mut self, id: u64) -> Option<WaitingResponse> {
        let response = self.responses.remove(&id)?;
        let sharing = self.shared.get_mut(&response.memory).expect("the memory of a counted response is in the map");
        *sharing -= 1;
        self.bytes -= KERNEL_BYTES;
        if *sharing == 0 {
            self.shared.remove(&response.memory);
            self.bytes -= response.memory.bytes;
        }
        Some(response)
    }
}

impl UnreadResponses {
    /// Allows `bytes_max` bytes, not counting the newest response.
    pub(super) fn new(bytes_max: usize, metrics: Option<UnreadMetrics>) -> Self {
        Self(Arc::new(Shared { bytes_max, metrics, waiting: Mutex::default() }))
    }

    /// Counts `response`, if it is long, until it is written. `connection` is closed if it has to
    /// be dropped.
    pub(super) fn count(&self, response: Response, connection: &Arc<CloseSignal>) -> Response {
        if response.body().size_hint().exact().is_none_or(|bytes| bytes < COUNTED_BYTES_MIN as u64) {
            // A body that is produced while it is sent has at most one piece waiting.
            return response;
        }
        response.map(|body| Body::new(CountedBody { body, port: self.clone(), connection: Arc::clone(connection) }))
    }

    fn begin(&self, bytes: &Bytes, connection: &Arc<CloseSignal>) -> CountGuard {
        let mut waiting = self.0.waiting();
        let id = waiting.add(WaitingResponse { memory: MemoryRange::of(bytes), connection: Arc::clone(connection) });
        while waiting.bytes > self.0.bytes_max
            && let Some((&oldest, _)) = waiting.responses.first_key_value()
            && oldest != id
        {
            let oldest = waiting.remove(oldest).expect("the response was just found");
            oldest.connection.drop_response();
            if let Some(metrics) = &self.0.metrics {
                metrics.dropped.inc();
            }
        }
        self.0.report(&waiting);
        CountGuard { id, shared: Arc::clone(&self.0) }
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, WaitingResponses> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, waiting: &WaitingResponses) {
        if let Some(metrics) = &self.metrics {
            metrics.bytes.set(i64::try_from(waiting.bytes).unwrap_or(i64::MAX));
        }
    }
}

/// Counts a response until it is dropped, together with the last of its bytes.
#[derive(Debug)]
struct CountGuard {
    id: u64,
    shared: Arc<Shared>,
}

impl Drop for CountGuard {
    fn drop(&mut self) {
        let mut waiting = self.shared.waiting();
        // A response that was dropped is no longer counted.
        if waiting.remove(self.id).is_some() {
            self.shared.report(&waiting);
        }
    }
}

/// A body whose bytes are counted from when they are taken for writing until they are dropped.
struct CountedBody {
    body: Body,
    port: UnreadResponses,
    connection: Arc<CloseSignal>,
}

impl hyper::body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let counted = |bytes: Bytes| {
            let guard = self.port.begin(&bytes, &self.connection);
            Bytes::from_owner(CountedBytes { _guard: guard, bytes })
        };
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(counted))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes that are counted exactly as long as they exist: afterwards, the same memory may hold
/// another response.
struct CountedBytes {
    _guard: CountGuard,
    bytes: Bytes,
}

impl AsRef<[u8]> for CountedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn port(bytes_max: usize) -> (UnreadResponses, UnreadMetrics) {
        let bytes = IntGauge::new("bytes", "help").unwrap();
        let metrics = UnreadMetrics { bytes, dropped: IntCounter::new("dropped", "help").unwrap() };
        (UnreadResponses::new(bytes_max, Some(metrics.clone())), metrics)
    }

    /// The bytes of a response while it is being written.
    async fn written(port: &UnreadResponses, bytes: &Bytes) -> (Bytes, Arc<CloseSignal>) {
        let connection = Arc::default();
        let response = port.count(Response::new(Body::from(bytes.clone())), &connection);
        assert_eq!(response.body().size_hint().exact(), Some(bytes.len() as u64), "the length is still known");
        (response.into_body().frame().await.unwrap().unwrap().into_data().unwrap(), connection)
    }

    fn is_dropped(connection: &CloseSignal) -> bool {
        connection.is_response_dropped()
    }

    fn gauged(bytes: usize) -> i64 {
        bytes.try_into().unwrap()
    }

    fn of(bytes: usize) -> Bytes {
        vec![7; bytes].into()
    }

    #[tokio::test]
    async fn the_oldest_unread_responses_are_dropped_and_written_ones_do_not_count() {
        const LONG: usize = 2 * COUNTED_BYTES_MIN;
        let (port, metrics) = port(3 * (LONG + KERNEL_BYTES));
        let (first, second, third) =
            (written(&port, &of(LONG)).await, written(&port, &of(LONG)).await, written(&port, &of(LONG)).await);
        drop(second.0);
        let fourth = written(&port, &of(LONG)).await;
        assert!(!is_dropped(&first.1), "there was room");
        let fifth = written(&port, &of(LONG + 1)).await;
        assert!(is_dropped(&first.1) && is_dropped(&third.1));
        assert!(!is_dropped(&second.1) && !is_dropped(&fourth.1) && !is_dropped(&fifth.1));
        let counts = || (metrics.bytes.get(), metrics.dropped.get());
        assert_eq!(counts(), (gauged(2 * (LONG + KERNEL_BYTES) + 1), 2));
        drop((first, third, fourth, fifth));
        assert_eq!(counts(), (0, 2));
    }

    #[tokio::test]
    async fn a_shared_response_counts_once_and_short_and_the_newest_responses_are_always_written() {
        const LONG: usize = 100 * COUNTED_BYTES_MIN;
        let (port, metrics) = port(LONG + 8 * KERNEL_BYTES);
        let short = written(&port, &of(COUNTED_BYTES_MIN - 1)).await;
        assert_eq!(metrics.bytes.get(), 0);
        let all = of(LONG);
        let mut readers = Vec::new();
        for _ in 0..10 {
            readers.push(written(&port, &all).await);
        }
        assert_eq!(metrics.bytes.get(), gauged(LONG + 8 * KERNEL_BYTES));
        assert_eq!(readers.iter().filter(|(_, dropped)| is_dropped(dropped)).count(), 2);
        let long = written(&port, &of(2 * LONG)).await;
        assert!(readers[2..].iter().all(|(_, dropped)| is_dropped(dropped)));
        assert!(!is_dropped(&short.1) && !is_dropped(&long.1));
        drop((short, readers, long));
        assert_eq!(metrics.bytes.get(), 0);
    }
}
