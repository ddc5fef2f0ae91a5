//! What a follower does with a leader's append before and after openraft: it drops entries that its
//! disk has no space for, refuses a leader that has lost acknowledged entries, and answers only
//! once the entries are on disk.

use openraft::error::RaftError;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use service::lifecycle::{ExitCode, fatal};
use tokio::time::sleep;

use super::types::{Fatal, Types, position};
use crate::core::Core;
use crate::disk_space::SpaceLevel;
use crate::membership::progress::ReplicaProgress;

type AppendResponse = AppendEntriesResponse<api::NodeId>;
type Error = RaftError<api::NodeId>;

impl Core {
    /// Appends what the leader sends. If the disk is full, only the commits are taken, so the
    /// leader still learns that it is followed.
    ///
    /// `None` if the disk has no space for the first entries of all: openraft has no answer for
    /// "nothing at all matches".
    pub(crate) async fn append_entries(
        &self,
        mut request: AppendEntriesRequest<Types>,
    ) -> Result<Option<AppendResponse>, Error> {
        if self.disk_space.level() > SpaceLevel::Full || request.entries.is_empty() {
            return self.append_flushed(request).await.map(Some);
        }
        let before = request.prev_log_id;
        request.entries.clear();
        let answer = self.append_flushed(request).await?;
        // Without a pause the leader would offer the entries again at once.
        sleep(self.config.timing.heartbeat / 2).await;
        Ok(match answer {
            AppendEntriesResponse::Success => before.map(|before| AppendEntriesResponse::PartialSuccess(Some(before))),
            other => Some(other),
        })
    }

    /// Appends what the leader sends, and returns the answer once all entries that it acknowledges
    /// are on disk. openraft counts entries as flushed as soon as they are queued.
    pub(crate) async fn append_flushed(&self, request: AppendEntriesRequest<Types>) -> Result<AppendResponse, Error> {
        let sent = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        let (leader, committed) = (request.vote.leader_id, request.leader_commit);
        self.check_history(&request).await?;
        let answer = self.raft.append_entries(request).await?;
        let matching = match &answer {
            AppendEntriesResponse::Success => sent,
            AppendEntriesResponse::PartialSuccess(matching) => *matching,
            AppendEntriesResponse::Conflict | AppendEntriesResponse::HigherVote(_) => None,
        };
        self.log.flushed().wait_for_entry(matching).await.map_err(|_| RaftError::Fatal(Fatal::Stopped))?;
        match (&answer, leader.voted_for) {
            // The leader reports commits only up to the end of its own flushed log. Record no more
            // of it than what this replica has, too.
            (AppendEntriesResponse::Success, Some(node_id)) => {
                let known = ReplicaProgress::acknowledged(node_id, leader.term, committed.min(sent), committed);
                self.peers.progress.learn(&known);
            }
            (AppendEntriesResponse::Conflict, _) => self.log_conflict.notify_one(),
            _ => {}
        }
        Ok(answer)
    }

    /// Stops this replica rather than let it follow a leader that has lost committed entries.
    ///
    /// A leader's log contains everything that was ever committed. If it has another entry where
    /// this replica has applied one, the majority that elected it has forgotten the committed
    /// entry, and following it would mean to forget it, too.
    async fn check_history(&self, request: &AppendEntriesRequest<Types>) -> Result<(), Error> {
        let Some(applied) = *self.applied.borrow() else { return Ok(()) };
        let own_term = self.log.metadata().vote.map_or(0, |vote| vote.leader_id.term);
        let term = request.vote.leader_id.term;
        let ids = request.prev_log_id.into_iter().chain(request.entries.iter().map(|entry| entry.log_id));
        let Some(theirs) = ids.filter(|id| id.index <= applied.index).last() else { return Ok(()) };
        // What a deposed leader has sent is refused because of its term.
        if theirs == applied || term < own_term {
            return Ok(());
        }
        let ours = if theirs.index == applied.index { Some(applied) } else { self.log.log_id_at(theirs.index).await };
        match ours {
            Some(ours) if ours != theirs => fatal(
                ExitCode::Io,
                format!(
                    "acknowledged entries are lost: the leader of term {term} has entry {} where entry {} was committed, and this \
                     replica has applied the log up to {}. The disks of a majority of the replicas went back in time or were lost. \
                     This replica has what they lack and stops, to keep it. Stop all replicas, keep this directory, and restore \
                     the newest copies of the other directories (docs/operations.md)",
                    position(&theirs),
                    position(&ours),
                    position(&applied)
                ),
            ),
            _ => Ok(()),
        }
    }
}
