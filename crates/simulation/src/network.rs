//! What lies between the processes: requests on their way, answers on theirs, and everything that can happen to them.
//!
//! A request is carried whole and so is its answer; there is no connection below them. What a TCP connection would have told is
//! told here: that nobody listens (refused), that the other side died (reset), that the caller hung up (the handler is dropped).
//! A request or an answer that is dropped stands for a connection that hangs: nobody is told, and the caller's own time-out ends it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use api::Address;
use bytes::Bytes;
use http::{Request, Response};
use service::world::Lost;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::random::Random;
use crate::trace::{Event, Millis, Trace, fingerprint};

/// A machine, by its place in the list of all.
pub(crate) type MachineId = usize;
/// A process; a machine's next process has another one.
pub(crate) type ProcessId = u64;
/// One request.
pub(crate) type CallId = u64;

/// What a caller gets.
pub(crate) type Outcome = Result<Response<Bytes>, Lost>;

/// How bad the network is.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// Messages in a thousand that are lost.
    pub(crate) dropped: u64,
    /// Requests in a thousand that arrive twice.
    pub(crate) doubled: u64,
    /// Messages in a thousand that are late.
    pub(crate) late: u64,
    /// How late, in ms.
    pub(crate) lateness: RangeInclusive<Millis>,
}

impl Weather {
    /// Nothing is lost, and nothing takes longer than a few ms.
    pub(crate) const FAIR: Self = Self { dropped: 0, doubled: 0, late: 0, lateness: 1..=1 };
}

/// Something that arrives.
#[derive(Debug)]
pub(crate) enum Message {
    Request { call: CallId, to: MachineId, port: u16, request: Request<Bytes> },
    Answer { call: CallId, outcome: Outcome },
    HangUp { call: CallId },
}

/// A request that has no answer yet.
#[derive(Debug)]
struct Call {
    from: MachineId,
    caller: ProcessId,
    to: MachineId,
    what: String,
    answer: oneshot::Sender<Outcome>,
    /// Who works on it; two if it arrived twice.
    handlers: Vec<(ProcessId, AbortHandle)>,
    answered: bool,
}

#[derive(Debug)]
pub(crate) struct Network {
    random: Random,
    pub(crate) weather: Weather,
    names: Vec<String>,
    /// From whom to whom nothing passes.
    cut: BTreeSet<(MachineId, MachineId)>,
    in_flight: BTreeMap<(Millis, u64), Message>,
    sent: u64,
    calls: BTreeMap<CallId, Call>,
}

impl Network {
    /// Between the machines of those names, which are their hosts' names, too.
    pub(crate) fn new(names: Vec<String>, random: Random) -> Self {
        Self {
            random,
            weather: Weather::FAIR,
            names,
            cut: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            sent: 0,
            calls: BTreeMap::new(),
        }
    }

    pub(crate) fn name(&self, machine: MachineId) -> &str {
        &self.names[machine]
    }

    /// From now on nothing passes from one to the other.
    pub(crate) fn cut(&mut self, from: MachineId, to: MachineId) {
        self.cut.insert((from, to));
    }

    /// Everything passes again.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    /// The number of the next request that is sent.
    pub(crate) fn next_call(&mut self) -> CallId {
        self.sent += 1;
        self.sent
    }

    /// Sends a request, the one that [`next_call`](Self::next_call) has just numbered.
    pub(crate) fn ask(
        &mut self,
        now: Millis,
        (from, caller): (MachineId, ProcessId),
        address: &Address,
        request: Request<Bytes>,
        trace: &mut Trace,
    ) -> oneshot::Receiver<Outcome> {
        let call = self.sent;
        let (answer, answered) = oneshot::channel();
        let Some((to, port)) = self.resolve(address) else {
            let _ = answer.send(Err(Lost::Refused));
            return answered;
        };
        let what = format!("{} {}", request.method(), request.uri());
        let body = fingerprint(request.body());
        trace.note(
            now,
            &self.names[from],
            &Event::Asked { call, to: self.names[to].clone(), what: what.clone(), body },
        );
        let open = Call { from, caller, to, what, answer, handlers: Vec::new(), answered: false };
        self.calls.insert(call, open);
        if from != to && self.random.per_mille(self.weather.doubled) {
            trace.count("duplicate");
            trace.note(now, &self.names[from], &Event::Doubled { call, what: self.calls[&call].what.clone() });
            let copy = Message::Request { call, to, port, request: request.clone() };
            self.send(now, (from, to), call, copy, trace);
        }
        self.send(now, (from, to), call, Message::Request { call, to, port, request }, trace);
        answered
    }

