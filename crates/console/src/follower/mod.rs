//! Watches one process: its events, its state, and the traffic of a frontend.
//!
//! A follower has one task for its process and shares nothing with the others, so a process that is
//! frozen or dead delays no other. What it sees goes to the merger through a bounded queue. While
//! that is full, the follower waits, and its process counts the events that it could not keep.

mod poll;
mod position;
mod sse;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use api::catalog::LocalStock;
use api::event::{EVENTS_PATH, Recorded};
use api::frontend::CacheContents;
use api::order::LedgerEnd;
use api::replica::ReplicaStatus;
use futures::StreamExt;
use service::backoff::Backoff;
use service::json_client::{JsonClient, RequestPath};
use service::lifecycle::Task;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::source::ProcessAddress;
use crate::traffic::Sample;
use position::{Position, Step};
use sse::Message;

/// The timeout until the head of the stream of events arrives.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);

/// A stream without events has a comment every 5 s. One that is silent for twice as long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(12);

/// Between two attempts to read events. A process that was restarted is back after some 100 ms, and
/// its first events are the most interesting ones. An attempt costs no more than a poll.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(250));

/// What a follower has seen.
#[derive(Debug)]
pub(crate) struct Observed {
    /// The name of the process.
    pub(crate) process: Arc<str>,
    pub(crate) what: Observation,
}

/// See [`Observed`].
#[derive(Debug)]
pub(crate) enum Observation {
    /// The stream of events has begun, or was continued. `restarted`: the process is another start
    /// of it than before; what had not been read of the earlier one is lost.
    Opened { restarted: bool },
    /// The stream of events has ended.
    Closed,
    /// An event. `past`: it happened before the console was started, or before the process was
    /// known.
    Event { recorded: Recorded, past: bool },
    /// Events are missing.
    Missed(u64),
    /// The process said how it is; `None` if it did not answer.
    Polled(Option<Box<Report>>),
    /// A frontend's counters.
    Scraped(Box<Sample>),
}

/// How a process is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Report {
    pub(crate) replica: Option<ReplicaStatus>,
    pub(crate) cache: Option<CacheContents>,
    pub(crate) ledger: Option<LedgerEnd>,
    pub(crate) stock: Option<LocalStock>,
}

/// What all followers share.
#[derive(Clone, Debug)]
pub(crate) struct FollowerContext {
    pub(crate) client: JsonClient,
    pub(crate) observed: mpsc::Sender<Observed>,
    /// What else is read than events, if anything.
    pub(crate) polling: Option<Polling>,
}

/// What a follower reads at intervals.
#[derive(Clone, Debug)]
pub(crate) struct Polling {
    /// After how many orders the ledgers are compared.
    pub(crate) compared_at: watch::Receiver<u64>,
    /// How often a frontend's counters are read.
    pub(crate) scrape_interval: Duration,
}

struct Follower {
    process: ProcessAddress,
    name: Arc<str>,
    context: FollowerContext,
}

/// Watches a process until the task is dropped.
pub(crate) fn follow(process: &ProcessAddress, context: &FollowerContext) -> Task {
    let name = Arc::from(process.name.as_str());
    let follower = Follower { process: process.clone(), name, context: context.clone() };
    Task::spawn(async move |stop| {
        let polls = async {
            if let Some(polling) = &follower.context.polling {
                follower.poll_all(polling).await;
            }
        };
        let all = async { tokio::join!(follower.read_events(), polls) };
        stop.run_until_cancelled(all).await;
    })
}

impl Follower {
    async fn report(&self, what: Observation) {
        // If the merger is gone, the console stops.
        let _ = self.context.observed.send(Observed { process: Arc::clone(&self.name), what }).await;
    }

    async fn read_events(&self) {
        let (mut position, mut backoff) = (Position::default(), BACKOFF);
        loop {
            match self.read_stream(&mut position, &mut backoff).await {
                // Another start of the process: its first events are read at once.
                Ok(()) => continue,
                Err(reason) => tracing::debug!(process = %self.name, reason, "the stream of events ended"),
            }
            self.report(Observation::Closed).await;
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Reads one stream. Returns `Ok` if the process is another one than before.
    async fn read_stream(&self, position: &mut Position, backoff: &mut Backoff) -> Result<(), String> {
        let path = format!("{EVENTS_PATH}?since={}", position.since());
        let route = RequestPath::filled(EVENTS_PATH, &path);
        let body = self.context.client.stream(&self.process.internal, route, OPEN_TIMEOUT).await?;
        let mut messages = pin!(sse::messages(body));
        loop {
            let message = timeout(SILENCE_MAX, messages.next()).await.map_err(|_| "it was silent".to_owned())?;
            let message: Message = message.ok_or_else(|| "it was closed".to_owned())??;
            backoff.reset();
            for step in position.take(&message)? {
                match step {
                    Step::Opened { restarted } => self.report(Observation::Opened { restarted }).await,
                    Step::Restart => return Ok(()),
                    Step::Missed(missed) => self.report(Observation::Missed(missed)).await,
                    Step::Event { recorded, past } => self.report(Observation::Event { recorded, past }).await,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
