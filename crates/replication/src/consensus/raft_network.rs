//! openraft's [`RaftNetworkFactory`] and [`RaftNetwork`]: requests to one other replica.
//!
//! # Commits that travel with the next entries
//! As soon as a batch is committed, openraft sends each follower an append without entries that
//! only says so. A busy leader would send twice as many requests as it has batches, and the next
//! batch would wait for the follower's answer. Nothing waits for what a follower applies, so such
//! an append is answered locally, and the follower learns of the commits with the next entries, or
//! after [`COMMIT_DELAY_MAX`]. Why openraft may be told so is explained in
//! [`engine_contract`](super::engine_contract).
//!
//! # Lost packets
//! openraft gives up an append after one heartbeat, half of the time after which TCP repeats a lost
//! packet. If its connection were closed each time, a lossy network would see mostly new
//! connections. So an append or a vote is sent again on another connection while it is not answered
//! ([`Hedge`]); its copies continue without openraft, and their connections stay open. A follower
//! may receive them twice, late and out of order, which Raft tolerates.

use std::future::Future;
use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::event::{Event, Text};
use api::{LogPosition, NodeId, Term};
use openraft::error::{NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::storage::Snapshot;
use openraft::{EmptyNode, StorageIOError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service::events::emit;
use service::http::{ClientRequest, Hedge, Payload};
use service::mutation::{self, Mutation};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::checkpoint::CheckpointData;
use super::types::{Fatal, LogId, Types, Vote, position};
use crate::config::ReplicaTiming;
use crate::instruments::AppendMetrics;
use crate::membership::progress::ReplicaProgress;
use crate::peer::client::{PeerClient, PeerError, VoteRefusal, decode, encode, for_node, peer_request};
use crate::peer::messages::{APPEND_PATH, STATE_PATH, VOTE_PATH};
use crate::peer::state_transfer;
use crate::peer::validation::check_plausible_term;

/// How long to wait before an append or a vote is sent again: far more than a round trip, and two
/// fifths of the time that openraft waits for an append.
const RESEND_AFTER: Duration = Duration::from_millis(40);

/// The longest delay before a follower learns of a commit. Longer than an order takes, so
/// sequential orders from one shopper need no extra request.
const COMMIT_DELAY_MAX: Duration = Duration::from_millis(5);

impl RaftNetworkFactory<Types> for PeerClient {
    type Network = RaftConnection;

    async fn new_client(&mut self, target: NodeId, _: &EmptyNode) -> RaftConnection {
        RaftConnection::new(self.clone(), target)
    }
}

/// The connection to one node.
pub(crate) struct RaftConnection {
    peers: PeerClient,
    target: NodeId,
    acknowledged: Option<AcknowledgedAppend>,
    /// Cancels the pending report of the last commit, which is not needed if another message
    /// reports it first.
    commit_report: Option<CancellationToken>,
}

/// An append that the other replica has acknowledged.
struct AcknowledgedAppend {
    vote: Vote,
    last: Option<LogId>,
    committed: Option<LogId>,
    at: Instant,
}

/// A follower whose disk went back in time.
#[derive(Debug, thiserror::Error)]
#[error(
    "the disk of replica {target} went back in time: it had acknowledged the log up to {acknowledged} and now lacks entry {lacks}. \
     Its vote under this id no longer counts, and nothing more is sent to it. Its process exits and rejoins as a new member by itself"
)]
struct RolledBack {
    target: NodeId,
    acknowledged: String,
    lacks: String,
}

/// Why this replica asks for no votes.
#[derive(Debug, thiserror::Error)]
#[error("another replica that answers has a longer log")]
struct LongerLogElsewhere;

type RpcError = RPCError<NodeId, EmptyNode, RaftError<NodeId>>;

impl RaftConnection {
    /// A connection over which nothing was sent yet.
    fn new(peers: PeerClient, target: NodeId) -> Self {
        Self { peers, target, acknowledged: None, commit_report: None }
    }

    /// Whether this append only reports a commit: it has no entries, and the follower has just
    /// confirmed the leader.
    fn only_reports_commits(&self, request: &AppendEntriesRequest<Types>) -> bool {
        self.acknowledged.as_ref().is_some_and(|known| {
            request.entries.is_empty()
                && (known.vote, known.last) == (request.vote, request.prev_log_id)
                && known.committed < request.leader_commit
                && known.at.elapsed() < self.peers.timing.heartbeat / 2
        })
    }

