//! Which faults happen, and when: drawn from the seed.
//!
//! Each seed first draws *which kinds* of faults it has, and then the faults ("swarm testing":
//! Groce et al., ISSTA 2012). With all kinds in every run, bugs that need a long time with only one
//! kind of fault would hardly ever show.

use std::ops::RangeInclusive;

use crate::network::NetworkConditions;
use crate::random::Random;
use crate::trace::Millis;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FaultKind {
    /// A process is killed; what it has written is still there when it is started again.
    Kill,
    /// A machine loses power, and with it what was not synced.
    PowerLoss,
    /// All machines lose power at the same time.
    PowerLossOfAll,
    /// A process is asked to stop, and started again.
    Stop,
    /// All processes are asked to stop, and started again.
    StopAll,
    /// A process is paused for a while.
    Pause,
    /// Some machines cannot reach the others, and cannot be reached.
    Partition,
    /// Some machines cannot reach the others, but can be reached.
    OneWay,
    /// What one frontend sends to the order replicas is held back for seconds or minutes, and
    /// arrives then.
    FrozenLink,
    /// The syncs of a disk are slow.
    SlowDisk,
    /// A sync fails.
    FailedSync,
    /// A write fails.
    FailedWrite,
    /// A disk is full for a while.
    FullDisk,
    /// An order replica's disk is replaced by an empty one.
    WipedDisk,
    /// An order replica's disk is replaced by an older copy of it. Never drawn: it happens once,
    /// when everything is healed, because only the other replicas know what this replica has
    /// forgotten.
    RewoundDisk,
    /// An order replica is removed from its group, as before scaling in, and then its process is
    /// stopped. It is started again, as after scaling out.
    RemovedMember,
}

impl FaultKind {
    const ALL: [Self; 15] = [
        Self::Kill,
        Self::PowerLoss,
        Self::PowerLossOfAll,
        Self::Stop,
        Self::StopAll,
        Self::Pause,
        Self::Partition,
        Self::OneWay,
        Self::FrozenLink,
        Self::SlowDisk,
        Self::FailedSync,
        Self::FailedWrite,
        Self::FullDisk,
        Self::WipedDisk,
        Self::RemovedMember,
    ];

    /// The name in traces and reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::PowerLoss => "power-loss",
            Self::PowerLossOfAll => "power-loss-of-all",
            Self::Stop => "stop",
            Self::StopAll => "stop-all",
            Self::Pause => "pause",
            Self::Partition => "partition",
            Self::OneWay => "one-way-partition",
            Self::FrozenLink => "frozen-link",
            Self::SlowDisk => "slow-disk",
            Self::FailedSync => "failed-sync",
            Self::FailedWrite => "failed-write",
            Self::FullDisk => "full-disk",
            Self::WipedDisk => "wiped-disk",
            Self::RewoundDisk => "rewound-disk",
            Self::RemovedMember => "removed-member",
        }
    }

    /// How long the fault lasts, or how long the process that it ended stays away, in ms.
    pub(crate) fn duration(self) -> RangeInclusive<Millis> {
        match self {
            Self::Kill | Self::PowerLoss | Self::WipedDisk | Self::RewoundDisk => 10..=2500,
            Self::PowerLossOfAll | Self::Stop | Self::StopAll => 10..=800,
            Self::Pause | Self::RemovedMember => 20..=3000,
            Self::Partition | Self::OneWay => 50..=3500,
            Self::FrozenLink => 500..=9000,
            Self::SlowDisk => 200..=3000,
            Self::FailedSync | Self::FailedWrite => 50..=1000,
            Self::FullDisk => 100..=1500,
        }
    }
}

/// The faults of a seed.
#[derive(Clone, Debug)]
pub(crate) struct FaultPlan {
    pub(crate) kinds: Vec<FaultKind>,
    /// The time between two faults, in ms.
    pub(crate) gap: RangeInclusive<Millis>,
    pub(crate) conditions: NetworkConditions,
    /// Whether the faults begin when the first order was placed; otherwise they begin at once.
    pub(crate) after_first_order: bool,
    /// How long faults are injected, in ms.
    pub(crate) length: Millis,
}

impl FaultPlan {
    /// Draws the faults of a seed.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let often = *random.pick(&[150, 300, 500]);
        let kinds: Vec<_> = FaultKind::ALL.into_iter().filter(|_| random.per_mille(often)).collect();
        let shortest = *random.pick(&[20, 100, 300, 800]);
        let conditions = NetworkConditions {
            dropped: *random.pick(&[0, 0, 2, 10, 40]),
            duplicated: *random.pick(&[0, 0, 5, 50, 200]),
            delayed: *random.pick(&[0, 0, 10, 50, 200]),
            delay: *random.pick(&[5, 20])..=*random.pick(&[40, 150, 600]),
            held_back: *random.pick(&[0, 300, 1000]),
            packets_lost: 0,
            ..NetworkConditions::PERFECT
        };
        let after_first_order = random.per_mille(800);
        let length = random.within(3000..=9000);
        Self { kinds, gap: shortest..=shortest * 4, conditions, after_first_order, length }
    }

    /// Draws how many packets are lost. Drawn after everything else, so that seeds without packet
    /// loss run as they did before this fault existed.
    pub(crate) fn draw_loss(&mut self, random: &mut Random) {
        self.conditions.packets_lost = *random.pick(&[0, 0, 0, 100, 300]);
    }

    /// No faults.
    pub(crate) fn without_faults() -> Self {
        Self {
            kinds: Vec::new(),
            gap: 1000..=1000,
            conditions: NetworkConditions::PERFECT,
            after_first_order: true,
            length: 3000,
        }
    }
}

impl std::fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let NetworkConditions { dropped, duplicated, delayed, delay, held_back, packets_lost, slow: _ } =
            &self.conditions;
        let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.name()).collect();
        write!(
            f,
            "faults for {} ms, every {} to {} ms: {}; of 1000 messages {dropped} dropped, {duplicated} duplicated, \
             {delayed} late by {} to {} ms, and at a partition {held_back} held back; of 1000 packets {packets_lost} lost",
            self.length,
            self.gap.start(),
            self.gap.end(),
            if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") },
            delay.start(),
            delay.end()
        )
    }
}
