//! The task that watches one group's leader, and makes the next one.

use std::time::Duration;

use api::replica::{ReplicaStatus, Role};
use api::{Ordinal, Term};
use discovery::{Group, Leader, Survey, confirmed_leader};
use futures::future::join_all;
use service::call::CallError;
use service::world;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::metrics::Phase;
use super::{ElectionMetrics, Obstacle, Plan, choose};

/// How often a leader that gives no reason for doubt is looked at.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// How often a group without a leader is looked at while none can be made.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// For a status, which is read from memory. A leader is missed after two of them in a row: 300 ms, three heartbeats. A process
/// that is starved of its processor for so long is of no use as a leader either.
const STATUS_TIMEOUT: Duration = Duration::from_millis(150);

/// For a replica to begin to stand: it saves its vote first. The slowest disk that can elect at all takes 150 ms for that.
const STAND_TIMEOUT: Duration = Duration::from_millis(500);

/// Between two looks at the statuses while votes are cast: a fraction of what a vote takes on a fast disk.
const POLL_EVERY: Duration = Duration::from_millis(3);

/// Until votes are in, as a multiple of what it took to save one. At least 2.5 (a candidate's and a voter's, with a margin); a candidate
/// whose vote was split asks once more by itself, and the first entry has to be saved, too.
const PATIENCE: u32 = 6;
/// … but at least that: a few round trips on a busy machine;
const PATIENCE_MIN: Duration = Duration::from_millis(60);
/// … and at most that.
const PATIENCE_MAX: Duration = Duration::from_secs(1);

/// Watches one group, and conducts its elections.
#[derive(Debug)]
pub struct Conductor {
    group: Group,
    metrics: ElectionMetrics,
    /// Since when, and why, there is no leader.
    outage: Option<Outage>,
    /// The last one that was confirmed.
    last: Option<Leader>,
    /// What saving a vote has last been seen to take.
    vote_save: Duration,
    /// An election up to this term was waited for already.
    waited_for: Term,
}

#[derive(Clone, Copy, Debug)]
struct Outage {
    since: Instant,
    reason: Reason,
    /// An obstacle is told once.
    told: Option<Obstacle>,
}

/// Why a leader is missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// None was known: this process, or the whole store, has just started.
    Unknown,
    /// A request to it failed.
    Doubted,
    /// It refuses connections.
    Unreachable,
    /// It did not tell its status in time.
    Silent,
    /// It says itself that it does not lead any more.
    Deposed,
}

impl Reason {
    pub(super) const ALL: [Self; 5] = [Self::Unknown, Self::Doubted, Self::Unreachable, Self::Silent, Self::Deposed];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Doubted => "doubted",
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
            Self::Deposed => "deposed",
        }
    }
}

/// What one look at the group has shown.
enum Look {
    Led(Leader),
    /// Somebody stands, or leads without being confirmed yet: of that term at most.
    UnderWay(Term),
    Leaderless(Result<Plan, Obstacle>),
}

impl Conductor {
    /// For `group`.
    pub fn new(group: Group, metrics: ElectionMetrics) -> Self {
        metrics.begin(group.name());
        Self { group, metrics, outage: None, last: None, vote_save: Duration::ZERO, waited_for: Term(0) }
    }

