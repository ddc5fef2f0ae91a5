//! Clients that order as fast as they are answered, and remember what they were told.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Rest;

/// An order whose number a client has seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Acknowledged {
    pub(crate) number: u64,
    pub(crate) name: String,
    pub(crate) quantity: u32,
    pub(crate) key: Uuid,
}

#[derive(Default)]
struct Seen {
    acknowledged: Vec<Acknowledged>,
    errors: Vec<String>,
}

/// Writers at work.
pub(crate) struct Writers {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    seen: Arc<Mutex<Seen>>,
    count: watch::Receiver<usize>,
}

impl Writers {
    /// Starts `writers` clients; each orders one piece of the products in turn. Sold out is no error.
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
                    let answer = rest.order(name, 1, key).await;
                    let mut seen = seen.lock().unwrap();
                    match answer {
                        Ok(answer) if answer.status.is_success() => {
                            let number = answer.body["data"]["order_number"].as_u64().expect("a number");
                            seen.acknowledged.push(Acknowledged { number, name: (*name).into(), quantity: 1, key });
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

    /// Waits until so many more orders are acknowledged than are now.
    pub(crate) async fn acknowledge_more(&mut self, more: usize) {
        let target = *self.count.borrow() + more;
        tokio::time::timeout(super::PATIENCE, self.count.wait_for(|count| *count >= target))
            .await
            .unwrap_or_else(|_| {
                panic!("no {more} more orders were acknowledged; errors: {:?}", self.seen.lock().unwrap().errors)
            })
            .expect("the writers are at work");
    }

    /// Lets them finish what they are at; what they saw, and every error.
    pub(crate) async fn finish(self) -> (Vec<Acknowledged>, Vec<String>) {
        self.stop.send_replace(true);
        self.tasks.join_all().await;
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        (seen.acknowledged, seen.errors)
    }
}
