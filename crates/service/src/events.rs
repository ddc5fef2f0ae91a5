//! The protocol events of this process: a bounded ring, and the stream that other processes read.
//!
//! [`emit`] is the only way in. It writes the log line and keeps the event, so that what a person
//! reads in the log is what the console shows. In a simulated [`World`](crate::world::World) the
//! event goes to that world instead of the ring.
//!
//! The ring keeps the newest [`EVENTS_KEPT`] events. Emitting one takes a lock for as long as it
//! takes to move the event into the ring; readers hold the lock only to copy a few events out of
//! it. A reader that falls behind is told how many events it missed, and the connection of one that
//! does not read at all is closed by the port's write timeout.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::ErrorCode;
use api::event::{EVENTS_KEPT, EVENTS_PATH, Event, Gap, Recorded, StreamStart};
use axum::response::sse::{self, Sse};
use axum::routing::get;
use axum::{Extension, Router};
use futures::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::http::{ErrorResponse, PortStop, QueryParams};
use crate::world;

/// How often a stream sends what is new. Under load a stream then sends some hundred events at a
/// time, instead of waking up for each of them.
const SEND_INTERVAL: Duration = Duration::from_millis(20);

/// The most events in one piece of a stream: at most about 100 KiB.
const PIECE_MAX: usize = 256;

/// The most streams at once: a few consoles, and people who look with `curl`.
const STREAMS_MAX: usize = 16;

/// A stream without events sends a comment this often, so that both sides notice a lost connection.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The ring of this process.
static EVENTS: LazyLock<EventLog> = LazyLock::new(EventLog::new);

/// Logs an event, and keeps it for those who watch this process.
pub fn emit(event: Event) {
    event.log();
    match world::current() {
        Some(world) => world.event(event),
        None => EVENTS.push(event),
    }
}

/// The route of the events, for an internal port.
pub fn routes() -> Router {
    Router::new().route(EVENTS_PATH, get(stream_events))
}

/// The newest events of a process.
#[derive(Debug)]
struct EventLog {
    incarnation: u64,
    ring: Mutex<Ring>,
    /// Wakes the readers.
    added: watch::Sender<()>,
    streams: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Recorded>,
    newest: u64,
}

/// What a reader gets at once.
#[derive(Debug, Default, PartialEq)]
struct Piece {
    /// Events that are no longer kept.
    missed: u64,
    events: Vec<Recorded>,
}

