//! The read index (`ReadIndex`: the Raft thesis, §6.4): confirms with a majority that this replica
//! still leads, once for all requests that wait.
//!
//! A linearizable read needs a round trip to a majority that *begins* after the read did. So one
//! round trip serves all requests that arrived before it began; those that arrive while it is under
//! way are served by the next one.

use api::Term;
use openraft::error::{CheckIsLeaderError, RaftError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::consensus::types::{LogId, Raft};
use crate::error::ProposeError;

/// How often a leader asks its majority for confirmation, one heartbeat's time each: one stalled
/// sync at a follower must not fail the reads.
const CONFIRM_TRIES_MAX: usize = 3;

/// Most requests that wait: as many as there may be connections (`service::http::Limits`). Further
/// requests wait for a slot in the channel.
const WAITERS_MAX: usize = 16_384;

type Waiter = oneshot::Sender<Result<LogId, ProposeError>>;

/// Confirms leadership for all requests of a replica.
pub(crate) struct ReadIndex {
    waiters: mpsc::Sender<Waiter>,
    applied: watch::Receiver<Option<LogId>>,
    stopping: CancellationToken,
}

impl ReadIndex {
    /// Starts the task that makes the round trips. It ends when `stopping` is cancelled.
    pub(crate) fn start(
        raft: Raft,
        applied: watch::Receiver<Option<LogId>>,
        stopping: CancellationToken,
        tasks: &TaskTracker,
    ) -> Self {
        let (waiters, waiting) = mpsc::channel(WAITERS_MAX);
        let answering = async move { answer(waiting, || read_log_id(&raft)).await };
        tasks.spawn(stopping.clone().run_until_cancelled_owned(answering));
        Self { waiters, applied, stopping }
    }

    /// See [`Replica::confirm_leadership`](crate::Replica::confirm_leadership).
    pub(crate) async fn confirm(&self) -> Result<Term, ProposeError> {
        let confirmed = async {
            let (waiter, answer) = oneshot::channel();
            self.waiters.send(waiter).await.map_err(|_| ProposeError::Stopped)?;
            let read_log_id = answer.await.map_err(|_| ProposeError::Stopped)??;
            // Each request waits by itself: a leader that is deposed and cut off may not apply this
            // entry for a long time, and later requests are to be told that it does not lead.
            let mut applied = self.applied.clone();
            let caught_up = applied.wait_for(|applied| *applied >= Some(read_log_id)).await;
            // The first entry of the term or a later one of the same term: both carry the term.
            caught_up.map(|_| Term(read_log_id.leader_id.term)).map_err(|_| ProposeError::Stopped)
        };
        self.stopping.run_until_cancelled(confirmed).await.unwrap_or(Err(ProposeError::Stopped))
    }
}

/// Makes one round trip after the other, each for all that waited when it began.
async fn answer<F: Future<Output = Result<LogId, ProposeError>>>(
    mut waiting: mpsc::Receiver<Waiter>,
    round_trip: impl Fn() -> F,
) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, WAITERS_MAX).await > 0 {
        let answer = round_trip().await;
        for waiter in batch.drain(..) {
            // The client of this waiter may have disconnected.
            let _ = waiter.send(answer.clone());
        }
    }
}

async fn read_log_id(raft: &Raft) -> Result<LogId, ProposeError> {
    let mut tries = CONFIRM_TRIES_MAX;
    loop {
        tries -= 1;
        return match raft.get_read_log_id().await {
            Ok((read_log_id, _)) => Ok(read_log_id.expect("a leader has written its first entry")),
            Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(forward))) => {
                Err(ProposeError::NotLeader { leader: forward.leader_id })
            }
            // No majority answered in time: it leads and they are slow, or it is cut off.
            Err(RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_))) if tries > 0 => continue,
            Err(RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_))) => {
                Err(ProposeError::NotLeader { leader: None })
            }
            Err(RaftError::Fatal(_)) => Err(ProposeError::Stopped),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_round_trip_serves_those_that_waited_when_it_began() {
        let (waiters, waiting) = mpsc::channel(WAITERS_MAX);
        let (begun, may_end) = (Cell::new(0), Semaphore::new(0));
        let answering = answer(waiting, || async {
            begun.set(begun.get() + 1);
            may_end.acquire().await.unwrap().forget();
            Err(ProposeError::Stopped)
        });
        tokio::pin!(answering);
        let ask = || {
            let (waiter, answer) = oneshot::channel();
            waiters.try_send(waiter).unwrap();
            answer
        };
        let mut first = [ask(), ask()];
        assert!(futures::poll!(&mut answering).is_pending());
        let mut late = [ask(), ask(), ask()];
        may_end.add_permits(1);
        assert!(futures::poll!(&mut answering).is_pending());
        assert!(first.iter_mut().all(|answer| answer.try_recv().is_ok()), "the first round trip has ended");
        assert!(late.iter_mut().all(|answer| answer.try_recv().is_err()), "it began before they asked");
        may_end.add_permits(1);
        assert!(futures::poll!(&mut answering).is_pending());
        assert!(late.iter_mut().all(|answer| answer.try_recv().is_ok()), "one round trip for all of them");
        assert_eq!(begun.get(), 2);
    }
}