    /// Watches until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut doubts = self.group.doubts();
        loop {
            doubts.mark_unchanged();
            let pause = tokio::select! {
                () = stop.cancelled() => return,
                pause = self.step() => pause,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = doubts.changed() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// One look and what follows from it; how long to wait before the next.
    async fn step(&mut self) -> Duration {
        let since = Instant::now();
        let reason = match self.check().await {
            Ok(leader) => return self.led(leader),
            Err(reason) => reason,
        };
        let outage = Outage { since, reason, told: None };
        let reason = self.outage.get_or_insert(outage).reason;
        match self.look(reason).await {
            Look::Led(leader) => self.led(leader),
            Look::UnderWay(term) => {
                self.waited_for = term;
                let all: Vec<_> = self.group.replicas().into_keys().collect();
                match self.confirmation(&all).await {
                    Some(leader) => self.led(leader),
                    None => Duration::ZERO,
                }
            }
            Look::Leaderless(plan) => {
                self.leaderless();
                match plan {
                    Ok(plan) => self.elect(&plan, reason).await,
                    Err(obstacle) => self.blocked(obstacle),
                }
            }
        }
    }

    /// Whether the leader that is known says that it still leads.
    async fn check(&self) -> Result<Leader, Reason> {
        let Some(known) = self.group.current_leader() else {
            return Err(if self.last.is_none() { Reason::Unknown } else { Reason::Doubted });
        };
        match self.group.status(known.ordinal, STATUS_TIMEOUT).await {
            Ok(status) if status.leads() => Ok(Leader { ordinal: known.ordinal, term: status.term }),
            Ok(_) => Err(Reason::Deposed),
            Err(CallError::Unreachable(_)) => Err(Reason::Unreachable),
            Err(CallError::Unknown { .. } | CallError::Refused(_)) => Err(Reason::Silent),
        }
    }

    /// Asks everybody.
    async fn look(&self, reason: Reason) -> Look {
        let begun = Instant::now();
        let replicas = self.group.replicas().len();
        // Who is known to refuse connections need not be waited for: where packets are dropped, that takes a time-out.
        let gone = usize::from(reason == Reason::Unreachable);
        let enough = |answers: &Survey| {
            let answered = answers.values().flatten().count();
            answered + gone >= replicas || confirmed_leader(answers.values().flatten()).is_some()
        };
        let answers = self.group.survey_until(STATUS_TIMEOUT, enough).await;
        self.metrics.phase(self.group.name(), Phase::Survey, begun.elapsed());
        let statuses: Vec<_> = answers.values().flatten().collect();
        if let Some(leader) = confirmed_leader(statuses.iter().copied()) {
            return Look::Led(leader);
        }
        match statuses.iter().filter(|status| is_under_way(status)).map(|status| status.term).max() {
            Some(term) if term > self.waited_for => Look::UnderWay(term),
            _ => Look::Leaderless(choose(&statuses)),
        }
    }

    /// Makes a leader by `plan`, or fails to.
    async fn elect(&mut self, plan: &Plan, reason: Reason) -> Duration {
        let name = self.group.name();
        tracing::info!(group = name, candidate = plan.candidate.0, first = ?plan.first, reason = reason.label(), "election");
        let begun = Instant::now();
        // Their answers matter only by having come: they hold no debt any more.
        join_all(plan.first.iter().map(|ordinal| self.group.stand(*ordinal, plan.surveyed, STAND_TIMEOUT))).await;
        let others_stood = Instant::now();
        self.metrics.phase(name, Phase::OthersStand, others_stood - begun);
        let stood = self.group.stand(plan.candidate, plan.surveyed, STAND_TIMEOUT).await;
        self.vote_save = others_stood.elapsed();
        self.metrics.phase(name, Phase::Stand, self.vote_save);
        let leader = match stood {
            Ok(status) => {
                self.waited_for = self.waited_for.max(status.term);
                let able: Vec<_> = plan.first.iter().chain([&plan.candidate]).copied().collect();
                self.confirmation(&able).await
            }
            Err(error) => {
                tracing::debug!(group = name, %error, "the candidate does not stand");
                None
            }
        };
        self.metrics.conducted(name, reason, leader.is_some());
        match leader {
            Some(leader) => self.led(leader),
            None => self.patience().mul_f64(world::random_fraction() / 2.0),
        }
    }

    /// Reads the statuses of `able` until a majority confirms a leader, or as long as an election may take.
    async fn confirmation(&self, able: &[Ordinal]) -> Option<Leader> {
        let begun = Instant::now();
        let confirmed = timeout(self.patience(), async {
            loop {
                if let Some(leader) = self.group.find_leader_among(able, STATUS_TIMEOUT).await {
                    return leader;
                }
                sleep(POLL_EVERY).await;
            }
        });
        let leader = confirmed.await.ok();
        self.metrics.phase(self.group.name(), Phase::Confirm, begun.elapsed());
        leader
    }

    fn patience(&self) -> Duration {
        (self.vote_save * PATIENCE).clamp(PATIENCE_MIN, PATIENCE_MAX)
    }

    fn led(&mut self, leader: Leader) -> Duration {
        self.group.adopt(leader);
        self.metrics.leader(self.group.name(), Some(leader));
        self.waited_for = self.waited_for.max(leader.term);
        let is_new = self.last.replace(leader) != Some(leader);
        if let Some(outage) = self.outage.take()
            && is_new
        {
            let (group, elapsed) = (self.group.name(), outage.since.elapsed());
            self.metrics.outage(group, outage.reason, elapsed);
            let reason = outage.reason.label();
            let elapsed_ms = elapsed.as_millis();
            let (ordinal, term) = (leader.ordinal.0, leader.term.0);
            tracing::info!(group, ordinal, term, reason, elapsed_ms, "a leader is confirmed");
        }
        CHECK_EVERY
    }

    fn leaderless(&self) {
        if let Some(leader) = self.group.current_leader() {
            self.group.doubt(leader);
        }
        self.metrics.leader(self.group.name(), None);
    }

    fn blocked(&mut self, obstacle: Obstacle) -> Duration {
        if let Some(outage) = &mut self.outage
            && outage.told.replace(obstacle) != Some(obstacle)
        {
            tracing::warn!(group = self.group.name(), ?obstacle, "no leader, and none can be made");
        }
        LOOK_AGAIN
    }
}

fn is_under_way(status: &ReplicaStatus) -> bool {
    matches!(status.role, Role::Candidate | Role::Leader)
}
