//! Shows the progress of a phase: a progress bar on a terminal, otherwise a log line every 2 s.

use std::io::IsTerminal;
use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// Smooth to the eye.
const BAR_INTERVAL: Duration = Duration::from_millis(100);
/// Often enough to see that the program is alive, and not too often for a log.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

/// Runs `work`, and meanwhile shows how many of `total` are done.
pub(crate) async fn during<T>(
    phase: &'static str,
    total: u64,
    done: impl Fn() -> u64,
    work: impl Future<Output = T>,
) -> T {
    let display = Display::new(phase, total);
    let interval = display.interval();
    let mut ticks = interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            outcome = &mut work => return outcome,
            _ = ticks.tick() => display.show(done()),
        }
    }
}

enum Display {
    Bar(ProgressBar),
    Lines { phase: &'static str, total: u64 },
}

impl Display {
    fn new(phase: &'static str, total: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { phase, total };
        }
        let style = ProgressStyle::with_template("{prefix:>9} [{bar:40}] {pos}/{len} {per_sec} {eta}")
            .expect("the template is well-formed");
        Self::Bar(ProgressBar::new(total).with_style(style).with_prefix(phase))
    }

    fn interval(&self) -> Duration {
        match self {
            Self::Bar(_) => BAR_INTERVAL,
            Self::Lines { .. } => LINE_INTERVAL,
        }
    }

    fn show(&self, done: u64) {
        match self {
            Self::Bar(bar) => bar.set_position(done),
            Self::Lines { phase, total } => tracing::info!(done, total, "{phase}"),
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