    /// Sends an answer to a request.
    pub(crate) fn answer(&mut self, now: Millis, call: CallId, outcome: Outcome, trace: &mut Trace) {
        let Some(open) = self.calls.get_mut(&call).filter(|open| !open.answered) else { return };
        open.answered = true;
        let (from, to) = (open.to, open.from);
        let event = match &outcome {
            Ok(response) => {
                Event::Answered { call, status: response.status().as_u16(), body: fingerprint(response.body()) }
            }
            Err(Lost::Refused) => Event::NoAnswer { call, why: "refused" },
            Err(Lost::Reset) => Event::NoAnswer { call, why: "reset" },
        };
        trace.note(now, &self.names[from], &event);
        self.send(now, (from, to), call, Message::Answer { call, outcome }, trace);
    }

    /// The caller waits no more.
    pub(crate) fn hang_up(&mut self, now: Millis, call: CallId, trace: &mut Trace) {
        if let Some(open) = self.calls.get(&call) {
            let way = (open.from, open.to);
            self.send(now, way, call, Message::HangUp { call }, trace);
        }
    }

    /// A process is gone. `told`: its operating system is still there and closes the connections.
    pub(crate) fn died(&mut self, now: Millis, process: ProcessId, told: bool, trace: &mut Trace) {
        let (mut callers, mut handlers) = (Vec::new(), Vec::new());
        for (call, open) in &self.calls {
            if open.caller == process {
                callers.push(*call);
            } else if open.handlers.iter().any(|(handler, _)| *handler == process) {
                handlers.push(*call);
            }
        }
        for call in callers {
            if told {
                self.hang_up(now, call, trace);
            } else {
                self.calls.remove(&call);
            }
        }
        for call in handlers {
            let open = self.calls.get_mut(&call).expect("it was just there");
            open.handlers.retain(|(handler, _)| *handler != process);
            if told && open.handlers.is_empty() {
                self.answer(now, call, Err(Lost::Reset), trace);
            }
        }
    }

    /// Someone works on a request.
    pub(crate) fn handled(&mut self, call: CallId, process: ProcessId, handler: AbortHandle) {
        if let Some(open) = self.calls.get_mut(&call) {
            open.handlers.push((process, handler));
        }
    }

    /// What arrives at `now`, in order.
    pub(crate) fn due(&mut self, now: Millis) -> Vec<Message> {
        let later = self.in_flight.split_off(&(now + 1, 0));
        std::mem::replace(&mut self.in_flight, later).into_values().collect()
    }

    /// Gives an answer to who waits for it.
    pub(crate) fn arrive(&mut self, call: CallId, outcome: Outcome) {
        if let Some(open) = self.calls.remove(&call) {
            // Its caller may have given up, and that is not known here yet.
            let _ = open.answer.send(outcome);
        }
    }

    /// Drops the handlers of a request that nobody waits for.
    pub(crate) fn abandon(&mut self, call: CallId) {
        for (_, handler) in self.calls.remove(&call).into_iter().flat_map(|open| open.handlers) {
            handler.abort();
        }
    }

    fn resolve(&self, address: &Address) -> Option<(MachineId, u16)> {
        let (host, port) = address.as_str().rsplit_once(':')?;
        let machine = self.names.iter().position(|name| name == host)?;
        Some((machine, port.parse().ok()?))
    }

