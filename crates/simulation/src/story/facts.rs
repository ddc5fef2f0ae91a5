//! The two facts that contradict each other: why a failure is one, for a person who reads a story.
//!
//! A violation names the calls, ledgers or accounts that do not fit together. Each becomes a
//! sentence with a time and a process, found in what was recorded.

use api::{OrderId, OrderNumber, ProductName};
use history::{BatchEffect, Moment, OrderCall, OrderOutcome, OrderRead, OrderReadOutcome, ProductCall, Violation};
use serde::Serialize;

use super::fault::shortened;
use super::message::{MessagePart, RecordedMessage, key};
use super::recorder::{RecordedEvent, StoryRecorder};
use crate::network::MachineId;
use crate::report::{SimulationFailure, Wanted};
use crate::trace::{Fate, Millis};

/// In the message of the consensus engine when a follower lacks what the leader counted as stored.
const ENGINE_ASSERTION: &str = "follower log reversion";

/// In the message of a replica whose ledger has what its log has lost.
const DAMAGED_LEDGER: &str = ".csv is damaged";

/// One of the two facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// When it was, in virtual milliseconds.
    pub at: u64,
    /// The index of the process.
    pub lane: usize,
    /// What was said or done.
    pub text: String,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BrokenPromise {
    /// The promise, in one sentence.
    pub promise: String,
    /// The failure, as the report has it.
    pub failure: String,
    /// The facts that contradict each other; the later one ends the story.
    pub facts: [Fact; 2],
}

/// The failure that tells most; of those that are wanted, if there is one.
pub(super) fn most_telling<'a>(
    failures: &'a [SimulationFailure],
    recorder: &StoryRecorder,
    wanted: Wanted,
) -> Option<&'a SimulationFailure> {
    failures.iter().min_by_key(|failure| (!wanted(failure), rank(failure, recorder)))
}

/// The failure that tells most, and its facts.
pub(super) fn explain(
    failures: &[SimulationFailure],
    recorder: &StoryRecorder,
    wanted: Wanted,
) -> Option<BrokenPromise> {
    let best = most_telling(failures, recorder, wanted)?;
    let mut facts = facts(best, recorder);
    facts.sort_by_key(|fact| fact.at);
    let failure = match best {
        SimulationFailure::UnexpectedExit { who, code, what, .. } => {
            format!("{who} ended itself with exit code {code}: {}", shortened(what))
        }
        other => other.to_string(),
    };
    Some(BrokenPromise { promise: promise(best).to_owned(), failure, facts })
}

/// Two answers to clients tell most, and of several, the first contradiction.
fn rank(failure: &SimulationFailure, recorder: &StoryRecorder) -> (u8, Millis) {
    let class = match failure {
        SimulationFailure::Invariant(violation) => match **violation {
            Violation::Vanished { .. }
            | Violation::ReadDiffers { .. }
            | Violation::ReadsDiffer { .. }
            | Violation::TwoNumbers { .. }
            | Violation::NumberShared { .. }
            | Violation::AnswerChanged { .. } => 0,
            Violation::Lost { .. } | Violation::Overwritten { .. } => 1,
            Violation::TermWentBack { .. } | Violation::TwoLeaders { .. } | Violation::BatchOutOfTurn { .. } => 2,
            Violation::Leaked { .. } => 3,
            Violation::StaleRead { .. } => 4,
            _ => 5,
        },
        SimulationFailure::UnexpectedExit { .. } => 1,
        SimulationFailure::Liveness(_) | SimulationFailure::LedgersDiffer(_) => 6,
    };
    (class, facts(failure, recorder).iter().map(|fact| fact.at).max().unwrap_or(Millis::MAX))
}

/// The promise that a failure breaks.
fn promise(failure: &SimulationFailure) -> &'static str {
    match failure {
        SimulationFailure::Invariant(violation) => match violation.to_string().get(..2) {
            Some("I1") => "An acknowledged order is never lost and never changes.",
            Some("I2") => "One order has one number, and one number is one order.",
            Some("I3") => "Order numbers have no gaps, and all ledgers are the same.",
            Some("I4") => "Every piece is in stock, reserved for an order in progress, or sold.",
            Some("I5") => "A reader never sees an older stock than one that was acknowledged before.",
            Some("I6") => "A leader that was deposed changes nothing any more.",
            Some("I7") => "The first final answer to an order is its answer forever.",
            _ => "The store keeps its invariants.",
        },
        SimulationFailure::UnexpectedExit { what, .. } if what.contains(ENGINE_ASSERTION) => {
            "A leader counts an entry as stored only when the replica has said so."
        }
        SimulationFailure::UnexpectedExit { what, .. } if what.contains(DAMAGED_LEDGER) => {
            "What a replica has acknowledged is on its disk, also after a power failure."
        }
        SimulationFailure::UnexpectedExit { .. } => {
            "What a majority has acknowledged is in the log of every later leader."
        }
        SimulationFailure::Liveness(_) => "When all faults are over, the store works again and all replicas agree.",
        SimulationFailure::LedgersDiffer(_) => "Order numbers have no gaps, and all ledgers are the same.",
    }
}

