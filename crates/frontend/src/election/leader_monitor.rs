//! The task that monitors the leader of one group, and elects the next one.

use std::time::Duration;

use api::event::{Event, Text};
use api::replica::{LEADER_SILENT_AFTER_MS, ReplicaStatus, Role, StandForElection};
use api::{Ordinal, Term};
use discovery::{Group, Leader, StatusPoll, confirmed_leader};
use futures::future::join_all;
use service::events::emit;
use service::world;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::evidence::{LeaderHealth, LeaderReport, all_answered_except, has_witness, is_isolated, leader_health};
use super::metrics::{ElectionMetrics, Phase};
use super::outage::{Outage, OutageReason};
use super::plan::{ElectionPlan, Obstacle, plan_election};

/// How often the status of a healthy leader is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// How often a group without a leader is polled while no election is possible.
const RECHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Timeout of a status, which a replica reads from memory. A lost packet is sent again on another
/// connection within this time, so a missing answer is rarely caused by the network. A false alarm
/// does not cost the leader anything, because the other replicas are asked then.
const STATUS_TIMEOUT: Duration = Duration::from_millis(150);

/// How long the leader may take for its status before the other replicas are asked about it.
const LEADER_PATIENCE: Duration = Duration::from_millis(100);
/// The same when the other replicas' reports about the leader are about to become too old.
const LEADER_PATIENCE_MIN: Duration = Duration::from_millis(20);

/// How long requests still go to a leader that does not answer while too few other replicas report
/// about it. Packets may be lost; after this long, the group has no leader.
const UNCLEAR_MAX: Duration = Duration::from_secs(1);

/// Timeout for a replica to begin to stand, for which it saves its vote. The slowest disk on which
/// elections work at all takes 150 ms for that.
const STAND_TIMEOUT: Duration = Duration::from_millis(500);

/// How often the statuses are polled while votes are cast: a fraction of what a vote takes on a
/// fast disk.
const CONFIRMATION_POLL_INTERVAL: Duration = Duration::from_millis(3);

/// How long to wait for the votes, as a multiple of the time that it took to save one. At least 2.5
/// are needed, for the candidate's and a voter's with a margin. In addition, a candidate whose vote
/// was split asks once more by itself, and the first entry has to be saved.
const VOTE_SAVES_UNTIL_CONFIRMED: u32 = 6;
/// The least time to wait for the votes: a few round trips on a busy machine.
const CONFIRMATION_TIMEOUT_MIN: Duration = Duration::from_millis(60);
/// The most time to wait for the votes.
const CONFIRMATION_TIMEOUT_MAX: Duration = Duration::from_secs(1);

/// Monitors the leader of one group, and elects the next one when it is missing.
#[derive(Debug)]
pub struct LeaderMonitor {
    group: Group,
    metrics: ElectionMetrics,
    /// The current outage, if the leader is missing.
    outage: Option<Outage>,
    /// The last leader that was confirmed.
    last_leader: Option<Leader>,
    /// How long saving a vote took in the last election.
    vote_save: Duration,
    /// An election of another frontend, up to this term, was already waited for.
    awaited_term: Term,
    /// How long the leader may take for its next status.
    leader_patience: Duration,
}

/// What a status poll shows about the group.
enum Assessment {
    /// A majority confirms this leader.
    Confirmed(Leader),
    /// The leader does not answer, but another replica has heard from it.
    Alive(LeaderReport),
    /// The leader does not answer, and neither do enough other replicas.
    Unclear,
    /// A replica stands for election, or leads without being confirmed yet, in this term or an
    /// earlier one.
    ElectionInProgress(Term),
    /// There is no leader, and an election is possible or not.
    Leaderless(Result<Election, Obstacle>),
}

/// A plan, and the request that is sent to the replicas that have to stand.
struct Election {
    plan: ElectionPlan,
    stand: StandForElection,
}

impl LeaderMonitor {
    /// A monitor for `group`.
    pub fn new(group: Group, metrics: ElectionMetrics) -> Self {
        metrics.init(group.name());
        Self {
            group,
            metrics,
            outage: None,
            last_leader: None,
            vote_save: Duration::ZERO,
            awaited_term: Term(0),
            leader_patience: LEADER_PATIENCE,
        }
    }

