//! The network between the processes: messages in flight, and everything that can happen to them.
//!
//! Each request and each response is one message; connections are not simulated. The caller still
//! learns what a TCP connection would report: that no process listens (refused), or that the other
//! side has died (reset). If the caller gives up, the handler is dropped. A dropped message stands
//! for a connection that hangs: neither side is notified, and the caller's own timeout ends the
//! call. A message that is *held back* stands for bytes in a connection that a partition stops: the
//! sender's kernel retransmits them, and they arrive when the network is healed, however long ago
//! the caller gave up.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;
use std::ops::RangeInclusive;

use api::Address;
use bytes::Bytes;
use http::{Method, Request, Response};
use service::world::ConnectionError;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::random::Random;
use crate::trace::{Fate, MessageContent, Millis, RunTrace, TraceEvent, fingerprint};

/// The index of a machine.
pub(crate) type MachineId = usize;
/// Identifies a process; the next process of a machine has another id.
pub(crate) type ProcessId = u64;
/// Identifies a request and its response.
pub(crate) type CallId = u64;

/// The result of a call for the caller.
pub(crate) type CallResult = Result<Response<Bytes>, ConnectionError>;

/// How unreliable the network is.
#[derive(Clone, Debug)]
pub(crate) struct NetworkConditions {
    /// How many in a thousand messages are lost.
    pub(crate) dropped: u64,
    /// How many in a thousand requests arrive twice.
    pub(crate) duplicated: u64,
    /// How many in a thousand messages are delayed.
    pub(crate) delayed: u64,
    /// By how much they are delayed, in ms.
    pub(crate) delay: RangeInclusive<Millis>,
    /// How many in a thousand messages that a partition stops arrive when it is over.
    pub(crate) held_back: u64,
    /// How many in a thousand packets are lost. TCP sends them again, so a message is delayed, not
    /// lost.
    pub(crate) packets_lost: u64,
    /// How many in a thousand other messages take 2 to 5 ms instead of one.
    pub(crate) slow: u64,
}

impl NetworkConditions {
    /// Nothing is lost, and no message takes longer than a few ms.
    pub(crate) const PERFECT: Self =
        Self { dropped: 0, duplicated: 0, delayed: 0, delay: 1..=1, held_back: 0, packets_lost: 0, slow: 100 };
    /// Each message takes one ms, so that a script's output does not depend on chance.
    pub(crate) const STEADY: Self = Self { slow: 0, ..Self::PERFECT };
}

/// How long messages that were held back may still take when the network is healed, in ms.
const HELD_BACK_DELAY_MAX: Millis = 40;
/// How many in a thousand duplicates are very late …
const LATE_DUPLICATES: u64 = 50;
/// … and by how much, in ms.
const LATE_DUPLICATE_DELAY: RangeInclusive<Millis> = 1_000..=8_000;

/// How long TCP waits before it sends a lost packet again (`TCP_RTO_MIN` on Linux). It doubles each
/// time.
const RETRANSMISSION_TIMEOUT: Millis = 200;
/// The maximum number of retransmissions here; they take six seconds.
const RETRANSMISSIONS_MAX: u32 = 5;

/// A message between two machines.
#[derive(Clone, Debug)]
pub(crate) enum NetworkMessage {
    Request { call: CallId, to: MachineId, port: u16, request: Request<Bytes> },
    Response { call: CallId, outcome: CallResult },
    Cancel { call: CallId },
}

impl NetworkMessage {
    /// Its call and what it contains.
    pub(crate) fn content(&self) -> (CallId, MessageContent<'_>) {
        match self {
            Self::Request { call, request, .. } => (*call, MessageContent::Request(request)),
            Self::Response { call, outcome } => (*call, MessageContent::Response(outcome)),
            Self::Cancel { call } => (*call, MessageContent::Cancel),
        }
    }
}

/// A request whose response has not arrived yet.
#[derive(Debug)]
struct NetworkCall {
    from: MachineId,
    caller: ProcessId,
    to: MachineId,
    what: String,
    reply: oneshot::Sender<CallResult>,
    /// The tasks that handle it; two if it arrived twice.
    handlers: Vec<(ProcessId, AbortHandle)>,
    is_answered: bool,
}

