//! The task in the middle: followers in, frames out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::Address;
use bytes::Bytes;
use service::events::now_us;
use service::json_client::JsonClient;
use service::lifecycle::Task;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::control::{Control, StoreControls};
use crate::follower::{FollowerContext, Observed, Polling, follow};
use crate::frame::Frame;
use crate::history::History;
use crate::merge::Merger;
use crate::source::{ServiceKind, Sources};

/// How often a frame is made.
pub(crate) const FRAME_INTERVAL: Duration = Duration::from_millis(250);

/// The observations that wait: some hundred ms of them under full load. While the queue is full,
/// followers wait.
const OBSERVED_MAX: usize = 4096;

/// The frames that a slow page may be behind: 8 s. One that is further behind is cut off, and gets
/// what it missed when it comes back.
const FRAMES_BEHIND_MAX: usize = 32;

/// The clicks that wait to be shown.
const CLICKS_MAX: usize = 16;

/// How often the counters of frontends are read in total, per second. Rendering them takes a
/// frontend a millisecond.
const SCRAPES_PER_SECOND: u32 = 4;

/// The longest time between two readings of one frontend's counters.
const SCRAPE_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// The number of a frame, and the frame as it is sent.
pub(crate) type SentFrame = (u64, Bytes);

/// What the hub and the pages share.
#[derive(Clone, Debug)]
pub(crate) struct Frames {
    history: Arc<Mutex<History>>,
    sent: broadcast::Sender<SentFrame>,
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self { history: Arc::default(), sent: broadcast::Sender::new(FRAMES_BEHIND_MAX) }
    }

    /// The frames so far.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        // A panic ends the process.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a page needs first, and what comes after that.
    pub(crate) fn subscribe(&self, after: Option<u64>) -> (Vec<SentFrame>, broadcast::Receiver<SentFrame>) {
        // While the lock is held, no frame is sent.
        let history = self.history();
        (history.since(after), self.sent.subscribe())
    }

    /// Adds a frame to the history, and sends it to all pages.
    pub(crate) fn publish(&self, frame: &Frame) {
        let mut history = self.history();
        let json = history.push(frame);
        // Without pages, no receiver is left.
        let _ = self.sent.send((frame.n, json));
    }
}

/// Follows all processes, and makes frames, until it is stopped.
pub(crate) struct Hub {
    sources: Sources,
    merger: Merger,
    frames: Frames,
    controls: Option<Arc<dyn StoreControls>>,
    clicks: mpsc::Receiver<(Control, u64)>,
    observed: mpsc::Receiver<Observed>,
    compared_at: watch::Sender<u64>,
    context: FollowerContext,
    followers: BTreeMap<String, (Followed, Task)>,
}

/// What a follower asks, and where.
type Followed = (ServiceKind, Address);

impl Hub {
    /// The hub, and where it takes the clicks, with their times in µs since 1970.
    pub(crate) fn new(
        sources: Sources,
        client: JsonClient,
        frames: Frames,
        controls: Option<Arc<dyn StoreControls>>,
    ) -> (Self, mpsc::Sender<(Control, u64)>) {
        let (sender, observed) = mpsc::channel(OBSERVED_MAX);
        let (clicked, clicks) = mpsc::channel(CLICKS_MAX);
        let compared_at = watch::Sender::new(0);
        let context = FollowerContext {
            client,
            observed: sender,
            polling: Some(Polling { compared_at: compared_at.subscribe(), scrape_interval: SCRAPE_INTERVAL_MAX }),
        };
        // A console that is restarted must not use a number again: a page would take the new frame
        // for the one that it knows.
        let first = now_us() / u64::try_from(FRAME_INTERVAL.as_micros()).expect("it is short");
        let merger = Merger::new(first);
        let followers = BTreeMap::new();
        (Self { sources, merger, frames, controls, clicks, observed, compared_at, context, followers }, clicked)
    }

    /// Runs it.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(FRAME_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.follow_all();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.make_frame(),
                Some((control, at_us)) = self.clicks.recv() => self.merger.control(&control, at_us),
                Some(observed) = self.observed.recv() => self.merger.observe(observed, now_us()),
                Ok(()) = self.sources.changed() => self.follow_all(),
            }
        }
    }

    fn make_frame(&mut self) {
        let now_us = now_us();
        if let Some(controls) = &self.controls {
            self.merger.owner(&controls.processes(), controls.state(), now_us);
        }
        self.frames.publish(&self.merger.frame(now_us));
        self.compared_at.send_replace(self.merger.compared_at());
    }

    /// Follows the processes on the list, and no others. A process at another address is followed
    /// anew.
    fn follow_all(&mut self) {
        let list = self.sources.borrow_and_update().clone();
        self.merger.list(&list, now_us());
        let frontends = list.iter().filter(|it| it.service == ServiceKind::Frontend).count();
        let share = Duration::from_secs(1) * u32::try_from(frontends.clamp(1, 16)).unwrap_or(16) / SCRAPES_PER_SECOND;
        if let Some(polling) = &mut self.context.polling {
            polling.scrape_interval = share.min(SCRAPE_INTERVAL_MAX);
        }
        let is_followed = |name: &String, (at, _): &mut (Followed, Task)| {
            list.iter().any(|process| process.name == *name && (process.service, &process.internal) == (at.0, &at.1))
        };
        self.followers.retain(is_followed);
        for process in list {
            let context = &self.context;
            self.followers.entry(process.name.clone()).or_insert_with(|| {
                let task = follow(&process, context);
                ((process.service, process.internal), task)
            });
        }
    }
}
