//! The environment that all processes of a simulation share: time, network, trace, and observer.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::Address;
use bytes::Bytes;
use history::Moment;
use http::Request;
use tokio::sync::oneshot;

use crate::network::{CallId, CallResult, MachineId, ProcessId, SimulatedNetwork};
use crate::observer::Observer;
use crate::trace::{Millis, RunTrace, TraceEvent};
use crate::watch::Watch;

/// The environment, shared by the simulation and the worlds of its processes. Clones refer to the
/// same environment.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedEnvironment(Arc<Mutex<EnvironmentState>>);

pub(crate) struct EnvironmentState {
    pub(crate) now: Millis,
    pub(crate) network: SimulatedNetwork,
    pub(crate) trace: RunTrace,
    pub(crate) observer: Observer,
    /// The messages, for a script that waits for some of them.
    pub(crate) watch: Option<Watch>,
    /// The number of moments within the current millisecond.
    moments: u64,
}

impl fmt::Debug for EnvironmentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("now", &self.now).finish_non_exhaustive()
    }
}

impl SimulatedEnvironment {
    pub(crate) fn new(network: SimulatedNetwork, trace: RunTrace) -> Self {
        let observer = Observer::default();
        Self(Arc::new(Mutex::new(EnvironmentState { now: 0, network, trace, observer, watch: None, moments: 0 })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, EnvironmentState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Millis {
        self.lock().now
    }

    /// Advances the time by one millisecond.
    pub(crate) fn tick(&self) -> Millis {
        let mut shared = self.lock();
        shared.now += 1;
        shared.moments = 0;
        shared.now
    }

    /// The current moment, later than every moment returned before. Clients run one after the
    /// other, so this is the order of their calls.
    pub(crate) fn moment(&self) -> Moment {
        let mut shared = self.lock();
        shared.moments += 1;
        assert!(shared.moments < 1_000_000, "a millisecond has at most a million moments");
        Moment(shared.now * 1_000_000 + shared.moments)
    }

    /// Records an event of a machine in the trace.
    pub(crate) fn note(&self, machine: MachineId, event: &TraceEvent) {
        self.lock().note(machine, event);
    }
}

impl EnvironmentState {
    pub(crate) fn note(&mut self, machine: MachineId, event: &TraceEvent) {
        self.trace.note(self.now, self.network.name(machine), event);
    }

    /// Sends a request.
    pub(crate) fn send_request(
        &mut self,
        caller: (MachineId, ProcessId),
        address: &Address,
        request: Request<Bytes>,
    ) -> (CallId, oneshot::Receiver<CallResult>) {
        let call = self.network.next_call();
        let ordinal = self.network.name(caller.0).strip_prefix("order-").and_then(|ordinal| ordinal.parse().ok());
        self.observer.request_sent(call, ordinal, request.uri().path(), request.body());
        if let Some(watch) = &mut self.watch
            && let Some((to, _)) = self.network.resolve(address)
        {
            watch.request_sent(call, caller.0, to, &request);
        }
        (call, self.network.send_request(self.now, caller, address, request, &mut self.trace))
    }

    /// Sends the response to a request.
    pub(crate) fn respond(&mut self, call: CallId, by: MachineId, outcome: CallResult) {
        if let Ok(response) = &outcome {
            self.observer.response_sent(self.now, call, by, response.status(), response.body());
            if let Some(status) = self.observer.last_status(self.now, by) {
                self.trace.record(|story| story.status(self.now, by, status));
            }
        }
        if let Some(watch) = &mut self.watch {
            watch.response_sent(call, &outcome);
        }
        self.network.respond(self.now, call, outcome, &mut self.trace);
    }

    /// The caller does not wait any more.
    pub(crate) fn cancel(&mut self, call: CallId) {
        self.network.cancel(self.now, call, &mut self.trace);
    }

    /// A process has died. With `closes_connections`, its operating system is still alive and
    /// closes its connections.
    pub(crate) fn process_died(&mut self, process: ProcessId, closes_connections: bool) {
        self.network.process_died(self.now, process, closes_connections, &mut self.trace);
    }
}
