//! Batches concurrent requests to the same leader into one HTTP request.
//!
//! An HTTP request per order costs both processes more than anything else that they do for the
//! order, and a small batch costs the leader as much as a large one. The same is true of product
//! reads that miss the cache. So a request is sent at once only if no other is in flight to that
//! leader. Otherwise it joins the leader's queue. The queue is flushed as one batch when it holds
//! as many requests as are in flight, or when a response arrives. Under a steady load, one half of
//! the requests is in flight while the other half collects in the queue. No timer is involved, and
//! the number of HTTP requests in flight to one leader is bounded.
//!
//! To its sender, an [item](BatchRequest::Item) behaves as if it had been sent alone. It has a
//! result of its own; if the HTTP request fails, every item in it fails with that error. An item is
//! sent after it was submitted, so its result reflects that moment or a later one. A sender that
//! stops waiting before the flush is removed from the batch. An HTTP request that no sender waits
//! for any more is cancelled.
//!
//! # Caveats
//! * The results of one batch arrive together. Orders of one batch end up in the same order batch
//!   of the leader, or in the next one.
//! * With three clients on an idle machine, the third waits for the response of one of the others.
//! * While [tracing](service::trace) is on, every item is sent alone, so that its HTTP request is
//!   part of its own trace.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{Address, REQUEST_BATCH_MAX};
use service::json_client::{CallError, JsonClient};
use service::trace;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

/// An HTTP request that takes longer than this no longer counts as in flight, so that the queue
/// behind it is flushed: its connection may be dead, or the leader may be paused. The request
/// itself continues. The admission limit bounds how many of these there can be.
const SLOW_AFTER: Duration = Duration::from_millis(250);

/// One kind of request that can be batched.
pub(crate) trait BatchRequest: Clone + Debug + Send + Sync + 'static {
    /// What one sender submits.
    type Item: Clone + Debug + Send + Sync + 'static;
    /// What one sender gets back.
    type Response: Debug + Send + 'static;

    /// Sends one item in an HTTP request of its own.
    fn send_one(
        &self,
        client: &JsonClient,
        leader: &Address,
        item: &Self::Item,
        deadline: Instant,
    ) -> impl Future<Output = ItemResult<Self>> + Send;

    /// Sends up to [`REQUEST_BATCH_MAX`] items in one HTTP request. Returns one result for each
    /// item, in the same order.
    fn send_batch(
        &self,
        client: &JsonClient,
        leader: &Address,
        items: &[Self::Item],
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<ItemResult<Self>>, CallError>> + Send;
}

type ItemResult<R> = Result<<R as BatchRequest>::Response, CallError>;

/// Batches the requests of one kind, with a queue for each leader. Clones share the queues.
#[derive(Debug)]
pub(crate) struct Batcher<R: BatchRequest>(Arc<Shared<R>>);

impl<R: BatchRequest> Clone for Batcher<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Shared<R: BatchRequest> {
    request: R,
    requests_in_flight_max: usize,
    /// See [`SLOW_AFTER`].
    slow_after: Duration,
    queues: Mutex<BTreeMap<Address, Queue<R>>>,
}

/// The requests to one replica. It exists only while a request is in flight.
#[derive(Debug)]
struct Queue<R: BatchRequest> {
    pending: VecDeque<Pending<R>>,
    /// HTTP requests in flight, without slow ones.
    requests_in_flight: usize,
    /// The items in those requests.
    items_in_flight: usize,
}

impl<R: BatchRequest> Default for Queue<R> {
    fn default() -> Self {
        Self { pending: VecDeque::new(), requests_in_flight: 0, items_in_flight: 0 }
    }
}

/// An item that has not been sent yet.
#[derive(Debug)]
struct Pending<R: BatchRequest> {
    item: R::Item,
    deadline: Instant,
    result: oneshot::Sender<ItemResult<R>>,
}

impl<R: BatchRequest> Batcher<R> {
    /// Allows at most `requests_in_flight_max` HTTP requests in flight to one leader.
    ///
    /// For orders, one would be too few: the leader would have nothing to do while a response is on
    /// its way. It works on two order batches at a time, and for each of them one HTTP request may
    /// be at the leader and another on its way, which makes four. Because every batch has to be as
    /// large as those in flight together, there are rarely more than two.
    ///
    /// # Panics
    /// If `requests_in_flight_max` is 0.
    pub(crate) fn new(request: R, requests_in_flight_max: usize) -> Self {
        Self::with_slow_after(request, requests_in_flight_max, SLOW_AFTER)
    }

    /// The same, with another [`SLOW_AFTER`].
    fn with_slow_after(request: R, requests_in_flight_max: usize, slow_after: Duration) -> Self {
        assert!(requests_in_flight_max > 0, "a batcher must be allowed to send");
        Self(Arc::new(Shared { request, requests_in_flight_max, slow_after, queues: Mutex::default() }))
    }