#[derive(Debug)]
pub(crate) struct SimulatedNetwork {
    random: Random,
    pub(crate) conditions: NetworkConditions,
    names: Vec<String>,
    /// Links (sender, receiver) that no message passes.
    cut: BTreeSet<(MachineId, MachineId)>,
    /// Links whose messages are held back, and until when.
    frozen: BTreeMap<(MachineId, MachineId), Millis>,
    /// Messages that arrive when their link is open again.
    held: Vec<((MachineId, MachineId), NetworkMessage)>,
    in_flight: BTreeMap<(Millis, u64), NetworkMessage>,
    sent: u64,
    calls: BTreeMap<CallId, NetworkCall>,
}

impl SimulatedNetwork {
    /// A network between machines with these names, which are also their host names.
    pub(crate) fn new(names: Vec<String>, random: Random) -> Self {
        Self {
            random,
            conditions: NetworkConditions::PERFECT,
            names,
            cut: BTreeSet::new(),
            frozen: BTreeMap::new(),
            held: Vec::new(),
            in_flight: BTreeMap::new(),
            sent: 0,
            calls: BTreeMap::new(),
        }
    }

    pub(crate) fn name(&self, machine: MachineId) -> &str {
        &self.names[machine]
    }

    /// From now on, no message passes this link.
    pub(crate) fn cut(&mut self, from: MachineId, to: MachineId) {
        self.cut.insert((from, to));
    }

    /// Holds back the messages of this link until the given time.
    pub(crate) fn freeze(&mut self, from: MachineId, to: MachineId, until: Millis) {
        let frozen = self.frozen.entry((from, to)).or_insert(until);
        *frozen = until.max(*frozen);
    }

    /// Ends all cuts. Messages that were held back arrive, unless their link is still frozen.
    pub(crate) fn heal(&mut self, now: Millis) {
        self.cut.clear();
        self.release(now);
    }

    /// Ends all freezes: the messages that were held back arrive.
    pub(crate) fn thaw(&mut self, now: Millis) {
        self.frozen.clear();
        self.release(now);
    }

    /// As [`thaw`](Self::thaw), but the messages arrive one after the other, the newest first.
    /// Nothing is drawn.
    pub(crate) fn thaw_newest_first(&mut self, now: Millis) {
        self.frozen.clear();
        // A cancellation arrives after its request.
        let (cancellations, others): (Vec<_>, Vec<_>) = take(&mut self.held)
            .into_iter()
            .map(|(_, message)| message)
            .partition(|message| matches!(message, NetworkMessage::Cancel { .. }));
        for (at, message) in (now + 1..).zip(others.into_iter().rev().chain(cancellations)) {
            self.sent += 1;
            self.in_flight.insert((at, self.sent), message);
        }
    }

    /// When the last message in flight has arrived and the last frozen link is open.
    pub(crate) fn quiet_at(&self, now: Millis) -> Millis {
        let arrives = self.in_flight.last_key_value().map_or(now, |((at, _), _)| *at);
        self.frozen.values().fold(arrives, |at, until| at.max(*until + HELD_BACK_DELAY_MAX))
    }

    /// Sends the messages that were held back on links that are open now.
    fn release(&mut self, now: Millis) {
        self.frozen.retain(|_, until| *until > now);
        for (link, message) in take(&mut self.held) {
            if self.frozen.contains_key(&link) {
                self.held.push((link, message));
                continue;
            }
            // A cancellation arrives after its request.
            let begin = if matches!(message, NetworkMessage::Cancel { .. }) { HELD_BACK_DELAY_MAX / 2 } else { 0 };
            let at = now + begin + self.random.within(1..=HELD_BACK_DELAY_MAX / 2);
            self.sent += 1;
            self.in_flight.insert((at, self.sent), message);
        }
    }

    /// The id of the next call.
    pub(crate) fn next_call(&mut self) -> CallId {
        self.sent += 1;
        self.sent
    }

