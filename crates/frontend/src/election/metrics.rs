//! Metrics of elections.

use std::time::Duration;

use discovery::Leader;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use service::metrics::registered;

use super::outage::OutageReason;

/// From 1 ms to 10 s. An election usually takes 15 ms; with a disk that takes 150 ms for a sync,
/// about a second.
const BUCKETS_S: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const WON: &str = "won";
const LOST: &str = "lost";

/// A phase of an election, as described in the documentation of the parent module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    StatusPoll,
    OthersStand,
    Stand,
    Confirm,
}

impl Phase {
    const ALL: [Self; 4] = [Self::StatusPoll, Self::OthersStand, Self::Stand, Self::Confirm];

    fn label(self) -> &'static str {
        match self {
            Self::StatusPoll => "status_poll",
            Self::OthersStand => "others_stand",
            Self::Stand => "stand",
            Self::Confirm => "confirm",
        }
    }
}

/// Metrics of the elections of all groups. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ElectionMetrics {
    elections: IntCounterVec,
    outage: HistogramVec,
    phase: HistogramVec,
    leader: IntGaugeVec,
    term: IntGaugeVec,
}

impl ElectionMetrics {
    /// Registers `toystore_election_*`.
    pub fn new(registry: &Registry) -> Self {
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            let opts = HistogramOpts::new(name, help).buckets(BUCKETS_S.to_vec());
            registered(registry, HistogramVec::new(opts, labels))
        };
        let gauge = |name: &str, help: &str| registered(registry, IntGaugeVec::new(Opts::new(name, help), &["group"]));
        let elections = Opts::new("toystore_election_attempts_total", "Elections, by reason and outcome");
        Self {
            elections: registered(registry, IntCounterVec::new(elections, &["group", "reason", "outcome"])),
            outage: histogram(
                "toystore_election_outage_duration_seconds",
                "Time from when the leader was found missing to when a new one was confirmed",
                &["group", "reason"],
            ),
            phase: histogram(
                "toystore_election_phase_duration_seconds",
                "Duration of the phases of an election",
                &["group", "phase"],
            ),
            leader: gauge("toystore_election_leader_ordinal", "Ordinal of the confirmed leader; 0 while there is none"),
            term: gauge("toystore_election_leader_term", "Term of the last confirmed leader"),
        }
    }

    /// Creates the series of a group, so that they start at 0.
    pub(super) fn init(&self, group: &str) {
        for reason in OutageReason::ALL.map(OutageReason::label) {
            for outcome in [WON, LOST] {
                self.elections.with_label_values(&[group, reason, outcome]);
            }
            self.outage.with_label_values(&[group, reason]);
        }
        for phase in Phase::ALL.map(Phase::label) {
            self.phase.with_label_values(&[group, phase]);
        }
        self.leader(group, None);
    }

    pub(super) fn attempted(&self, group: &str, reason: OutageReason, won: bool) {
        self.elections.with_label_values(&[group, reason.label(), if won { WON } else { LOST }]).inc();
    }

    pub(super) fn outage(&self, group: &str, reason: OutageReason, lasted: Duration) {
        self.outage.with_label_values(&[group, reason.label()]).observe(lasted.as_secs_f64());
    }

    pub(super) fn phase(&self, group: &str, phase: Phase, took: Duration) {
        self.phase.with_label_values(&[group, phase.label()]).observe(took.as_secs_f64());
    }

    pub(super) fn leader(&self, group: &str, leader: Option<Leader>) {
        self.leader.with_label_values(&[group]).set(leader.map_or(0, |leader| leader.ordinal.0.into()));
        if let Some(leader) = leader {
            self.term.with_label_values(&[group]).set(i64::try_from(leader.term.0).unwrap_or(i64::MAX));
        }
    }
}
