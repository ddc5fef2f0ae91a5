//! What all processes of a simulation share: the time, the network, the trace.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::Address;
use bytes::Bytes;
use history::Moment;
use http::Request;
use tokio::sync::oneshot;

use crate::network::{CallId, MachineId, Network, Outcome, ProcessId};
use crate::observer::Observer;
use crate::trace::{Event, Millis, Trace};

/// Shared by the simulation and the worlds of its processes. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Outside(Arc<Mutex<Shared>>);

pub(crate) struct Shared {
    pub(crate) now: Millis,
    pub(crate) network: Network,
    pub(crate) trace: Trace,
    pub(crate) observer: Observer,
    /// Counts the moments within the current millisecond.
    moments: u64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Outside {
    pub(crate) fn new(network: Network, trace: Trace) -> Self {
        Self(Arc::new(Mutex::new(Shared { now: 0, network, trace, observer: Observer::default(), moments: 0 })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Millis {
        self.lock().now
    }

    /// The next millisecond.
    pub(crate) fn tick(&self) -> Millis {
        let mut shared = self.lock();
        shared.now += 1;
        shared.moments = 0;
        shared.now
    }

    /// Now, and after every moment that was given before: clients run one after the other, so their calls are in this order.
    pub(crate) fn moment(&self) -> Moment {
        let mut shared = self.lock();
        shared.moments += 1;
        assert!(shared.moments < 1_000_000, "a millisecond has a million moments");
        Moment(shared.now * 1_000_000 + shared.moments)
    }

    /// Notes that something happened at a machine.
    pub(crate) fn note(&self, machine: MachineId, event: &Event) {
        self.lock().note(machine, event);
    }
}

impl Shared {
    pub(crate) fn note(&mut self, machine: MachineId, event: &Event) {
        self.trace.note(self.now, self.network.name(machine), event);
    }

    /// Sends a request.
    pub(crate) fn ask(
        &mut self,
        caller: (MachineId, ProcessId),
        address: &Address,
        request: Request<Bytes>,
    ) -> (CallId, oneshot::Receiver<Outcome>) {
        let call = self.network.next_call();
        let seat = self.network.name(caller.0).strip_prefix("order-").and_then(|seat| seat.parse().ok());
        self.observer.asked(call, seat, request.uri().path(), request.body());
        (call, self.network.ask(self.now, caller, address, request, &mut self.trace))
    }

    /// Sends an answer to a request.
    pub(crate) fn answer(&mut self, call: CallId, by: MachineId, outcome: Outcome) {
        if let Ok(response) = &outcome {
            self.observer.answered(self.now, call, by, response.status(), response.body());
        }
        self.network.answer(self.now, call, outcome, &mut self.trace);
    }

    /// The caller waits no more.
    pub(crate) fn hang_up(&mut self, call: CallId) {
        self.network.hang_up(self.now, call, &mut self.trace);
    }

    /// A process is gone. `told`: its operating system is still there and closes the connections.
    pub(crate) fn died(&mut self, process: ProcessId, told: bool) {
        self.network.died(self.now, process, told, &mut self.trace);
    }
}