    /// Sends the request of the call that [`next_call`](Self::next_call) has just returned.
    pub(crate) fn send_request(
        &mut self,
        now: Millis,
        (from, caller): (MachineId, ProcessId),
        address: &Address,
        request: Request<Bytes>,
        trace: &mut RunTrace,
    ) -> oneshot::Receiver<CallResult> {
        let call = self.sent;
        let (reply, response) = oneshot::channel();
        let Some((to, port)) = self.resolve(address) else {
            let _ = reply.send(Err(ConnectionError::Refused));
            return response;
        };
        let what = format!("{} {}", request.method(), request.uri());
        let body = fingerprint(request.body());
        trace.note(
            now,
            &self.names[from],
            &TraceEvent::Requested { call, to: self.names[to].clone(), what: what.clone(), body },
        );
        let open = NetworkCall { from, caller, to, what, reply, handlers: Vec::new(), is_answered: false };
        self.calls.insert(call, open);
        if from != to && self.random.per_mille(self.conditions.duplicated) {
            trace.count("duplicate");
            trace.note(now, &self.names[from], &TraceEvent::Duplicated { call, what: self.calls[&call].what.clone() });
            let copy = NetworkMessage::Request { call, to, port, request: request.clone() };
            if may_be_late(&copy) && self.random.per_mille(LATE_DUPLICATES) {
                let at = now + self.random.within(LATE_DUPLICATE_DELAY);
                trace.record(|story| story.sent(now, (from, to), copy.content(), Fate::Arrives(at)));
                self.in_flight.insert((at, self.sent), copy);
            } else {
                self.send(now, (from, to), call, copy, trace);
            }
        }
        self.send(now, (from, to), call, NetworkMessage::Request { call, to, port, request }, trace);
        response
    }

    /// Sends the response to a request.
    pub(crate) fn respond(&mut self, now: Millis, call: CallId, outcome: CallResult, trace: &mut RunTrace) {
        let Some(open) = self.calls.get_mut(&call).filter(|open| !open.is_answered) else { return };
        open.is_answered = true;
        let (from, to) = (open.to, open.from);
        let event = match &outcome {
            Ok(response) => {
                TraceEvent::Responded { call, status: response.status().as_u16(), body: fingerprint(response.body()) }
            }
            Err(ConnectionError::Refused) => TraceEvent::NoResponse { call, why: "refused" },
            Err(ConnectionError::Reset) => TraceEvent::NoResponse { call, why: "reset" },
        };
        trace.note(now, &self.names[from], &event);
        self.send(now, (from, to), call, NetworkMessage::Response { call, outcome }, trace);
    }

    /// The caller does not wait any more.
    pub(crate) fn cancel(&mut self, now: Millis, call: CallId, trace: &mut RunTrace) {
        if let Some(open) = self.calls.get(&call) {
            let link = (open.from, open.to);
            self.send(now, link, call, NetworkMessage::Cancel { call }, trace);
        }
    }

    /// A process has died. With `closes_connections`, its operating system is still alive and
    /// closes its connections.
    pub(crate) fn process_died(
        &mut self,
        now: Millis,
        process: ProcessId,
        closes_connections: bool,
        trace: &mut RunTrace,
    ) {
        let (mut callers, mut handlers) = (Vec::new(), Vec::new());
        for (call, open) in &self.calls {
            if open.caller == process {
                callers.push(*call);
            } else if open.handlers.iter().any(|(handler, _)| *handler == process) {
                handlers.push(*call);
            }
        }
        for call in callers {
            if closes_connections {
                self.cancel(now, call, trace);
            } else {
                self.calls.remove(&call);
            }
        }
        for call in handlers {
            let open = self.calls.get_mut(&call).expect("it was just there");
            open.handlers.retain(|(handler, _)| *handler != process);
            if closes_connections && open.handlers.is_empty() {
                self.respond(now, call, Err(ConnectionError::Reset), trace);
            }
        }
    }

    /// Registers a task that handles a request.
    pub(crate) fn add_handler(&mut self, call: CallId, process: ProcessId, handler: AbortHandle) {
        if let Some(open) = self.calls.get_mut(&call) {
            open.handlers.push((process, handler));
        }
    }

    /// Takes the messages that arrive at `now`, in order.
    pub(crate) fn due(&mut self, now: Millis) -> Vec<NetworkMessage> {
        if self.frozen.values().any(|until| *until <= now) {
            self.release(now);
        }
        let later = self.in_flight.split_off(&(now + 1, 0));
        std::mem::replace(&mut self.in_flight, later).into_values().collect()
    }

