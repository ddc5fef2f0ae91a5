//! Collects a history from many threads.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::call::{Act, History, OrderCall, OrderRead, ProductCall};

/// The recorder has no room. A history with an order missing would accuse the store of what it did not do: stop the clients and check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the history is full: it has {calls_max} calls")]
pub struct Full {
    /// How many calls fit.
    pub calls_max: usize,
}

/// A history that grows. Shared by reference; each call is written down once, when its outcome is known.
#[derive(Debug)]
pub struct Recorder {
    calls_max: usize,
    history: Mutex<History>,
}

impl Recorder {
    /// An empty one, with room for so many calls of each kind. A call takes about 100 bytes.
    pub fn new(calls_max: usize) -> Self {
        Self { calls_max, history: Mutex::default() }
    }

    /// Writes an attempt at an order down.
    pub fn order(&self, call: OrderCall) -> Result<(), Full> {
        self.push(&mut self.lock().orders, call)
    }

    /// Writes a read of a product down.
    pub fn product(&self, call: ProductCall) -> Result<(), Full> {
        self.push(&mut self.lock().products, call)
    }

    /// Writes a read of an order down.
    pub fn order_read(&self, call: OrderRead) -> Result<(), Full> {
        self.push(&mut self.lock().order_reads, call)
    }

    /// Writes an order leader's act down.
    pub fn act(&self, act: Act) -> Result<(), Full> {
        self.push(&mut self.lock().acts, act)
    }

    /// What was written down so far; the recorder begins anew.
    pub fn take(&self) -> History {
        std::mem::take(&mut self.lock())
    }

    fn push<T>(&self, list: &mut Vec<T>, item: T) -> Result<(), Full> {
        if list.len() >= self.calls_max {
            return Err(Full { calls_max: self.calls_max });
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
    fn what_many_threads_saw_is_one_history_with_a_bound() {
        let recorder = Recorder::new(40);
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
        assert_eq!(recorder.order_read(read(9)), Err(Full { calls_max: 40 }));
        assert_eq!(recorder.take().order_reads.len(), 40);
        assert_eq!(recorder.take(), History::default());
    }
}
