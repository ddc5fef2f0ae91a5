//! The engine's way to one other replica.
//!
//! # Commits that travel with the next entries
//! As soon as a batch is committed the engine sends each follower an append without entries, which says just that. A busy leader would send
//! twice as many requests as it has batches, and a batch that comes next would wait until the follower has answered. Nobody waits for what a
//! follower applies: so such an append is taken for answered by the one before it, and the follower hears of the commits with the next entries, or after
//! [`COMMITS_ALONE_AFTER`]. The engine loses nothing that it counts on: that the follower's log holds these entries was its own answer. Its
//! word that it still follows is as old as that answer; so heartbeats, and what comes more than half a heartbeat after the last answer, are always sent.

use std::future::Future;
use std::io;
use std::time::Duration;

use api::{NodeId, Term};
use openraft::error::{NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse};
use openraft::storage::Snapshot;
use openraft::{EmptyNode, StorageIOError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service::http::Payload;
use service::mutation::{self, Mutation};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::checkpoint::Checkpoint;
use crate::engine::{Fatal, LogId, Types, Vote, position};
use crate::metrics::AppendMetrics;
use crate::peer_routes::{APPEND_PATH, STATE_PATH, VOTE_PATH};
use crate::transport::{PeerError, Peers, Refusal, aimed, decode, encode, outgoing};
use crate::{Timing, transfer};

/// Longer than an order takes: shoppers who come one after the other do not need it.
const COMMITS_ALONE_AFTER: Duration = Duration::from_millis(5);

impl RaftNetworkFactory<Types> for Peers {
    type Network = Link;

    async fn new_client(&mut self, target: NodeId, _: &EmptyNode) -> Link {
        Link::new(self.clone(), target)
    }
}

/// The way to one node.
pub(crate) struct Link {
    peers: Peers,
    target: NodeId,
    acknowledged: Option<Acknowledged>,
    /// Stops what tells it of the last commit, which is not necessary if something else does before.
    later: Option<CancellationToken>,
}

/// An append that the other side has taken.
struct Acknowledged {
    vote: Vote,
    last: Option<LogId>,
    committed: Option<LogId>,
    at: Instant,
}

type RpcError = RPCError<NodeId, EmptyNode, RaftError<NodeId>>;

impl Link {
    /// One over which nothing was sent yet.
    fn new(peers: Peers, target: NodeId) -> Self {
        Self { peers, target, acknowledged: None, later: None }
    }

    /// Whether this append says nothing that is not known there, but that more is committed: neither entries nor that there is a leader.
    fn is_of_commits_alone(&self, request: &AppendEntriesRequest<Types>) -> bool {
        self.acknowledged.as_ref().is_some_and(|known| {
            request.entries.is_empty()
                && (known.vote, known.last) == (request.vote, request.prev_log_id)
                && known.committed < request.leader_commit
                && known.at.elapsed() < self.peers.timing.heartbeat / 2
        })
    }

    /// Tells of commits when nothing else has done so for a while.
    fn tell_later(&mut self, request: AppendEntriesRequest<Types>, ttl: Duration) {
        let link = Self::new(self.peers.clone(), self.target);
        let unnecessary = CancellationToken::new();
        self.tell_no_more();
        self.later = Some(unnecessary.clone());
        tokio::spawn(async move {
            // Once begun it is not given up: its connection would be lost.
            if timeout(COMMITS_ALONE_AFTER, unnecessary.cancelled()).await.is_err() {
                // If it fails, the next heartbeat tells it.
                let _: Result<AppendEntriesResponse<NodeId>, _> = link.append(request, ttl).await;
            }
        });
    }

    fn tell_no_more(&mut self) {
        if let Some(later) = self.later.take() {
            later.cancel();
        }
    }

    async fn append(
        &self,
        mut request: AppendEntriesRequest<Types>,
        ttl: Duration,
    ) -> Result<AppendEntriesResponse<NodeId>, RpcError> {
        // The engine counts this replica's own copies before they are on its disk.
        request.leader_commit = request.leader_commit.min(self.peers.durable.last());
        let AppendMetrics { seconds, entries } = &self.peers.appends;
        if !request.entries.is_empty() {
            #[expect(clippy::cast_precision_loss, reason = "16 at most")]
            entries.observe(request.entries.len() as f64);
        }
        let begun = Instant::now();
        let answer = self.ask(APPEND_PATH, &request, ttl).await;
        if answer.is_ok() {
            seconds.observe(begun.elapsed().as_secs_f64());
        }
        answer
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &'static str,
        message: &impl Serialize,
        ttl: Duration,
    ) -> Result<T, RpcError> {
        let answer = self.peers.post(self.target, path, encode(message), ttl).await;
        // Any failure is followed by the back-off: a peer that is down would otherwise be asked without a pause.
        answer
            .and_then(|answer| decode(self.target.ordinal(), &answer))
            .map_err(|error| RPCError::Unreachable(Unreachable::new(&error)))
    }

    async fn send_state(&self, vote: Vote, snapshot: Snapshot<Types>) -> Result<Vote, StreamingError<Types, Fatal>> {
        let Checkpoint::Export(state) = *snapshot.snapshot else {
            let what = io::Error::other("a received state is not sent on");
            return Err(StreamingError::StorageError(StorageIOError::read_snapshot(None, &what).into()));
        };
        let unreachable = |error: PeerError| StreamingError::Unreachable(Unreachable::new(&error));
        let seat = self.target.ordinal();
        let body = transfer::body(&transfer::Header { vote, meta: snapshot.meta }, state);
        // No time-out for the whole: the receiver watches that the body moves on, `receiver_is_gone` that there is a receiver, and the
        // engine cancels when it has to.
        let request = aimed(self.target, outgoing(STATE_PATH, Payload::Stream(Box::pin(body)), None));
        let answer = self.peers.send(seat, request).await.map_err(unreachable)?;
        decode(seat, &answer).map_err(|error| StreamingError::Network(NetworkError::new(&error)))
    }
}

impl Link {
    /// Ends when the target has not been receiving for too long, by its own word or for want of one. A machine that loses its power closes no
    /// connection: TCP goes on to send to it for a quarter of an hour, and as long as a state is on its way a follower is sent nothing else.
    async fn receiver_is_gone(&self) -> PeerError {
        let (seat, Timing { question, transfer_idle, .. }) = (self.target.ordinal(), self.peers.timing);
        let mut heard = Instant::now();
        while heard.elapsed() < transfer_idle {
            sleep(question).await;
            let told = self.peers.status(seat).await;
            if told.is_ok_and(|peer| peer.status.node_id == self.target && peer.receiving) {
                heard = Instant::now();
            }
        }
        PeerError::Unreachable { ordinal: seat, what: "it does not receive the state that is sent to it".to_owned() }
    }
}

impl RaftNetwork<Types> for Link {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RpcError> {
        let ttl = option.hard_ttl();
        if self.is_of_commits_alone(&request) {
            self.tell_later(request, ttl);
            return Ok(AppendEntriesResponse::Success);
        }
        self.tell_no_more();
        if mutation::active(Mutation::AcknowledgeBeforeMajority) && !request.entries.is_empty() {
            let link = Self::new(self.peers.clone(), self.target);
            tokio::spawn(async move { link.append(request, ttl).await });
            return Ok(AppendEntriesResponse::Success);
        }
        let (at, vote, committed) = (Instant::now(), request.vote, request.leader_commit);
        let last = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        let answer = self.append(request, ttl).await?;
        self.acknowledged = match answer {
            AppendEntriesResponse::Success => Some(Acknowledged { vote, last, committed, at }),
            _ => None,
        };
        Ok(answer)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<NodeId>,
        option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RpcError> {
        let answer: VoteResponse<NodeId> = self.ask(VOTE_PATH, &request, option.hard_ttl()).await?;
        if !answer.vote_granted {
            self.peers.refusals.send_replace(Some(Refusal {
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
        let position = snapshot.meta.snapshot_id.clone();
        tracing::info!(target_id = %self.target, position, "sending the state to a replica that is far behind");
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            answer = self.send_state(vote, snapshot) => answer.map(SnapshotResponse::new),
            gone = self.receiver_is_gone() => Err(StreamingError::Unreachable(Unreachable::new(&gone))),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(self.peers.timing.back_off))
    }
}