fn facts(failure: &SimulationFailure, recorder: &StoryRecorder) -> [Fact; 2] {
    let teller = Teller(recorder);
    match failure {
        SimulationFailure::Invariant(violation) => teller.of_violation(violation),
        SimulationFailure::UnexpectedExit { who, at_ms, what, .. } => teller.of_exit(who, *at_ms, what),
        SimulationFailure::Liveness(what) => teller.of_logs(what),
        SimulationFailure::LedgersDiffer(_) => teller.of_logs("the ledgers differ although the store is quiet"),
    }
}

/// Finds facts in a recording.
struct Teller<'a>(&'a StoryRecorder);

impl Teller<'_> {
    fn of_violation(&self, violation: &Violation) -> [Fact; 2] {
        match violation {
            Violation::Vanished { call, read } | Violation::ReadDiffers { call, read } => {
                [self.order(call), self.read(read)]
            }
            Violation::ReadsDiffer { earlier, later } => [self.read(earlier), self.read(later)],
            Violation::TwoNumbers { one, other }
            | Violation::NumberShared { one, other }
            | Violation::KeyShared { one, other }
            | Violation::NumberTooLow { earlier: one, later: other }
            | Violation::AnswerChanged { first: one, other } => [self.order(one), self.order(other)],
            Violation::Lost { call, ledger, lines } => [
                self.order(call),
                self.at_end(
                    &format!("order-{ledger}"),
                    format!("the longest ledger, that of order-{ledger}, ends with order {lines}"),
                ),
            ],
            Violation::Overwritten { call, ledger, found } => [
                self.order(call),
                self.at_end(&format!("order-{ledger}"), format!("the ledger of order-{ledger} has {found} instead")),
            ],
            Violation::RefusedButPlaced { call, line } => [self.order(call), self.placed(line.number, line.order_id)],
            Violation::PlacedTwice { first, again, .. } => {
                [self.placed(first.number, first.order_id), self.placed(again.number, again.order_id)]
            }
            Violation::StaleRead { call, allowed } => {
                let text = format!("By then, {allowed} {} could be in stock", call.product);
                [self.before_read(call, &text), self.product_read(call)]
            }
            Violation::RefusedWithStock { call, allowed } | Violation::Oversold { call, allowed } => {
                let at = ms(call.called);
                let text = format!("there are {allowed} {} in stock", call.product);
                [
                    self.stock_known(&call.product, call.called).unwrap_or_else(|| self.fact(at, "catalog-1", text)),
                    self.order(call),
                ]
            }
            Violation::TermWentBack { earlier, later }
            | Violation::BatchOutOfTurn { earlier, later }
            | Violation::TwoLeaders { earlier, later } => [self.effect(earlier), self.effect(later)],
            Violation::Leaked { account } => self.leak(&account.name, account.reserved),
            Violation::SoldDiffers { account, pieces } => [
                self.at_end("order-1", format!("the placed orders contain {pieces} {}", account.name)),
                self.at_end(
                    "catalog-1",
                    format!(
                        "catalog says: {} {} are sold and {} are reserved",
                        account.sold, account.name, account.reserved
                    ),
                ),
            ],
            Violation::EndsWrong { product, stock, allowed } => [
                self.at_end("order-1", format!("after all orders, {allowed} {product} can be in stock")),
                self.at_end("catalog-1", format!("catalog says: {stock} {product} are in stock")),
            ],
            other => [
                self.at_end("order-1", "the store is quiet: every order is decided".to_owned()),
                self.at_end("order-1", other.to_string()),
            ],
        }
    }

    fn fact(&self, at: Millis, lane: &str, text: String) -> Fact {
        Fact { at, lane: self.0.lane(lane), text }
    }

    fn at_end(&self, lane: &str, text: String) -> Fact {
        self.fact(self.0.now, lane, text)
    }

    /// The machine that answered a client's call: the response arrived when the call returned.
    fn answered_by(&self, called: Moment, returned: Option<Moment>, said: &str) -> Option<MachineId> {
        let returned = ms(returned?);
        let request = |message: &&RecordedMessage| {
            message.part == MessagePart::Request && message.sent == ms(called) && message.text.contains(said)
        };
        let shoppers = self.0.lanes.len() - 1;
        let calls: Vec<_> = self.0.messages.iter().filter(request).filter(|it| it.from == shoppers).collect();
        let answer = self.0.messages.iter().find(|message| {
            message.part == MessagePart::Response
                && message.fate == Fate::Arrives(returned)
                && calls.iter().any(|call| call.call == message.call)
        });
        answer.map(|message| message.from)
    }

    fn answer(&self, called: Moment, returned: Option<Moment>, said: &str, text: &str) -> Fact {
        let at = ms(returned.unwrap_or(called));
        match self.answered_by(called, returned, said) {
            Some(lane) => Fact { at, lane, text: format!("{} answers {text}", self.0.lanes[lane]) },
            None => Fact { at, lane: self.0.lanes.len() - 1, text: format!("the answer {text}") },
        }
    }

    fn order(&self, call: &OrderCall) -> Fact {
        let OrderCall { client, order_id, product, quantity, called, returned, outcome } = call;
        let key = key(*order_id);
        let what = format!("{client}, which orders {quantity} × {product} with key {key}");
        let text = match outcome {
            OrderOutcome::Acknowledged(number) => format!("{what}: this is order {number}"),
            OrderOutcome::Refused(code) => format!("{what}: refused, {}", code.as_str().replace('_', " ")),
            OrderOutcome::Unknown => format!("{what}: nothing"),
        };
        self.answer(*called, *returned, &key, &text)
    }

    fn read(&self, read: &OrderRead) -> Fact {
        let OrderRead { client, number, called, returned, outcome } = read;
        let text = match outcome {
            OrderReadOutcome::Found { product, quantity } => {
                format!("{client}, which looks for order {number}: it is {quantity} × {product}")
            }
            OrderReadOutcome::NotFound => format!("{client}: there is no order {number}"),
            OrderReadOutcome::Unknown => format!("{client}: nothing"),
        };
        self.answer(*called, *returned, &number.to_string(), &text)
    }

    fn product_read(&self, call: &ProductCall) -> Fact {
        let stock = match call.outcome {
            history::ProductOutcome::Quantity(stock) => stock.to_string(),
            history::ProductOutcome::Unknown => "unknown".to_owned(),
        };
        let text = format!("{}, which reads {}: {stock} in stock", call.client, call.product);
        let one = self.answer(call.called, call.returned, call.product.as_str(), &text);
        if one.lane + 1 < self.0.lanes.len() {
            return one;
        }
        self.answer(call.called, call.returned, "all products", &text)
    }

    /// What was known about the stock of a product before it was read.
    fn before_read(&self, call: &ProductCall, text: &str) -> Fact {
        self.stock_known(&call.product, call.called).map_or_else(
            || self.fact(ms(call.called), "catalog-1", text.to_owned()),
            |fact| Fact { text: format!("{}. {text}", fact.text), ..fact },
        )
    }

    /// The last thing that a client or the catalog said about the stock of a product before `at`:
    /// an acknowledged order, or a restock.
    fn stock_known(&self, product: &ProductName, at: Moment) -> Option<Fact> {
        let acknowledged = |call: &&OrderCall| {
            call.product == *product && call.number().is_some() && call.returned.is_some_and(|returned| returned < at)
        };
        let order = self.0.history.orders.iter().filter(acknowledged).max_by_key(|call| call.returned);
        let restocked = |event: &&RecordedEvent| {
            event.kind == "restocked" && event.at < ms(at) && event.sentence.contains(product.as_str())
        };
        let restock = self.0.events.iter().rev().find(restocked);
        match (order, restock) {
            (Some(order), Some(restock)) if order.returned.map(ms) < Some(restock.at) => Some(happened(restock)),
            (Some(order), _) => Some(self.order(order)),
            (None, restock) => restock.map(happened),
        }
    }

    /// The leader that gave an order this number.
    fn placed(&self, number: OrderNumber, order_id: OrderId) -> Fact {
        let said = |message: &&RecordedMessage| {
            message.part == MessagePart::Response
                && message.text.split(", ").any(|text| text == format!("order {number}"))
        };
        let text = format!("gives the order with key {} number {number}", key(order_id));
        match self.0.messages.iter().find(said) {
            Some(message) => {
                let lane = message.from;
                Fact { at: message.sent, lane, text: format!("{} {text}", self.0.lanes[lane]) }
            }
            None => self.at_end("order-1", format!("order-1 {text}")),
        }
    }

    fn effect(&self, effect: &BatchEffect) -> Fact {
        let leader = effect.leader.map_or_else(|| "a leader".to_owned(), |id| format!("order-{}", id.ordinal()));
        let (term, batch) = (effect.batch.term, effect.batch.batch);
        let text = if batch.0 == 0 {
            format!("the catalog promises {leader} that no leader before term {term} can reserve any more")
        } else {
            format!("the catalog reserves stock for batch {batch} of {leader}, the leader of term {term}")
        };
        let at = ms(effect.at);
        // The response was sent by the catalog's leader at that time.
        let from_catalog = |message: &&RecordedMessage| {
            message.sent == at
                && message.part == MessagePart::Response
                && matches!(message.kind.label, "fence" | "reserve")
                && self.0.lanes[message.to] == leader
        };
        let lane = self.0.messages.iter().find(from_catalog).map_or_else(|| self.0.lane("catalog-1"), |it| it.from);
        Fact { at, lane, text }
    }

    /// Why pieces stay reserved: the catalog reserved them for a batch that was over, or nobody
    /// knows.
    fn leak(&self, product: &ProductName, pieces: u64) -> [Fact; 2] {
        let mut requests: Vec<_> = self.0.messages.iter().filter_map(ReserveRequest::of).collect();
        requests.sort_by_key(|request| request.arrived);
        let contradiction = requests.iter().enumerate().find_map(|(at, request)| {
            let newest = requests[..at].iter().max_by_key(|earlier| earlier.batch)?;
            (request.batch < newest.batch && request.orders.contains(product.as_str())).then_some((newest, request))
        });
        let Some((newest, outdated)) = contradiction else {
            return [
                self.at_end("order-1", "the store is quiet: every order is decided".to_owned()),
                self.at_end("catalog-1", format!("the catalog says: {pieces} {product} are still reserved")),
            ];
        };
        let name = |request: &ReserveRequest<'_>| (self.0.lanes[request.message.from].clone(), request.batch);
        let ((leader, (term, batch)), (old_leader, (old_term, old_batch))) = (name(newest), name(outdated));
        let begun = if batch == 0 {
            format!("asks for a fence: no leader before term {term} reserves any more")
        } else {
            format!("reserves for batch {batch} of term {term}: every batch before it is over")
        };
        let copy = if outdated.message.is_repeated { "a late second copy of its request" } else { "its late request" };
        let lane = outdated.message.to;
        let catalog = &self.0.lanes[lane];
        [
            Fact { at: newest.arrived, lane, text: format!("{leader} {begun}") },
            Fact {
                at: outdated.arrived,
                lane,
                text: format!(
                    "{catalog} reserves for {old_leader}, batch {old_batch} of term {old_term}, all the same: {copy} \
                     has arrived ({}). Nobody will ever place or release this: at the end {pieces} {product} are \
                     still reserved",
                    outdated.orders
                ),
            },
        ]
    }

    /// A process has ended itself because of what it found; before that, someone said otherwise.
    fn of_exit(&self, who: &str, at: Millis, what: &str) -> [Fact; 2] {
        if let Some(counted) = what.contains(ENGINE_ASSERTION).then(|| self.counted_too_early(who, at, what)).flatten()
        {
            return counted;
        }
        let group = who.split('-').next().unwrap_or_default();
        let ended = self.fact(at, who, format!("{who} ends itself: {}", shortened(what)));
        let said = |event: &&RecordedEvent| {
            let lane = &self.0.lanes[event.lane];
            event.at <= at
                && lane.starts_with(group)
                && matches!(event.kind, "batch_placed" | "leads" | "catalog_leads" | "takes_orders")
        };
        let by_other = |event: &&RecordedEvent| self.0.lanes[event.lane] != who;
        let says = self.0.events.iter().rev().filter(said);
        let before = if what.contains("the leader of term") {
            says.clone().find(by_other).or_else(|| says.clone().next())
        } else {
            says.clone().find(|event| event.kind == "batch_placed").or_else(|| says.clone().next())
        };
        let before = before.map_or_else(
            || self.fact(0, who, format!("{who} is started")),
            |event| {
                let meaning = match event.kind {
                    "batch_placed" => ": a majority has these orders on its disks",
                    _ => ": its log has everything that was committed",
                };
                let fact = happened(event);
                Fact { text: format!("{}{meaning}", fact.text), ..fact }
            },
        );
        [before, ended]
    }

    /// A leader has counted an entry as stored, and the follower answers that it lacks it.
    fn counted_too_early(&self, who: &str, at: Millis, what: &str) -> Option<[Fact; 2]> {
        let lane = self.0.lane(who);
        let of_replication = |message: &&RecordedMessage| matches!(message.kind.label, "append" | "heartbeat");
        let answer = self.0.messages.iter().rev().filter(of_replication).find(|message| {
            message.part == MessagePart::Response && message.to == lane && message.fate == Fate::Arrives(at)
        })?;
        let follower = &self.0.lanes[answer.from];
        let sent = self.0.messages.iter().rev().filter(of_replication).find(|message| {
            message.part == MessagePart::Request
                && (message.from, message.to) == (lane, answer.from)
                && message.sent < at
                && message.call != answer.call
        });
        let (_, numbers) = what.split_once("matching: ")?;
        let (matching, conflict) = numbers.split_once("; conflict: ")?;
        let entry = conflict.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default();
        let counted = format!(
            "{who} sends {follower} its log up to {}, and counts it as stored there without waiting for the answer",
            matching.trim().replace('-', ".")
        );
        let denied = format!(
            "{follower} answers {who} that its log does not have entry {entry}. {who} finds the contradiction (an \
             assertion of the consensus engine) and ends itself"
        );
        let counted_at = sent.map_or(answer.sent, |sent| sent.sent).min(at);
        Some([Fact { at: counted_at, lane, text: counted }, Fact { at, lane: answer.from, text: denied }])
    }

    /// Two replicas of the order group that say different things about the log.
    fn of_logs(&self, what: &str) -> [Fact; 2] {
        let says = |lane: MachineId, at: Millis, log: &str| {
            let name = &self.0.lanes[lane];
            Fact { at, lane, text: format!("{name} says that its log ends at {log}. That does not change any more") }
        };
        let mut logs: Vec<_> = (self.0.statuses.iter())
            .filter(|(lane, _)| self.0.lanes[**lane].starts_with("order-"))
            .map(|(lane, (at, status))| {
                let end = |position: Option<api::LogPosition>| {
                    position.map_or_else(|| "nothing".to_owned(), |position| position.to_string())
                };
                let log =
                    format!("{}, applied to {}, as {}", end(status.last_log), end(status.applied), status.node_id);
                (*lane, *at, log)
            })
            .collect();
        logs.sort_by_key(|(_, at, _)| *at);
        let last = logs.pop();
        let other = last.as_ref().and_then(|(_, _, log)| {
            let end = |log: &str| log.rsplit_once(", as ").map(|(end, _)| end.to_owned());
            logs.iter().rev().find(|(_, _, it)| end(it) != end(log)).cloned()
        });
        match (other, last) {
            (Some((one, one_at, one_log)), Some((lane, at, log))) => {
                [says(one, one_at, &one_log), says(lane, at, &log)]
            }
            _ => [
                self.at_end("order-1", "everything was healed, and nothing is wrong any more".to_owned()),
                self.at_end("order-1", what.to_owned()),
            ],
        }
    }
}

/// A request to reserve or to fence that arrived at the catalog.
struct ReserveRequest<'a> {
    message: &'a RecordedMessage,
    arrived: Millis,
    /// Term and number; a fence is before the first batch of its term.
    batch: (u64, u64),
    orders: &'a str,
}

impl<'a> ReserveRequest<'a> {
    fn of(message: &'a RecordedMessage) -> Option<Self> {
        let (MessagePart::Request, Fate::Arrives(arrived)) = (message.part, message.fate) else { return None };
        let (batch, orders) = match message.kind.label {
            "fence" => ((message.text.strip_prefix("term ")?.parse().ok()?, 0), ""),
            "reserve" => {
                let (id, orders) = message.text.strip_prefix("batch ")?.split_once(": ")?;
                let (term, batch) = id.split_once('/')?;
                ((term.parse().ok()?, batch.parse().ok()?), orders.split(';').next().unwrap_or_default())
            }
            _ => return None,
        };
        Some(Self { message, arrived, batch, orders })
    }
}

fn happened(event: &RecordedEvent) -> Fact {
    Fact { at: event.at, lane: event.lane, text: event.sentence.clone() }
}

fn ms(moment: Moment) -> Millis {
    moment.0 / 1_000_000
}