    /// Monitors the group until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut suspicions = self.group.suspicions();
        loop {
            suspicions.mark_unchanged();
            let pause = tokio::select! {
                () = stop.cancelled() => return,
                pause = self.step() => pause,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                _ = suspicions.changed() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Checks the leader once, and acts on the result. Returns how long to wait before the next
    /// check.
    async fn step(&mut self) -> Duration {
        let since = Instant::now();
        let reason = match self.check_leader().await {
            Ok(leader) => return self.leader_confirmed(leader),
            Err(reason) => reason,
        };
        let outage = *self.outage.get_or_insert(Outage::new(since, reason));
        match self.poll_statuses(reason).await {
            Assessment::Confirmed(leader) => self.leader_confirmed(leader),
            Assessment::Alive(report) => self.leader_reported_alive(report),
            Assessment::Unclear if outage.since.elapsed() < UNCLEAR_MAX => Duration::ZERO,
            Assessment::Unclear => {
                self.leader_missing();
                RECHECK_INTERVAL
            }
            Assessment::ElectionInProgress(term) => {
                self.awaited_term = term;
                let all: Vec<_> = self.group.replicas().into_keys().collect();
                match self.await_confirmation(&all).await {
                    Some(leader) => self.leader_confirmed(leader),
                    None => Duration::ZERO,
                }
            }
            Assessment::Leaderless(election) => {
                self.leader_missing();
                match election {
                    Ok(election) => self.elect(&election, outage.reason).await,
                    Err(obstacle) => self.election_impossible(obstacle),
                }
            }
        }
    }

    /// Asks the known leader whether it still leads.
    async fn check_leader(&self) -> Result<Leader, OutageReason> {
        let Some(known) = self.group.current_leader() else {
            return Err(if self.last_leader.is_none() { OutageReason::Unknown } else { OutageReason::Suspected });
        };
        // The request itself has a longer timeout, so that a request that fails within the
        // leader's patience can be distinguished from one that is merely late.
        let status = self.group.monitor_status(known.ordinal, 2 * STATUS_TIMEOUT);
        match timeout(self.leader_patience, status).await {
            Ok(Ok(status)) if !status.leads() => Err(OutageReason::Deposed),
            Ok(Ok(status)) if is_isolated(&status) => Err(OutageReason::Isolated),
            Ok(Ok(status)) => Ok(Leader { ordinal: known.ordinal, term: status.term }),
            Ok(Err(_)) => Err(OutageReason::Unreachable),
            Err(_) => Err(OutageReason::Silent),
        }
    }

    /// Asks all replicas for their statuses, until the answers are sufficient.
    async fn poll_statuses(&self, reason: OutageReason) -> Assessment {
        let begun = Instant::now();
        let all = self.group.replicas().len();
        let suspect = self.last_leader.map(|leader| leader.ordinal);
        // A silent leader has had its time. One that failed in another way is asked once more.
        let is_silent = reason == OutageReason::Silent;
        let is_sufficient = |answers: &StatusPoll| {
            let statuses: Vec<_> = answers.values().flatten().collect();
            let of_suspect = suspect.and_then(|suspect| answers.get(&suspect));
            answers.len() >= all
                || match leader_health(&statuses) {
                    LeaderHealth::Alive(_) if reason == OutageReason::Isolated => has_witness(&statuses, suspect),
                    LeaderHealth::Alive(_) => suspect.is_none() || of_suspect.map_or(is_silent, Result::is_ok),
                    LeaderHealth::Missing => all_answered_except(answers, suspect.filter(|_| is_silent), all),
                    LeaderHealth::Unclear => false,
                }
        };
        let answers = self.group.monitor_statuses_until(STATUS_TIMEOUT, is_sufficient).await;
        self.metrics.phase(self.group.name(), Phase::StatusPoll, begun.elapsed());
        let of_suspect = suspect.and_then(|suspect| answers.get(&suspect));
        let is_gone = of_suspect.is_some_and(|status| status.as_ref().map_or(true, |status| !status.leads()))
            || matches!(reason, OutageReason::Unreachable | OutageReason::Deposed);
        let statuses: Vec<_> = answers.values().flatten().collect();
        self.assess(&statuses, is_gone, reason)
    }

    /// What the statuses show. The last leader is gone if it has said so, or has refused or broken
    /// a connection.
    fn assess(&self, statuses: &[&ReplicaStatus], is_gone: bool, reason: OutageReason) -> Assessment {
        let health = leader_health(statuses);
        let confirmed = confirmed_leader(statuses.iter().copied());
        if let Some(leader) = confirmed
            && health != LeaderHealth::Missing
        {
            return Assessment::Confirmed(leader);
        }
        match health {
            // Reports about a leader that is gone stay fresh for a moment, and are ignored.
            LeaderHealth::Alive(report) if !(is_gone && Some(report.leader) == self.last_leader) => {
                return Assessment::Alive(report);
            }
            LeaderHealth::Unclear
                if reason == OutageReason::Silent && !is_gone && self.group.current_leader().is_some() =>
            {
                return Assessment::Unclear;
            }
            _ => {}
        }
        match statuses.iter().filter(|status| may_win(status)).map(|status| status.term).max() {
            Some(term) if term > self.awaited_term => Assessment::ElectionInProgress(term),
            _ => Assessment::Leaderless(plan_election(statuses).map(|plan| {
                let stand = StandForElection { polled_term: plan.polled_term, leader_gone: is_gone };
                Election { plan, stand }
            })),
        }
    }

    /// Attempts an election. Returns how long to wait before the next check.
    async fn elect(&mut self, Election { plan, stand }: &Election, reason: OutageReason) -> Duration {
        let name = self.group.name();
        emit(Event::ElectionStarted { group: name.into(), candidate: plan.candidate, reason: reason.label().into() });
        let begun = Instant::now();
        // Their answers do not matter: having stood, they are free to vote.
        join_all(plan.stand_first.iter().map(|ordinal| self.group.stand_for_election(*ordinal, *stand, STAND_TIMEOUT)))
            .await;
        let others_stood = Instant::now();
        self.metrics.phase(name, Phase::OthersStand, others_stood - begun);
        let stood = self.group.stand_for_election(plan.candidate, *stand, STAND_TIMEOUT).await;
        self.vote_save = others_stood.elapsed();
        self.metrics.phase(name, Phase::Stand, self.vote_save);
        let leader = match stood {
            Ok(status)
                if status.role == Role::Follower && status.has_fresh_leader() && status.term <= plan.polled_term =>
            {
                let why = Text::of("it hears from the leader");
                emit(Event::CandidateDeclined { group: name.into(), candidate: plan.candidate, why });
                self.metrics.attempted(name, reason, false);
                return RECHECK_INTERVAL;
            }
            Ok(status) => {
                self.awaited_term = self.awaited_term.max(status.term);
                let able: Vec<_> = plan.stand_first.iter().chain([&plan.candidate]).copied().collect();
                self.await_confirmation(&able).await
            }
            Err(error) => {
                let why = Text::of(error);
                emit(Event::CandidateDeclined { group: name.into(), candidate: plan.candidate, why });
                None
            }
        };
        self.metrics.attempted(name, reason, leader.is_some());
        match leader {
            Some(leader) => self.leader_confirmed(leader),
            None => self.confirmation_timeout().mul_f64(world::random_fraction() / 2.0),
        }
    }

    /// Polls the statuses of `able` until a majority confirms a leader, or an election has failed.
    async fn await_confirmation(&self, able: &[Ordinal]) -> Option<Leader> {
        let begun = Instant::now();
        let confirmed = timeout(self.confirmation_timeout(), async {
            loop {
                if let Some(leader) = self.group.find_leader_among(able, STATUS_TIMEOUT).await {
                    return leader;
                }
                sleep(CONFIRMATION_POLL_INTERVAL).await;
            }
        });
        let leader = confirmed.await.ok();
        self.metrics.phase(self.group.name(), Phase::Confirm, begun.elapsed());
        leader
    }

    fn confirmation_timeout(&self) -> Duration {
        (self.vote_save * VOTE_SAVES_UNTIL_CONFIRMED).clamp(CONFIRMATION_TIMEOUT_MIN, CONFIRMATION_TIMEOUT_MAX)
    }

    /// The leader works, but its answers do not arrive here. It is asked again at once, and may
    /// take as long as the other replicas' reports about it remain fresh.
    fn leader_reported_alive(&mut self, report: LeaderReport) -> Duration {
        self.leader_confirmed(report.leader);
        let fresh_for = Duration::from_millis((LEADER_SILENT_AFTER_MS + 5).saturating_sub(report.heard_ms));
        self.leader_patience = fresh_for.clamp(LEADER_PATIENCE_MIN, LEADER_PATIENCE);
        LEADER_PATIENCE_MIN
    }

    fn leader_confirmed(&mut self, leader: Leader) -> Duration {
        self.leader_patience = LEADER_PATIENCE;
        self.group.set_leader(leader);
        self.metrics.leader(self.group.name(), Some(leader));
        self.awaited_term = self.awaited_term.max(leader.term);
        let is_new = self.last_leader.replace(leader) != Some(leader);
        if let Some(outage) = self.outage.take()
            && is_new
        {
            let (group, elapsed) = (self.group.name(), outage.since.elapsed());
            self.metrics.outage(group, outage.reason, elapsed);
            emit(Event::LeaderConfirmed {
                group: group.into(),
                ordinal: leader.ordinal,
                term: leader.term,
                reason: outage.reason.label().into(),
                elapsed_ms: elapsed.into(),
            });
        }
        CHECK_INTERVAL
    }

    fn leader_missing(&self) {
        if let Some(leader) = self.group.current_leader() {
            self.group.suspect(leader);
        }
        self.metrics.leader(self.group.name(), None);
    }

    fn election_impossible(&mut self, obstacle: Obstacle) -> Duration {
        if let Some(outage) = &mut self.outage
            && outage.logged.replace(obstacle) != Some(obstacle)
        {
            let group = self.group.name().into();
            emit(match obstacle {
                // Expected whenever a new store starts.
                Obstacle::Bootstrapping => Event::GroupStarting { group },
                _ => Event::ElectionImpossible { group, obstacle: Text::of(format_args!("{obstacle:?}")) },
            });
        }
        RECHECK_INTERVAL
    }
}

/// Whether the replica may be about to lead.
fn may_win(status: &ReplicaStatus) -> bool {
    matches!(status.role, Role::Candidate | Role::Leader)
}
