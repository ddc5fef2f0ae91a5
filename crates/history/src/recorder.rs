//! Records a history from many threads.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::call::{BatchEffect, History, OrderCall, OrderRead, ProductCall};

/// The recorder is full. Stop the clients and check the history: if it missed an order, the
/// checkers would report violations that did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the history is full: it contains {calls_max} calls")]
pub struct RecorderFull {
    /// How many calls of each kind it can contain.
    pub calls_max: usize,
}

/// Records a history. It is shared by reference. Each call is recorded once, when its outcome is
/// known.
#[derive(Debug)]
pub struct HistoryRecorder {
    calls_max: usize,
    history: Mutex<History>,
}

impl HistoryRecorder {
    /// An empty recorder for at most `calls_max` calls of each kind. A call takes about 100 bytes.
    pub fn new(calls_max: usize) -> Self {
        Self { calls_max, history: Mutex::default() }
    }

    /// Records an attempt at an order.
    pub fn order(&self, call: OrderCall) -> Result<(), RecorderFull> {
        self.push(&mut self.lock().orders, call)
    }

    /// Records a product read.
    pub fn product(&self, call: ProductCall) -> Result<(), RecorderFull> {
        self.push(&mut self.lock().products, call)
    }

    /// Records an order read.
    pub fn order_read(&self, call: OrderRead) -> Result<(), RecorderFull> {
        self.push(&mut self.lock().order_reads, call)
    }

    /// Records an effect of an order leader's batch.
    pub fn effect(&self, effect: BatchEffect) -> Result<(), RecorderFull> {
        self.push(&mut self.lock().effects, effect)
    }

    /// Looks at the history so far. Nothing is recorded meanwhile.
    pub fn inspect<R>(&self, look: impl FnOnce(&History) -> R) -> R {
        look(&self.lock())
    }

    /// Returns the history so far, and starts an empty one.
    pub fn take(&self) -> History {
        std::mem::take(&mut self.lock())
    }

    fn push<T>(&self, list: &mut Vec<T>, item: T) -> Result<(), RecorderFull> {
        if list.len() >= self.calls_max {
            return Err(RecorderFull { calls_max: self.calls_max });
        }
        list.push(item);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use api::OrderNumber;

    use super::*;
    use crate::call::{ClientId, Moment, OrderReadOutcome};

    #[test]
    fn many_threads_record_one_bounded_history() {
        let recorder = HistoryRecorder::new(40);
        let read = |client| OrderRead {
            client: ClientId(client),
            number: OrderNumber::FIRST,
            called: Moment(1),
            returned: Some(Moment(2)),
            outcome: OrderReadOutcome::NotFound,
        };
        std::thread::scope(|scope| {
            for client in 0..4 {
                let (recorder, read) = (&recorder, &read);
                scope.spawn(move || (0..10).for_each(|_| recorder.order_read(read(client)).unwrap()));
            }
        });
        assert_eq!(recorder.order_read(read(9)), Err(RecorderFull { calls_max: 40 }));
        assert_eq!(recorder.take().order_reads.len(), 40);
        assert_eq!(recorder.take(), History::default());
    }
}