    /// Submits an item for the replica at `leader`, and waits for its result. Dropping the future
    /// withdraws the item.
    pub(crate) async fn submit(
        &self,
        client: JsonClient,
        leader: Address,
        item: &R::Item,
        deadline: Instant,
    ) -> ItemResult<R> {
        if trace::is_on() {
            // Boxed, because every order's future would otherwise reserve space for it.
            return Box::pin(self.0.request.send_one(&client, &leader, item, deadline)).await;
        }
        let (result, received) = oneshot::channel();
        let batch = {
            let mut queues = self.queues();
            let queue = queues.entry(leader.clone()).or_default();
            queue.pending.push_back(Pending { item: item.clone(), deadline, result });
            queue.take_batch(self.0.requests_in_flight_max)
        };
        if let Some(batch) = batch {
            BatchWorker { batcher: self.clone(), client, leader: leader.clone() }.spawn(batch);
        }
        let cancelled = |_| Err(CallError::Unknown { address: leader, what: "its request was cancelled".into() });
        received.await.unwrap_or_else(cancelled)
    }

    fn queues(&self) -> MutexGuard<'_, BTreeMap<Address, Queue<R>>> {
        self.0.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: BatchRequest> Queue<R> {
    /// Takes the next batch from the queue, and counts it as one more request in flight. Returns
    /// `None` if the queue should collect more items first, or if no sender is waiting. An item
    /// that stays in the queue always has a request in flight ahead of it, whose worker calls this
    /// function again.
    fn take_batch(&mut self, requests_in_flight_max: usize) -> Option<Vec<Pending<R>>> {
        if self.requests_in_flight == requests_in_flight_max || self.pending.len() < self.items_in_flight {
            return None;
        }
        let mut batch = Vec::new();
        while batch.len() < REQUEST_BATCH_MAX
            && let Some(pending) = self.pending.pop_front()
        {
            if !pending.result.is_closed() {
                batch.push(pending);
            }
        }
        self.requests_in_flight += usize::from(!batch.is_empty());
        self.items_in_flight += batch.len();
        Some(batch).filter(|batch| !batch.is_empty())
    }

    fn request_ended(&mut self, items: usize) {
        self.requests_in_flight -= 1;
        self.items_in_flight -= items;
    }
}

/// Sends one HTTP request after the other to a leader, until the leader's queue has no batch for
/// it.
#[derive(Clone)]
struct BatchWorker<R: BatchRequest> {
    batcher: Batcher<R>,
    client: JsonClient,
    leader: Address,
}

impl<R: BatchRequest> BatchWorker<R> {
    fn spawn(self, batch: Vec<Pending<R>>) {
        tokio::spawn(self.run(batch));
    }

    async fn run(self, mut batch: Vec<Pending<R>>) {
        loop {
            let items = batch.len();
            let mut flush = std::pin::pin!(self.flush(batch));
            let is_slow = timeout(self.batcher.0.slow_after, &mut flush).await.is_err();
            let next = self.with_queue(|queue| {
                queue.request_ended(items);
                queue.take_batch(self.batcher.0.requests_in_flight_max)
            });
            if is_slow {
                // Another worker takes over the queue; this one only finishes its request.
                if let Some(next) = next {
                    self.clone().spawn(next);
                }
                return flush.await;
            }
            match next {
                Some(next) => batch = next,
                None => return,
            }
        }
    }

    /// Runs `act` on the leader's queue. Removes the queue afterwards if no request is in flight;
    /// it is empty then.
    fn with_queue<T>(&self, act: impl FnOnce(&mut Queue<R>) -> T) -> T {
        let mut queues = self.batcher.queues();
        let queue = queues.get_mut(&self.leader).expect("a queue exists while a request is in flight");
        let done = act(queue);
        if queue.requests_in_flight == 0 {
            assert!(queue.pending.is_empty(), "a pending item has a request in flight ahead of it");
            queues.remove(&self.leader);
        }
        done
    }

    /// Sends one HTTP request and hands out its results. Cancels it when no sender is waiting.
    async fn flush(&self, batch: Vec<Pending<R>>) {
        let deadline = batch.iter().map(|pending| pending.deadline).max().expect("a batch is not empty");
        let (items, mut senders): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|pending| (pending.item, pending.result)).unzip();
        let results = tokio::select! {
            biased;
            results = self.send(&items, deadline) => results,
            () = all_closed(&mut senders) => return,
        };
        for (sender, result) in senders.into_iter().zip(results) {
            // The sender of this item may have stopped waiting.
            let _ = sender.send(result);
        }
    }

    /// Sends the items, and returns one result for each.
    async fn send(&self, items: &[R::Item], deadline: Instant) -> Vec<ItemResult<R>> {
        let Self { client, leader, batcher } = self;
        let request = &batcher.0.request;
        if let [item] = items {
            return vec![request.send_one(client, leader, item, deadline).await];
        }
        let expected = items.len();
        let failure = match request.send_batch(client, leader, items, deadline).await {
            Ok(results) if results.len() == expected => return results,
            Ok(results) => {
                let what = format!("{} results for a batch of {expected}", results.len());
                CallError::Unknown { address: leader.clone(), what }
            }
            Err(error) => error,
        };
        items.iter().map(|_| Err(failure.clone())).collect()
    }
}

async fn all_closed<T>(senders: &mut [oneshot::Sender<T>]) {
    for sender in senders {
        sender.closed().await;
    }
}

#[cfg(test)]
mod tests;