    fn send(
        &mut self,
        now: Millis,
        (from, to): (MachineId, MachineId),
        call: CallId,
        message: Message,
        trace: &mut Trace,
    ) {
        let describe = |calls: &BTreeMap<CallId, Call>| {
            let part = match message {
                Message::Request { .. } => "request",
                Message::Answer { .. } => "answer to",
                Message::HangUp { .. } => "end of",
            };
            format!("{part} {}", calls.get(&call).map_or("", |open| &open.what))
        };
        if self.cut.contains(&(from, to)) {
            let what = describe(&self.calls);
            trace.note(now, &self.names[from], &Event::Dropped { call, what: format!("{what} (cut off)") });
            return;
        }
        if from != to && self.random.per_mille(self.weather.dropped) {
            trace.count("drop");
            trace.note(now, &self.names[from], &Event::Dropped { call, what: describe(&self.calls) });
            return;
        }
        let by = if self.random.per_mille(self.weather.late) {
            let by = self.random.within(self.weather.lateness.clone());
            trace.count("delay");
            trace.note(now, &self.names[from], &Event::Delayed { call, what: describe(&self.calls), by });
            by
        } else if self.random.per_mille(900) {
            1
        } else {
            self.random.within(2..=5)
        };
        self.sent += 1;
        self.in_flight.insert((now + by, self.sent), message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Tell;

    const CALLER: (MachineId, ProcessId) = (0, 10);

    fn network(weather: Weather) -> (Network, Trace) {
        let mut network = Network::new(vec!["a".into(), "b".into()], Random::new(1));
        network.weather = weather;
        (network, Trace::new(Tell::Nothing, None))
    }

    fn arrivals(network: &mut Network, until: Millis) -> Vec<Message> {
        (1..=until).flat_map(|now| network.due(now)).collect()
    }

    fn request() -> Request<Bytes> {
        Request::get("/x").body(Bytes::new()).unwrap()
    }

    #[test]
    fn a_request_and_its_answer_arrive_later_than_they_were_sent() {
        let (mut network, mut trace) = network(Weather::FAIR);
        let call = network.next_call();
        let mut answer = network.ask(0, CALLER, &Address::new("b", 7), request(), &mut trace);
        assert!(network.due(0).is_empty());
        let arrived = arrivals(&mut network, 5);
        assert!(matches!(arrived[..], [Message::Request { to: 1, port: 7, .. }]), "{arrived:?}");
        network.answer(5, call, Ok(Response::new(Bytes::new())), &mut trace);
        for message in arrivals(&mut network, 10) {
            let Message::Answer { call, outcome } = message else { panic!("{message:?}") };
            network.arrive(call, outcome);
        }
        assert_eq!(answer.try_recv().unwrap().unwrap().status(), 200);
    }

    #[test]
    fn the_weather_drops_doubles_and_delays() {
        let (mut network, mut trace) = network(Weather { dropped: 1000, ..Weather::FAIR });
        network.next_call();
        network.ask(0, CALLER, &Address::new("b", 7), request(), &mut trace);
        assert!(arrivals(&mut network, 100).is_empty());
        network.weather = Weather { doubled: 1000, late: 1000, lateness: 50..=60, ..Weather::FAIR };
        network.next_call();
        network.ask(0, CALLER, &Address::new("b", 7), request(), &mut trace);
        assert!(arrivals(&mut network, 49).is_empty());
        assert_eq!(arrivals(&mut network, 60).len(), 2);
        assert_eq!(trace.faults()["drop"], 1);
    }

    #[test]
    fn a_cut_goes_one_way() {
        let (mut network, mut trace) = network(Weather::FAIR);
        network.cut(1, 0);
        let call = network.next_call();
        let _answer = network.ask(0, CALLER, &Address::new("b", 7), request(), &mut trace);
        assert_eq!(arrivals(&mut network, 5).len(), 1, "the request passes");
        network.answer(5, call, Ok(Response::new(Bytes::new())), &mut trace);
        assert_eq!(arrivals(&mut network, 20).len(), 0, "its answer does not");
        network.heal();
        network.next_call();
        network.ask(20, (1, 11), &Address::new("a", 7), request(), &mut trace);
        assert_eq!(arrivals(&mut network, 30).len(), 1);
    }

    #[test]
    fn the_end_of_a_process_resets_what_it_worked_on_if_someone_can_tell() {
        for (told, outcome) in [(true, Some(Err(Lost::Reset))), (false, None)] {
            let (mut network, mut trace) = network(Weather::FAIR);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let call = network.next_call();
            let mut answer = network.ask(0, CALLER, &Address::new("b", 7), request(), &mut trace);
            arrivals(&mut network, 5);
            network.handled(call, 20, runtime.spawn(async {}).abort_handle());
            network.died(5, 20, told, &mut trace);
            for message in arrivals(&mut network, 20) {
                let Message::Answer { call, outcome } = message else { panic!("{message:?}") };
                network.arrive(call, outcome);
            }
            assert_eq!(answer.try_recv().ok().map(|outcome| outcome.map(drop)), outcome, "told: {told}");
        }
    }
}