    /// Passes a response to the waiting caller.
    pub(crate) fn complete(&mut self, call: CallId, outcome: CallResult) {
        if let Some(open) = self.calls.remove(&call) {
            // The caller may have given up, which is not known here yet.
            let _ = open.reply.send(outcome);
        }
    }

    /// Aborts the handlers of a request whose caller does not wait any more.
    pub(crate) fn abort(&mut self, call: CallId) {
        for (_, handler) in self.calls.remove(&call).into_iter().flat_map(|open| open.handlers) {
            handler.abort();
        }
    }

    pub(crate) fn resolve(&self, address: &Address) -> Option<(MachineId, u16)> {
        let (host, port) = address.as_str().rsplit_once(':')?;
        let machine = self.names.iter().position(|name| name == host)?;
        Some((machine, port.parse().ok()?))
    }

    fn send(
        &mut self,
        now: Millis,
        (from, to): (MachineId, MachineId),
        call: CallId,
        message: NetworkMessage,
        trace: &mut RunTrace,
    ) {
        let describe = |calls: &BTreeMap<CallId, NetworkCall>| {
            let part = match message {
                NetworkMessage::Request { .. } => "request",
                NetworkMessage::Response { .. } => "response to",
                NetworkMessage::Cancel { .. } => "cancellation of",
            };
            format!("{part} {}", calls.get(&call).map_or("", |open| &open.what))
        };
        let frozen = self.frozen.contains_key(&(from, to));
        let held_back =
            self.cut.contains(&(from, to)) && may_be_late(&message) && self.random.per_mille(self.conditions.held_back);
        if frozen || held_back {
            let what = describe(&self.calls);
            // A cancellation may also be lost: the caller's machine may be gone.
            let lost = matches!(message, NetworkMessage::Cancel { .. }) && self.random.per_mille(500);
            let fate = if lost { "cut off" } else { "held back" };
            trace.note(now, &self.names[from], &TraceEvent::Dropped { call, what: format!("{what} ({fate})") });
            let fate = if lost { Fate::CutOff } else { Fate::HeldBack };
            trace.record(|story| story.sent(now, (from, to), message.content(), fate));
            if !lost {
                trace.count("held-back");
                self.held.push(((from, to), message));
            }
            return;
        }
        if self.cut.contains(&(from, to)) {
            let what = describe(&self.calls);
            trace.note(now, &self.names[from], &TraceEvent::Dropped { call, what: format!("{what} (cut off)") });
            trace.record(|story| story.sent(now, (from, to), message.content(), Fate::CutOff));
            return;
        }
        if from != to && self.random.per_mille(self.conditions.dropped) {
            trace.count("drop");
            trace.note(now, &self.names[from], &TraceEvent::Dropped { call, what: describe(&self.calls) });
            trace.record(|story| story.sent(now, (from, to), message.content(), Fate::Lost));
            return;
        }
        let by = if self.random.per_mille(self.conditions.delayed) {
            let by = self.random.within(self.conditions.delay.clone());
            trace.count("delay");
            trace.note(now, &self.names[from], &TraceEvent::Delayed { call, what: describe(&self.calls), by });
            by
        } else if self.random.per_mille(1000 - self.conditions.slow) {
            1
        } else {
            self.random.within(2..=5)
        };
        let by = if from != to && may_be_late(&message) { by + self.retransmission(trace) } else { by };
        trace.record(|story| story.sent(now, (from, to), message.content(), Fate::Arrives(now + by)));
        self.sent += 1;
        self.in_flight.insert((now + by, self.sent), message);
    }

    /// How much later a message arrives because its packets are lost.
    fn retransmission(&mut self, trace: &mut RunTrace) -> Millis {
        let lost = self.conditions.packets_lost;
        let mut times = 0;
        while lost > 0 && times < RETRANSMISSIONS_MAX && self.random.per_mille(lost) {
            trace.count("lost-packet");
            times += 1;
        }
        RETRANSMISSION_TIMEOUT * ((1 << times) - 1)
    }
}

/// A removal is never late: the documentation says to wait for its response before the next one.
fn may_be_late(message: &NetworkMessage) -> bool {
    !matches!(message, NetworkMessage::Request { request, .. } if request.method() == Method::DELETE)
}

#[cfg(test)]
mod tests;
