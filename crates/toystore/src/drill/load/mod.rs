//! Shoppers who write down everything: writers who order, and readers who look.
//!
//! A *writer* orders one to three pieces of a few products, as fast as it is told to, and repeats an order under the same key, through the next
//! frontend, until it has been answered. Now and then it repeats an order that was acknowledged, which must give the same number. A *reader*
//! looks at products that somebody else has just bought, through another frontend than the buyer, and at orders that were placed. All of
//! it goes into one [`history::History`].

mod reader;
mod sightings;
mod writer;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{Address, OrderNumber, ProductName};
use client::Store;
use history::{ClientId, Full, History, Moment, Recorder};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::pulse::{Clock, Pulse};
use reader::Reader;
pub use sightings::Seen;
use sightings::Sightings;
use writer::Writer;

/// Time for an answer: the store's own deadline is 5 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// So many of the last orders are looked at by readers: those of the last tens of milliseconds.
const RECENT_MAX: usize = 32;

/// Calls of each kind in a history: half an hour at full speed. One takes about 100 bytes.
const CALLS_MAX: usize = 6_000_000;

/// How many readers: one for so many writers. All of them together read as often as all writers write …
const WRITERS_PER_READER: u32 = 4;

/// … but if those write as fast as they are answered, that often: reads from the cache would take the processors from the store.
const READS_PER_S: u32 = 500;

/// How much is asked of the store.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    /// Where the frontends are.
    pub(super) fronts: Vec<Address>,
    /// What is bought.
    pub(super) products: Vec<ProductName>,
    /// How many writers; there is a reader for every four.
    pub(super) shoppers: u32,
    /// Orders per second of all writers together; as many as are answered if it is 0.
    pub(super) orders_per_s: u32,
    /// Decides what is ordered.
    pub(super) seed: u64,
}

/// Shoppers at work.
pub(super) struct Load {
    shared: Arc<Shared>,
    writers: JoinSet<()>,
    readers: JoinSet<()>,
    /// Looks again in the end.
    auditor: Reader,
    stop: CancellationToken,
}

/// What they share.
pub(super) struct Shared {
    clock: Clock,
    recorder: Recorder,
    pulse: Pulse,
    sightings: Sightings,
    recent: Mutex<VecDeque<Bought>>,
    products: Vec<ProductName>,
    /// The history has no room for more.
    full: CancellationToken,
}

/// An order that has just been acknowledged.
#[derive(Clone, Debug)]
struct Bought {
    product: ProductName,
    number: OrderNumber,
    frontend: usize,
}

/// One shopper's means.
struct Shopper {
    id: ClientId,
    /// By frontend.
    stores: Vec<Store>,
    random: Xoshiro256PlusPlus,
    pace: Option<Pace>,
    shared: Arc<Shared>,
}

impl Load {
    /// Lets shoppers in.
    ///
    /// # Errors
    /// If a frontend's address cannot be one.
    pub(super) fn start(clock: Clock, demand: &Demand) -> Result<Self, String> {
        let shared = Arc::new(Shared {
            clock,
            recorder: Recorder::new(CALLS_MAX),
            pulse: Pulse::new(demand.fronts.len()),
            sightings: Sightings::new(),
            recent: Mutex::default(),
            products: demand.products.clone(),
            full: CancellationToken::new(),
        });
        let mut seeds = Xoshiro256PlusPlus::seed_from_u64(demand.seed);
        let mut shopper = |id, per_s: u32, of_all: u32| -> Result<Shopper, String> {
            let stores = demand.fronts.iter().map(|front| Ok(Store::enter(client::base_url(front)?, ANSWER_TIMEOUT)));
            let random = Xoshiro256PlusPlus::seed_from_u64(seeds.random());
            let pace = (per_s > 0).then(|| Pace::new(per_s, of_all));
            Ok(Shopper {
                id: ClientId(id),
                stores: stores.collect::<Result<_, String>>()?,
                random,
                pace,
                shared: Arc::clone(&shared),
            })
        };
        let stop = CancellationToken::new();
        let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
        for id in 0..demand.shoppers {
            let writer = Writer(shopper(id, demand.orders_per_s, demand.shoppers)?);
            writers.spawn(writer.run(stop.clone()));
        }
        let count = demand.shoppers.div_ceil(WRITERS_PER_READER);
        let reads_per_s = if demand.orders_per_s > 0 { demand.orders_per_s } else { READS_PER_S };
        for id in 0..count {
            let reader = Reader(shopper(demand.shoppers + id, reads_per_s, count)?);
            readers.spawn(reader.run(stop.clone()));
        }
        let auditor = Reader(shopper(demand.shoppers + count, reads_per_s, 1)?);
        Ok(Self { shared, writers, readers, auditor, stop })
    }

    pub(super) fn pulse(&self) -> &Pulse {
        &self.shared.pulse
    }

    /// What shoppers had to put up with so far.
    pub(super) fn seen(&self) -> Seen {
        self.shared.sightings.seen()
    }

    /// How long orders took so far, from the first attempt to the acknowledgement.
    pub(super) fn latency(&self) -> client::Latency {
        self.shared.sightings.latency()
    }

    /// Waits until the history is full.
    pub(super) async fn full(&self) {
        self.shared.full.cancelled().await;
    }

    /// Lets them finish what they are at. Then one of them looks at orders of the whole time once more. What they all saw.
    pub(super) async fn finish(self) -> History {
        self.stop.cancel();
        self.writers.join_all().await;
        self.readers.join_all().await;
        let mut history = self.shared.recorder.take();
        self.auditor.look_again(&history).await;
        history.order_reads.extend(self.shared.recorder.take().order_reads);
        history
    }
}

/// When a shopper comes next: at random, as people do. Shoppers who came at fixed intervals would all be in step after an outage, and their
/// common pause would pass for one of the store.
struct Pace {
    mean: Duration,
    due: Instant,
}

impl Pace {
    /// Of one of `of_all` shoppers who together do `per_s` things per second.
    fn new(per_s: u32, of_all: u32) -> Self {
        Self { mean: Duration::from_secs(1) * of_all / per_s, due: Instant::now() }
    }

    /// Waits for its turn; the next one comes after an exponentially distributed time. Who waited for a dead store does not make up for it in a rush.
    async fn turn(&mut self, random: &mut impl Rng) {
        sleep_until(self.due).await;
        let pause = self.mean.mul_f64(-(1.0 - random.random::<f64>()).ln());
        self.due = self.due.max(Instant::now()) + pause;
    }
}

impl Shared {
    fn note(&self, noted: Result<(), Full>) {
        if noted.is_err() {
            self.full.cancel();
        }
    }

    fn bought(&self, at: Moment, bought: Bought) {
        self.pulse.beat(at, bought.frontend);
        let mut recent = self.recent();
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(bought);
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<Bought>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shopper {
    /// Waits for its turn; false when it is to go home.
    async fn turn(&mut self, stop: &CancellationToken) -> bool {
        let Self { pace, random, shared, .. } = self;
        let full = &shared.full;
        let turn = async {
            match pace {
                Some(pace) => pace.turn(random).await,
                // Shoppers who are answered at once must not keep others from running.
                None => tokio::task::yield_now().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => false,
            () = full.cancelled() => false,
            () = turn => true,
        }
    }

    fn any_frontend(&mut self) -> usize {
        self.random.random_range(0..self.stores.len())
    }

    /// Another frontend, if there is one.
    fn other_frontend(&self, than: usize) -> usize {
        (than + 1) % self.stores.len()
    }
}
