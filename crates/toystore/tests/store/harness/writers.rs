//! Clients that place orders in a closed loop and record the answers.
//!
//! They repeat an order with the same key while its outcome is unknown, as [`Rest::place`] does.
//! How long clients wait, and that none sees an error on a machine that is fast enough, is measured
//! by `toystore drill`.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Rest;

/// An order that was acknowledged to a client.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientOrder {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) quantity: u32,
    pub(crate) key: Uuid,
}

#[derive(Default)]
struct Seen {
    acknowledged: Vec<ClientOrder>,
    errors: Vec<String>,
}

/// Running writers.
pub(crate) struct OrderWriters {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    seen: Arc<Mutex<Seen>>,
    count: watch::Receiver<usize>,
}

impl OrderWriters {
    /// Starts `writers` clients; each orders one piece of the products in turn. An answer that a
    /// product is sold out is not an error.
    pub(crate) fn start(rest: &Rest, writers: usize, products: &'static [&'static str]) -> Self {
        let (stop, stopped) = watch::channel(false);
        let (counter, count) = watch::channel(0);
        let (seen, counter) = (Arc::new(Mutex::new(Seen::default())), Arc::new(counter));
        let mut tasks = JoinSet::new();
        for writer in 0..writers {
            let (rest, stopped, seen, counter) =
                (rest.clone(), stopped.clone(), Arc::clone(&seen), Arc::clone(&counter));
            tasks.spawn(async move {
                for name in products.iter().cycle().skip(writer) {
                    if *stopped.borrow() {
                        break;
                    }
                    let key = Uuid::new_v4();
                    let answer = rest.place(name, 1, key).await;
                    let mut seen = seen.lock().unwrap();
                    match answer {
                        Ok(answer) if answer.status.is_success() => {
                            let number = answer.body["data"]["order_number"].as_u64().expect("a number");
                            seen.acknowledged.push(ClientOrder { number, name: (*name).into(), quantity: 1, key });
                            counter.send_replace(seen.acknowledged.len());
                        }
                        Ok(answer) if answer.code() == "out_of_stock" => {}
                        Ok(answer) => seen.errors.push(format!("{answer:?}")),
                        Err(error) => seen.errors.push(format!("{error:?}")),
                    }
                }
            });
        }
        Self { stop, tasks, seen, count }
    }

    /// Waits until this many more orders are acknowledged.
    ///
    /// # Panics
    /// If no order is acknowledged for [`TIMEOUT`](super::TIMEOUT).
    pub(crate) async fn acknowledge_more(&mut self, more: usize) {
        let target = *self.count.borrow() + more;
        while *self.count.borrow_and_update() < target {
            let Ok(changed) = tokio::time::timeout(super::TIMEOUT, self.count.changed()).await else {
                panic!("no more orders are acknowledged; errors: {:?}", self.seen.lock().unwrap().errors);
            };
            changed.expect("the writers are at work");
        }
    }

    /// Lets the writers end after their current orders.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Lets the writers finish their current orders, and returns all acknowledged orders and all
    /// final answers that were errors.
    pub(crate) async fn finish(self) -> (Vec<ClientOrder>, Vec<String>) {
        self.stop();
        self.tasks.join_all().await;
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        (seen.acknowledged, seen.errors)
    }
}
