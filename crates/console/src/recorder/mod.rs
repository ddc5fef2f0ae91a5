//! Records the events of a store's processes, for a report of what they did.
//!
//! The followers are those of the console, but read events only. Nothing is made of an event until
//! the report asks for it ([`EventRecorder::between`]).

mod event_log;
mod recorded;

use std::time::Duration;

use service::events::now_us;
use service::json_client::JsonClient;
use service::lifecycle::Task;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::follower::{FollowerContext, Observed, follow};
use crate::source::ProcessAddress;
use event_log::EventLog;
pub use recorded::{MissingEvents, ProcessEvent, RecordedEvents, WhyMissing};

/// The observations that wait: some hundred ms of them under full load. While the queue is full,
/// followers wait.
const OBSERVED_MAX: usize = 4096;

/// How many observations are taken at once.
const PIECE_MAX: usize = 256;

/// Follows processes and keeps their newest events that a person wants to see, and the first batch
/// that each order leader placed. Stops when it is dropped.
#[derive(Debug)]
pub struct EventRecorder {
    log: watch::Sender<EventLog>,
    _tasks: Vec<Task>,
}

impl EventRecorder {
    /// Starts to follow processes. `client` is for their internal ports.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(processes: &[ProcessAddress], client: JsonClient) -> Self {
        let (observed, mut observations) = mpsc::channel::<Observed>(OBSERVED_MAX);
        let context = FollowerContext { client, observed, polling: None };
        let mut tasks: Vec<_> = processes.iter().map(|process| follow(process, &context)).collect();
        let log = watch::Sender::new(EventLog::new(processes));
        let kept = log.clone();
        tasks.push(Task::spawn(async move |stop| {
            let mut piece = Vec::with_capacity(PIECE_MAX);
            while stop.run_until_cancelled(observations.recv_many(&mut piece, PIECE_MAX)).await.is_some_and(|n| n > 0) {
                kept.send_modify(|log| piece.drain(..).for_each(|observed| log.observe(observed, now_us())));
            }
        }));
        Self { log, _tasks: tasks }
    }

    /// What happened from one time to another, in µs since 1970. Events arrive some 10 ms after
    /// they happened.
    pub fn between(&self, from_us: u64, to_us: u64) -> RecordedEvents {
        self.log.borrow().between(from_us, to_us)
    }

    /// Waits until every process is being followed. Returns whether that is so in time.
    pub async fn all_followed(&self, within: Duration) -> bool {
        self.wait_for(within, EventLog::is_following_all).await
    }

    /// Waits until no process is being followed any more: a process that stops first sends what it
    /// has. Returns whether that is so in time.
    pub async fn all_ended(&self, within: Duration) -> bool {
        self.wait_for(within, EventLog::is_following_none).await
    }

    async fn wait_for(&self, within: Duration, is_so: impl Fn(&EventLog) -> bool) -> bool {
        let mut log = self.log.subscribe();
        timeout(within, log.wait_for(is_so)).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use api::event::Event;
    use api::{Address, Ordinal};
    use service::events;
    use service::http::{Limits, Listener, serve};

    use super::*;
    use crate::source::ServiceKind;

    const TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn what_a_process_does_until_it_stops_is_recorded() {
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let process = ProcessAddress {
            name: "order-1".to_owned(),
            service: ServiceKind::Order,
            ordinal: Ordinal(1),
            internal: Address::new("127.0.0.1", listener.address().port()),
            known_as: Vec::new(),
        };
        let port = serve(listener, events::routes(), Limits::default());
        let recorder = EventRecorder::start(&[process], JsonClient::new(None));
        assert!(recorder.all_followed(TIMEOUT).await);
        let from_us = now_us();
        events::emit(Event::FollowsNobody { group: "order".into() });
        let to_us = now_us();
        port.stop().await;
        assert!(recorder.all_ended(TIMEOUT).await);
        let found = recorder.between(from_us, to_us);
        let texts: Vec<_> = found.events.iter().map(|it| it.text.as_str()).collect();
        assert!(texts.contains(&"order-1 follows no leader"), "{found:?}");
        assert_eq!(found.missing, []);
        let later = recorder.between(from_us, now_us()).missing;
        assert_eq!(later.iter().map(|it| it.why).collect::<Vec<_>>(), [WhyMissing::Unreached]);
    }
}
