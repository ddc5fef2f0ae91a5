//! The terms of a replica as leader: lead while elected, resign, and pass leadership on at the end.

use std::fmt;
use std::time::Duration;

use api::{Ordinal, Term};
use service::lifecycle::{ExitCode, fatal};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::transfer::LEADERSHIP_TRANSFER_TIMEOUT;
use crate::core::Leadership;
use crate::machine::StateMachine;
use crate::replica::Replica;

/// An engine that did not commit an entry learns within a few heartbeats (100 ms) that it is no
/// longer the leader. If it still leads the same term after this time, it would stay a leader that
/// does not work.
const RESIGN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long [`LeaderWork::drain`] may take when the process stops: far more than a full queue
/// needs. If another service is unavailable, waiting longer would not help.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// What a service does while its replica leads.
pub trait LeaderWork: Send + Sync {
    /// Why the work of a term has ended by itself: a later leader, or an entry that was not
    /// committed.
    type End: fmt::Display + Send + Sync;

    /// This replica does no work of a leader now. `leader` is the other replica that leads, if one
    /// is known. Called before and after each term, and whenever the leader changes.
    fn follow(&self, leader: Option<Ordinal>);

    /// Leads in `term`; returns if that cannot be continued. Called once for each term, so work
    /// that has ended is never started again. Dropped when leadership changes, or when the process
    /// stops and the work is [drained](Self::drain).
    fn lead(&self, term: Term) -> impl Future<Output = Self::End> + Send;

    /// The process stops: accepts nothing new, and returns when everything that was accepted is
    /// finished. Runs concurrently with [`lead`](Self::lead), for 2 s at most.
    fn drain(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Whether this replica may continue to lead `term` although its work has ended. Called every
    /// 5 s until it no longer leads. If not, the process exits, and another replica is elected.
    fn may_lead_idle(&self, _term: Term, _end: &Self::End) -> impl Future<Output = bool> + Send {
        async { false }
    }
}

/// Does the work of a leader in each term in which `replica` leads, until `stop` is cancelled and
/// the current term has ended in good order. Then it transfers leadership to another replica.
pub async fn lead_each_term<M: StateMachine>(replica: Replica<M>, work: impl LeaderWork, stop: CancellationToken) {
    run(replica.leadership(), &work, &stop).await;
    replica.transfer_leadership(LEADERSHIP_TRANSFER_TIMEOUT).await;
}

async fn run(mut leadership: watch::Receiver<Leadership>, work: &impl LeaderWork, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        let now = *leadership.borrow_and_update();
        work.follow(now.other_leader());
        if let Leadership::Leading(term) = now {
            lead(term, &mut leadership, work, stop).await;
        } else {
            stop.run_until_cancelled(changed(&mut leadership, now)).await;
        }
    }
    let now = *leadership.borrow();
    work.follow(now.other_leader());
}

async fn lead(
    term: Term,
    leadership: &mut watch::Receiver<Leadership>,
    work: &impl LeaderWork,
    stop: &CancellationToken,
) {
    let led = Leadership::Leading(term);
    let end = tokio::select! {
        end = work.lead(term) => end,
        () = changed(leadership, led) => return tracing::info!(term = term.0, "no longer the leader"),
        () = drained(work, stop) => return tracing::info!(term = term.0, "stops leading: the process stops"),
    };
    tracing::warn!(term = term.0, "the work of this leader has ended: {end}");
    // The engine will also learn that the term is over.
    let resigned = async {
        while timeout(RESIGN_TIMEOUT, changed(leadership, led)).await.is_err() {
            if !work.may_lead_idle(term, &end).await {
                fatal(ExitCode::Software, format!("{end}, but the engine continues to lead the same term"));
            }
        }
    };
    stop.run_until_cancelled(resigned).await;
}

async fn changed(leadership: &mut watch::Receiver<Leadership>, from: Leadership) {
    leadership.wait_for(|now| *now != from).await.expect("the replica holds the sender");
}

async fn drained(work: &impl LeaderWork, stop: &CancellationToken) {
    stop.cancelled().await;
    if timeout(DRAIN_TIMEOUT, work.drain()).await.is_err() {
        tracing::warn!(timeout_s = DRAIN_TIMEOUT.as_secs(), "some pending work could not be finished in time");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use api::NodeId;
    use tokio::time::{Instant, sleep};

    use super::*;

    /// Records what it is asked; its work takes as long as it says, and is never drained.
    struct Recorder {
        took: Option<Duration>,
        calls: Mutex<Vec<String>>,
    }

    impl Recorder {
        fn call(&self, call: impl Into<String>) {
            self.calls.lock().unwrap().push(call.into());
        }

        fn calls(&self) -> Vec<String> {
            std::mem::take(&mut self.calls.lock().unwrap())
        }
    }

    impl LeaderWork for Recorder {
        type End = &'static str;

        fn follow(&self, leader: Option<Ordinal>) {
            self.call(format!("follow {:?}", leader.map(|leader| leader.0)));
        }

        async fn lead(&self, term: Term) -> &'static str {
            self.call(format!("lead {}", term.0));
            match self.took {
                Some(took) => sleep(took).await,
                None => std::future::pending().await,
            }
            "done"
        }

        async fn drain(&self) {
            self.call("drain");
            std::future::pending::<()>().await;
        }

        async fn may_lead_idle(&self, term: Term, end: &&'static str) -> bool {
            self.call(format!("idle in {} ({end})", term.0));
            true
        }
    }

    /// Runs the loop through these changes of leadership, 12 s each, and stops it. Returns the
    /// calls, and how long it took to stop.
    async fn calls(took: Option<Duration>, leaderships: &[Leadership]) -> (Vec<String>, Duration) {
        let (leadership, receiver) = watch::channel(leaderships[0]);
        let (work, stop) = (Recorder { took, calls: Mutex::default() }, CancellationToken::new());
        let steps = async {
            for now in leaderships {
                leadership.send_replace(*now);
                sleep(Duration::from_secs(12)).await;
            }
            stop.cancel();
            Instant::now()
        };
        let (stopped, ()) = tokio::join!(steps, run(receiver, &work, &stop));
        (work.calls(), stopped.elapsed())
    }

    fn following(ordinal: u8) -> Leadership {
        Leadership::Following { leader: Some(NodeId::new(Ordinal(ordinal), 1)) }
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_begun_in_each_term_and_drained_at_the_end() {
        let terms = [following(2), Leadership::Leading(Term(3)), Leadership::Leading(Term(4))];
        let (calls, stopping) = calls(None, &terms).await;
        let expected = ["follow Some(2)", "follow None", "lead 3", "follow None", "lead 4", "drain", "follow None"]
            .map(str::to_owned);
        assert_eq!(calls, expected);
        assert!(stopping >= DRAIN_TIMEOUT && stopping < 2 * DRAIN_TIMEOUT, "{stopping:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_has_ended_is_not_begun_again_in_its_term() {
        let terms = [Leadership::Leading(Term(3)), following(1), Leadership::Leading(Term(5))];
        let (calls, stopping) = calls(Some(Duration::from_secs(1)), &terms).await;
        let idle = |term: u64| [format!("idle in {term} (done)"), format!("idle in {term} (done)")];
        let mut expected = vec!["follow None".to_owned(), "lead 3".to_owned()];
        expected.extend(idle(3));
        expected.extend(["follow Some(1)", "follow None", "lead 5"].map(str::to_owned));
        expected.extend(idle(5));
        expected.push("follow None".to_owned());
        assert_eq!(calls, expected);
        assert!(stopping < Duration::from_millis(10), "{stopping:?}");
    }
}