    /// Reports a commit unless another message does so first.
    fn report_commit_later(&mut self, request: AppendEntriesRequest<Types>, ttl: Duration) {
        let connection = Self::new(self.peers.clone(), self.target);
        let unnecessary = CancellationToken::new();
        self.cancel_commit_report();
        self.commit_report = Some(unnecessary.clone());
        tokio::spawn(async move {
            // Once the request is sent it is not cancelled: its connection would be lost.
            if timeout(COMMIT_DELAY_MAX, unnecessary.cancelled()).await.is_err() {
                // If it fails, the next heartbeat reports the commit.
                let _: Result<AppendEntriesResponse<NodeId>, _> = connection.append(request, ttl).await;
            }
        });
    }

    fn cancel_commit_report(&mut self) {
        if let Some(report) = self.commit_report.take() {
            report.cancel();
        }
    }

    async fn append(
        &self,
        mut request: AppendEntriesRequest<Types>,
        ttl: Duration,
    ) -> Result<AppendEntriesResponse<NodeId>, RpcError> {
        // openraft counts this replica's own copies before they are on disk.
        request.leader_commit = request.leader_commit.min(self.peers.flushed.last());
        let AppendMetrics { seconds, entries } = &self.peers.appends;
        if !request.entries.is_empty() {
            #[expect(clippy::cast_precision_loss, reason = "16 at most")]
            entries.observe(request.entries.len() as f64);
        }
        let begun = Instant::now();
        let term = request.vote.leader_id.term;
        // Read before the request is sent: a late answer is compared with what was acknowledged by
        // then.
        let had = self.peers.progress.has(self.target, request.prev_log_id, term);
        let mut message = self.message(APPEND_PATH, &request, ttl);
        self.peers.contact.write_report(&mut message.headers);
        let answer = self.ask(message).await?;
        seconds.observe(begun.elapsed().as_secs_f64());
        match answer {
            AppendEntriesResponse::Conflict if had => return Err(self.report_rollback(request.prev_log_id)),
            AppendEntriesResponse::Success => {
                let last = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
                self.note_acknowledged(term, last, request.leader_commit);
            }
            AppendEntriesResponse::PartialSuccess(last) => self.note_acknowledged(term, last, request.leader_commit),
            AppendEntriesResponse::HigherVote(vote) => {
                self.check_term(&request.vote, &vote).map_err(RPCError::Unreachable)?;
            }
            AppendEntriesResponse::Conflict => {}
        }
        Ok(answer)
    }

    fn note_acknowledged(&self, term: u64, last: Option<LogId>, committed: Option<LogId>) {
        self.peers.progress.learn(&ReplicaProgress::acknowledged(self.target, term, last, committed));
    }

    /// openraft counts on what a follower has acknowledged and cannot be told that it is gone, so
    /// the follower counts as unreachable. It notices by itself, and comes back under another id
    /// ([`rollback`](crate::membership::rollback)).
    fn report_rollback(&self, lacks: Option<LogId>) -> RpcError {
        let known = self.peers.progress.of(self.target).and_then(|known| known.acknowledged.max(known.committed));
        let (acknowledged, lacks) = (known.as_ref().map(position), lacks.as_ref().map(position));
        let show = |at: Option<LogPosition>| at.map_or_else(|| "nothing".to_owned(), |at| at.to_string());
        let what = RolledBack { target: self.target, acknowledged: show(acknowledged), lacks: show(lacks) };
        if self.peers.rolled_back.lock().unwrap_or_else(PoisonError::into_inner).insert(self.target) {
            tracing::error!(target_id = %self.target, "{what}");
        }
        RPCError::Unreachable(Unreachable::new(&what))
    }

