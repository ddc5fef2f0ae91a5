//! What goes wrong, and when: drawn from the seed.
//!
//! Each seed draws *which kinds* of faults it has before it draws the faults ("swarm testing": Groce et al., ISSTA 2012). A run with all
//! kinds at once would hardly ever show what takes a long quiet time with one kind only.

use std::ops::RangeInclusive;

use crate::network::Weather;
use crate::random::Random;
use crate::trace::Millis;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A process is killed; what it has written is there when it comes back.
    Kill,
    /// A machine loses power, and with it what was not synced.
    PowerLoss,
    /// All machines lose power at once.
    PowerLossOfAll,
    /// A process is asked to stop, and started again.
    Stop,
    /// All processes are asked to stop, and started again.
    StopAll,
    /// A process stands still for a while.
    Pause,
    /// Some machines cannot reach the others, nor be reached.
    Partition,
    /// Some machines cannot reach others, but be reached.
    OneWay,
    /// A disk takes long for each sync.
    SlowDisk,
    /// A sync fails.
    FailedSync,
    /// A write fails.
    FailedWrite,
    /// A disk is full for a while.
    FullDisk,
    /// An order replica's disk is replaced by an empty one.
    WipedDisk,
    /// Somebody has a replica's seat taken away, as before scaling in, and then its process stopped; it is started again, as after scaling out.
    RemovedSeat,
}

impl Kind {
    const ALL: [Self; 14] = [
        Self::Kill,
        Self::PowerLoss,
        Self::PowerLossOfAll,
        Self::Stop,
        Self::StopAll,
        Self::Pause,
        Self::Partition,
        Self::OneWay,
        Self::SlowDisk,
        Self::FailedSync,
        Self::FailedWrite,
        Self::FullDisk,
        Self::WipedDisk,
        Self::RemovedSeat,
    ];

    /// The word in traces and reports.
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
            Self::SlowDisk => "slow-disk",
            Self::FailedSync => "failed-sync",
            Self::FailedWrite => "failed-write",
            Self::FullDisk => "full-disk",
            Self::WipedDisk => "wiped-disk",
            Self::RemovedSeat => "removed-seat",
        }
    }

    /// How long it lasts, or how long what it ended stays away, in ms.
    pub(crate) fn lasts(self) -> RangeInclusive<Millis> {
        match self {
            Self::Kill | Self::PowerLoss | Self::WipedDisk => 10..=2500,
            Self::PowerLossOfAll | Self::Stop | Self::StopAll => 10..=800,
            Self::Pause | Self::RemovedSeat => 20..=3000,
            Self::Partition | Self::OneWay => 50..=3500,
            Self::SlowDisk => 200..=3000,
            Self::FailedSync | Self::FailedWrite => 50..=1000,
            Self::FullDisk => 100..=1500,
        }
    }
}

/// A seed's faults.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) kinds: Vec<Kind>,
    /// Between two faults, in ms.
    pub(crate) gap: RangeInclusive<Millis>,
    pub(crate) weather: Weather,
    /// Faults begin when the first order was placed; else at once.
    pub(crate) after_first_order: bool,
    /// How long there are faults, in ms.
    pub(crate) length: Millis,
}

impl Plan {
    /// The faults of a seed.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let often = *random.pick(&[150, 300, 500]);
        let kinds: Vec<_> = Kind::ALL.into_iter().filter(|_| random.per_mille(often)).collect();
        let shortest = *random.pick(&[20, 100, 300, 800]);
        let weather = Weather {
            dropped: *random.pick(&[0, 0, 2, 10, 40]),
            doubled: *random.pick(&[0, 0, 5, 50, 200]),
            late: *random.pick(&[0, 0, 10, 50, 200]),
            lateness: *random.pick(&[5, 20])..=*random.pick(&[40, 150, 600]),
        };
        let after_first_order = random.per_mille(800);
        let length = random.within(3000..=9000);
        Self { kinds, gap: shortest..=shortest * 4, weather, after_first_order, length }
    }

    /// No faults at all.
    pub(crate) fn calm() -> Self {
        Self { kinds: Vec::new(), gap: 1000..=1000, weather: Weather::FAIR, after_first_order: true, length: 3000 }
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Weather { dropped, doubled, late, lateness } = &self.weather;
        let kinds: Vec<_> = self.kinds.iter().map(|kind| kind.name()).collect();
        write!(
            f,
            "faults for {} ms, every {} to {} ms: {}; of 1000 messages {dropped} dropped, {doubled} doubled, {late} late by {} to {} ms",
            self.length,
            self.gap.start(),
            self.gap.end(),
            if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") },
            lateness.start(),
            lateness.end()
        )
    }
}