impl EventLog {
    fn new() -> Self {
        Self {
            incarnation: world::random() >> 11,
            ring: Mutex::default(),
            added: watch::Sender::new(()),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }

    fn push(&self, event: Event) {
        {
            let mut ring = self.ring();
            ring.newest += 1;
            let recorded = Recorded { sequence: ring.newest, at_us: now_us(), event };
            if ring.events.len() == EVENTS_KEPT {
                ring.events.pop_front();
            }
            ring.events.push_back(recorded);
        }
        if self.added.receiver_count() > 0 {
            self.added.send_replace(());
        }
    }

    /// The events after number `since`, at most [`PIECE_MAX`] of them.
    fn after(&self, since: u64) -> Piece {
        let ring = self.ring();
        let Some(oldest) = ring.events.front().map(|event| event.sequence) else { return Piece::default() };
        let missed = oldest.saturating_sub(since + 1);
        let skipped = usize::try_from((since + 1).saturating_sub(oldest)).unwrap_or(usize::MAX);
        Piece { missed, events: ring.events.iter().skip(skipped).take(PIECE_MAX).cloned().collect() }
    }

    fn start(&self) -> StreamStart {
        StreamStart { incarnation: self.incarnation, newest: self.ring().newest }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // A panic ends the process.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time that an event of now has, in µs since 1970. It jumps when the clock is set.
#[expect(clippy::disallowed_types, reason = "people compare events with logs, and nothing is decided by them")]
pub fn now_us() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// The query of a request for events.
#[derive(Debug, Deserialize)]
struct EventsQuery {
    /// The number of the last event that the reader has. Without it, the stream has new events
    /// only.
    since: Option<u64>,
}

/// Handles `GET /events`.
async fn stream_events(
    Extension(PortStop(stop)): Extension<PortStop>,
    QueryParams(query): QueryParams<EventsQuery>,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, ErrorResponse> {
    let Ok(permit) = Arc::clone(&EVENTS.streams).try_acquire_owned() else {
        return Err(ErrorResponse::new(ErrorCode::Overloaded, format!("{STREAMS_MAX} streams of events are open")));
    };
    let events = follow(&EVENTS, query.since, stop).inspect(move |_| {
        // Given back when the stream is dropped.
        let _ = &permit;
    });
    Ok(Sse::new(events).keep_alive(sse::KeepAlive::new().interval(KEEP_ALIVE)))
}

/// The events after `since`, then new ones until `stop`.
fn follow(
    log: &'static EventLog,
    since: Option<u64>,
    stop: CancellationToken,
) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    let start = log.start();
    let first = stream::iter([message("start", None, &start)]);
    // A number that no event has had yet belongs to another start of the process.
    let since = since.unwrap_or(start.newest);
    let since = if since > start.newest { 0 } else { since };
    let pieces = stream::unfold((since, log.added.subscribe(), stop), async move |(since, mut added, stop)| {
        loop {
            added.mark_unchanged();
            let piece = log.after(since);
            if piece.missed > 0 || !piece.events.is_empty() {
                let since = piece.events.last().map_or(since, |event| event.sequence);
                return Some((piece, (since, added, stop)));
            }
            tokio::select! {
                biased;
                // What has happened until now is still sent.
                () = stop.cancelled() => if log.after(since) == Piece::default() { return None },
                _ = added.changed() => sleep(SEND_INTERVAL).await,
            }
        }
    });
    first.chain(pieces.flat_map(|piece| stream::iter(messages(piece)))).map(Ok)
}

fn messages(Piece { missed, events }: Piece) -> Vec<sse::Event> {
    let gap = (missed > 0).then(|| message("gap", None, &Gap { missed }));
    gap.into_iter().chain(events.iter().map(|event| message("event", Some(event.sequence), event))).collect()
}

fn message(name: &str, id: Option<u64>, data: &impl Serialize) -> sse::Event {
    let message = sse::Event::default().event(name).json_data(data).expect("an event is JSON");
    match id {
        Some(id) => message.id(id.to_string()),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use api::Term;

    use super::*;

    fn leads(term: u64) -> Event {
        Event::Leads { group: "order".into(), term: Term(term) }
    }

    fn log() -> &'static EventLog {
        Box::leak(Box::new(EventLog::new()))
    }

    /// The numbers of the events after `since`, and how many were missed.
    fn after(log: &EventLog, since: u64) -> (u64, Vec<u64>) {
        let piece = log.after(since);
        (piece.missed, piece.events.iter().map(|event| event.sequence).collect())
    }

    #[test]
    fn the_ring_keeps_the_newest_events_and_says_what_is_missing() {
        let log = log();
        assert_eq!(after(log, 0), (0, vec![]));
        (1..=3).for_each(|term| log.push(leads(term)));
        assert_eq!(after(log, 0), (0, vec![1, 2, 3]));
        assert_eq!(after(log, 2), (0, vec![3]));
        assert_eq!(after(log, 3), (0, vec![]));
        (0..EVENTS_KEPT as u64).for_each(|term| log.push(leads(term)));
        let (missed, events) = after(log, 1);
        assert_eq!((missed, events.len(), events[0]), (2, PIECE_MAX, 4));
        assert_eq!(log.ring().events.len(), EVENTS_KEPT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_has_what_is_kept_and_then_what_happens_until_the_process_stops() {
        let log = log();
        log.push(leads(1));
        let stop = CancellationToken::new();
        let mut stream = Box::pin(follow(log, Some(0), stop.clone()));
        let mut next = async || stream.next().await.map(|message| format!("{message:?}"));
        assert!(next().await.unwrap().contains("newest"));
        assert!(next().await.unwrap().contains("term"));
        let (second, ()) = tokio::join!(next(), async { log.push(leads(2)) });
        assert!(second.unwrap().contains("id: 2"));
        stop.cancel();
        assert_eq!(next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_happened_just_before_the_stop_is_sent() {
        let log = log();
        let stop = CancellationToken::new();
        let mut stream = Box::pin(follow(log, None, stop.clone()));
        let mut next = async || stream.next().await.map(|message| format!("{message:?}"));
        assert!(next().await.unwrap().contains("newest"));
        let (last, ()) = tokio::join!(next(), async {
            log.push(leads(1));
            stop.cancel();
        });
        assert!(last.unwrap().contains("id: 1"));
        assert_eq!(next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_of_another_start_of_the_process_gets_everything() {
        let log = log();
        log.push(leads(1));
        let stop = CancellationToken::new();
        stop.cancel();
        let messages: Vec<_> = follow(log, Some(100), stop).collect().await;
        assert_eq!(messages.len(), 2, "the start, and the event");
    }
}