    /// The timeout is a little longer than openraft's: after a timeout of its own openraft tries
    /// again at once, after any other failure only after the back-off.
    fn message(&self, path: &'static str, message: &impl Serialize, ttl: Duration) -> ClientRequest<'static> {
        let request = for_node(self.target, peer_request(path, Payload::Whole(encode(message)), Some(2 * ttl)));
        ClientRequest { hedge: Some(Hedge { after: RESEND_AFTER, copies: 4, sent: None }), ..request }
    }

    async fn ask<T: DeserializeOwned>(&self, request: ClientRequest<'_>) -> Result<T, RpcError> {
        let answer = self.peers.send(self.target.ordinal(), request).await;
        // Any failure leads to the back-off; otherwise a peer that is down would be asked without a
        // pause.
        answer
            .and_then(|answer| decode(self.target.ordinal(), &answer))
            .map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))
    }

    /// A peer may have seen a later term, but not one that no election can have reached: this
    /// replica would never lead again.
    fn check_term(&self, asked: &Vote, answered: &Vote) -> Result<(), Unreachable> {
        let (asked, answered) = (Term(asked.leader_id.term), Term(answered.leader_id.term));
        check_plausible_term(asked, answered)
            .map_err(|what| Unreachable::new(&PeerError::Unreachable { ordinal: self.target.ordinal(), what }))
    }

    async fn send_state(&self, vote: Vote, snapshot: Snapshot<Types>) -> Result<Vote, StreamingError<Types, Fatal>> {
        let CheckpointData::Export(state) = *snapshot.snapshot else {
            let what = io::Error::other("a received state is not forwarded");
            return Err(StreamingError::StorageError(StorageIOError::read_snapshot(None, &what).into()));
        };
        let unreachable = |error: PeerError| StreamingError::Unreachable(Unreachable::new(&error));
        let ordinal = self.target.ordinal();
        let body = state_transfer::body(&state_transfer::Header { vote, meta: snapshot.meta }, state);
        // No timeout for the whole request: the receiver checks that the body makes progress,
        // `receiver_is_gone` that there is a receiver, and openraft cancels it when necessary.
        let request = for_node(self.target, peer_request(STATE_PATH, Payload::Stream(Box::pin(body)), None));
        let answer = self.peers.send(ordinal, request).await.map_err(unreachable)?;
        let answered = decode(ordinal, &answer).map_err(|error| StreamingError::Network(NetworkError::new(&error)))?;
        self.check_term(&vote, &answered).map_err(StreamingError::Unreachable)?;
        Ok(answered)
    }
}

impl RaftConnection {
    /// Completes when the target has not been receiving for too long: it says so, or does not
    /// answer. A host that loses its power closes no connection. TCP would keep sending to it
    /// for a quarter of an hour, and while a state transfer is running the follower is sent nothing
    /// else.
    async fn receiver_is_gone(&self) -> PeerError {
        let (ordinal, ReplicaTiming { question, transfer_idle, .. }) = (self.target.ordinal(), self.peers.timing);
        let mut heard = Instant::now();
        while heard.elapsed() < transfer_idle {
            sleep(question).await;
            let status = self.peers.status(ordinal).await;
            if status.is_ok_and(|peer| peer.status.node_id == self.target && peer.receiving) {
                heard = Instant::now();
            }
        }
        PeerError::Unreachable { ordinal, what: "it is not receiving the state that is sent to it".to_owned() }
    }
}

impl RaftNetwork<Types> for RaftConnection {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RpcError> {
        let ttl = option.hard_ttl();
        if self.only_reports_commits(&request) {
            self.report_commit_later(request, ttl);
            return Ok(AppendEntriesResponse::Success);
        }
        self.cancel_commit_report();
        if mutation::active(Mutation::AcknowledgeBeforeMajority) && !request.entries.is_empty() {
            let connection = Self::new(self.peers.clone(), self.target);
            tokio::spawn(async move { connection.append(request, ttl).await });
            return Ok(AppendEntriesResponse::Success);
        }
        let (at, vote, committed) = (Instant::now(), request.vote, request.leader_commit);
        let last = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        let answer = self.append(request, ttl).await?;
        self.acknowledged = match answer {
            AppendEntriesResponse::Success => Some(AcknowledgedAppend { vote, last, committed, at }),
            _ => None,
        };
        Ok(answer)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<NodeId>,
        option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RpcError> {
        if !self.peers.asks_for_votes.load(Ordering::Relaxed) {
            return Err(RPCError::Unreachable(Unreachable::new(&LongerLogElsewhere)));
        }
        let message = self.message(VOTE_PATH, &request, option.hard_ttl());
        let answer: VoteResponse<NodeId> = self.ask(message).await?;
        self.check_term(&request.vote, &answer.vote).map_err(RPCError::Unreachable)?;
        if answer.vote_granted {
            self.peers.progress.learn(&ReplicaProgress::voted(self.target, request.vote.leader_id.term));
        } else {
            self.peers.refusals.send_replace(Some(VoteRefusal {
                asked: Term(request.vote.leader_id.term),
                vote: answer.vote,
                last_log: answer.last_log_id.as_ref().map(position),
            }));
        }
        Ok(answer)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<Types>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<Types, Fatal>> {
        let (position, last) = (snapshot.meta.snapshot_id.clone(), snapshot.meta.last_log_id);
        emit(Event::StateSent { target_id: self.target, position: Text::of(position) });
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            answer = self.send_state(vote, snapshot) => {
                let answer = answer?;
                if answer == vote {
                    self.note_acknowledged(vote.leader_id.term, last, last);
                }
                Ok(SnapshotResponse::new(answer))
            }
            gone = self.receiver_is_gone() => Err(StreamingError::Unreachable(Unreachable::new(&gone))),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(self.peers.timing.back_off))
    }
}
