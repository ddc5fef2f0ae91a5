//! Reads the commands of a script from their lines.

use std::time::Duration;

use super::command::{Call, Command, Condition, Group, Party, Route, Side, Store};
use crate::member::SimulatedMember;
use crate::trace::Millis;
use api::{OrderNumber, ProductName, Quantity, Term};

/// How long `until` waits, unless the script says `within`.
const WITHIN: Millis = 10_000;

impl Command {
    /// Reads a command from its line.
    pub(super) fn parse(line: &str) -> Result<Self, String> {
        let mut words = Words { rest: line.split_whitespace().collect(), line };
        let command = words.command()?;
        match words.rest.first() {
            None => Ok(command),
            Some(word) => Err(format!("{word} is unexpected in: {line}")),
        }
    }
}

/// The words of a line that were not read yet.
struct Words<'a> {
    rest: Vec<&'a str>,
    line: &'a str,
}

impl<'a> Words<'a> {
    fn command(&mut self) -> Result<Command, String> {
        let verb = self.next("a command")?;
        Ok(match verb {
            "store" => Command::Store(self.store()?),
            "order" => {
                let key = self.named("key")?.to_owned();
                let (toy, quantity) = (self.named("toy")?, self.named("quantity")?);
                let quantity = quantity.parse().ok().and_then(|quantity| Quantity::new(quantity).ok());
                let quantity = quantity.ok_or_else(|| format!("the quantity is not valid in: {}", self.line))?;
                self.call(Call::Order { key, toy: toy_name(toy)?, quantity })?
            }
            "get" => {
                let toy = self.next("a toy")?;
                self.call(Call::Get(toy_name(toy)?))?
            }
            "list" => self.call(Call::List)?,
            "find" => {
                let number = self.number("an order number")?;
                let number = OrderNumber::new(number).ok_or("orders are numbered from 1")?;
                self.call(Call::Find(number))?
            }
            "wait" => Command::Wait,
            "advance" => Command::Advance(self.duration()?),
            "until" => self.until()?,
            "expect" => self.expect()?,
            "status" => Command::Status(self.optional_group()),
            "ledgers" => Command::Ledgers,
            "accounts" => Command::Accounts,
            "cache" => Command::Cache(self.member()?),
            "ready" => Command::Ready(self.member()?),
            "stand" => Command::Stand { who: self.replica()?, leader_gone: self.take("gone") },
            "watch" => Command::Watch(self.routes()?),
            "kill" => Command::Kill(self.members()?),
            "power-off" => Command::PowerOff(self.members()?),
            "start" => Command::Start(self.members()?),
            "stop" => Command::Stop(self.members()?),
            "freeze" => Command::Freeze(self.members()?),
            "thaw" => Command::Thaw(self.members()?),
            "partition" => {
                let (here, there) = self.sides("|")?;
                Command::Partition(here, there)
            }
            "cut" => {
                let (from, to) = self.sides(">")?;
                Command::Cut(from, to)
            }
            "hold" => {
                let (from, to) = self.sides(">")?;
                Command::Hold(from, to)
            }
            "release" if self.take("newest") => {
                self.word("first")?;
                Command::Release { newest_first: true }
            }
            "release" => Command::Release { newest_first: false },
            "heal" if self.take("disk") => Command::HealDisk(self.member()?),
            "heal" => Command::Heal,
            "wipe" => Command::Wipe(self.member()?),
            "copy" => self.disk(Command::CopyDisk)?,
            "restore" => self.disk(Command::RestoreDisk)?,
            "slow" => {
                self.word("disk")?;
                Command::SlowDisk(self.member()?, self.duration()?)
            }
            "fill" => {
                self.word("disk")?;
                let member = self.replica()?;
                let free_mib = if self.take("except") { self.mebibytes()? } else { 0 };
                Command::FillDisk(member, free_mib)
            }
            "fail" if self.take("sync") => Command::FailSync(self.member()?),
            "fail" => {
                self.word("write")?;
                Command::FailWrite(self.member()?)
            }
            "scale" => Command::Scale(self.number("a number of order replicas")?),
            other => return Err(format!("there is no command {other}")),
        })
    }

    fn store(&mut self) -> Result<Store, String> {
        let mut store = Store {
            catalogs: 1,
            orders: 3,
            seats: 3,
            frontends: 2,
            cache: 7,
            restock: Duration::ZERO,
            checkpoints: None,
        };
        while !self.rest.is_empty() {
            let word = self.next("a setting")?;
            let (name, value) = word.split_once('=').ok_or_else(|| format!("{word} is not NAME=VALUE"))?;
            let number = |value: &str| value.parse().map_err(|_| format!("{word} is not a number"));
            match name {
                "catalogs" => store.catalogs = number(value)?,
                "orders" => store.orders = number(value)?,
                "seats" => store.seats = number(value)?,
                "frontends" => store.frontends = number(value)?,
                "cache" => store.cache = number(value)?.into(),
                "restock" => store.restock = Duration::from_millis(duration(value)?),
                "checkpoint" => {
                    let (every, kept) = value.split_once('/').ok_or("checkpoint=EVERY/KEPT")?;
                    store.checkpoints = Some((number(every)?.into(), number(kept)?.into()));
                }
                _ => return Err(format!("a store has no setting {name}")),
            }
        }
        store.seats = store.seats.max(store.orders);
        Ok(store)
    }

    fn call(&mut self, call: Call) -> Result<Command, String> {
        self.word("via")?;
        let via = self.member()?;
        if !matches!(via, SimulatedMember::Frontend(_)) {
            return Err(format!("{via} is not a frontend in: {}", self.line));
        }
        Ok(Command::Call { call, via, in_background: self.take("&") })
    }

    fn until(&mut self) -> Result<Command, String> {
        let condition = if self.take("leader") {
            Condition::Leader { who: self.replica()?, term: self.optional_term()? }
        } else if self.take("members") {
            let mut members = vec![self.replica()?];
            while self.rest.first().is_some_and(|word| word.starts_with("order-")) {
                members.push(self.replica()?);
            }
            Condition::Members(members)
        } else {
            let who = self.party()?;
            if self.take("sends") {
                Condition::Sends { who, route: self.route()?, to: self.optional_party("to")? }
            } else {
                self.word("answers")?;
                Condition::Answers { who, route: self.route()?, from: self.optional_party("from")? }
            }
        };
        let within = if self.take("within") { self.duration()? } else { WITHIN };
        Ok(Command::Until { condition, within })
    }

    fn expect(&mut self) -> Result<Command, String> {
        if self.take("no") {
            self.word("leader")?;
            let group = self.optional_group().unwrap_or(Group::Order);
            return Ok(Command::ExpectNoLeader(group));
        }
        self.word("leader")?;
        Ok(Command::ExpectLeader { who: self.replica()?, term: self.optional_term()? })
    }

    fn next(&mut self, what: &str) -> Result<&'a str, String> {
        if self.rest.is_empty() {
            return Err(format!("{what} is missing in: {}", self.line));
        }
        Ok(self.rest.remove(0))
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.rest.first() == Some(&word);
        if found {
            self.rest.remove(0);
        }
        found
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        if self.take(word) { Ok(()) } else { Err(format!("{word} is missing in: {}", self.line)) }
    }

    fn named(&mut self, name: &str) -> Result<&'a str, String> {
        let word = self.next(name)?;
        let value = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
        value.ok_or_else(|| format!("{word} should be {name}=… in: {}", self.line))
    }

    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, String> {
        let word = self.next(what)?;
        word.parse().map_err(|_| format!("{word} is not {what}"))
    }

    fn duration(&mut self) -> Result<Millis, String> {
        let word = self.next("a duration")?;
        duration(word)
    }

    fn mebibytes(&mut self) -> Result<u64, String> {
        let word = self.next("a size")?;
        let size = word.strip_suffix("MiB").and_then(|number| number.parse().ok());
        size.ok_or_else(|| format!("{word} is not a size, like 48MiB"))
    }

    fn party(&mut self) -> Result<Party, String> {
        let word = self.next("a machine")?;
        party(word)
    }

    fn optional_party(&mut self, before: &str) -> Result<Option<Party>, String> {
        if self.take(before) { self.party().map(Some) } else { Ok(None) }
    }

    fn member(&mut self) -> Result<SimulatedMember, String> {
        match self.party()? {
            Party::Member(member) => Ok(member),
            Party::Shoppers => Err(format!("the shoppers have no faults, in: {}", self.line)),
        }
    }

    fn members(&mut self) -> Result<Vec<SimulatedMember>, String> {
        let mut members = vec![self.member()?];
        while !self.rest.is_empty() {
            members.push(self.member()?);
        }
        Ok(members)
    }

    fn replica(&mut self) -> Result<SimulatedMember, String> {
        let member = self.member()?;
        if Group::of(member).is_none() {
            return Err(format!("{member} is not a replica"));
        }
        Ok(member)
    }

    fn disk(&mut self, command: impl FnOnce(SimulatedMember) -> Command) -> Result<Command, String> {
        self.word("disk")?;
        self.replica().map(command)
    }

    fn optional_term(&mut self) -> Result<Option<Term>, String> {
        if self.take("term") { self.number("a term").map(|term| Some(Term(term))) } else { Ok(None) }
    }

    fn optional_group(&mut self) -> Option<Group> {
        if self.take("catalogs") {
            return Some(Group::Catalog);
        }
        self.take("orders").then_some(Group::Order)
    }

    fn sides(&mut self, between: &str) -> Result<(Side, Side), String> {
        let middle = self.rest.iter().position(|word| *word == between);
        let middle = middle.ok_or_else(|| format!("{between} is missing in: {}", self.line))?;
        let there = self.rest.split_off(middle);
        let here = side(&std::mem::take(&mut self.rest))?;
        Ok((here, side(&there[1..])?))
    }

    fn route(&mut self) -> Result<Route, String> {
        let word = self.next("a path")?;
        let (method, path) = match word {
            path if path.starts_with('/') => (None, path),
            method => {
                let method = method.parse().map_err(|_| format!("{method} is not a method"))?;
                (Some(method), self.next("a path")?)
            }
        };
        if !path.starts_with('/') {
            return Err(format!("{path} is not a path in: {}", self.line));
        }
        Ok(Route { method, path: path.to_owned() })
    }

    fn routes(&mut self) -> Result<Vec<Route>, String> {
        let mut routes = Vec::new();
        while !self.rest.is_empty() {
            routes.push(self.route()?);
        }
        Ok(routes)
    }
}

fn toy_name(name: &str) -> Result<ProductName, String> {
    ProductName::new(name).map_err(|error| format!("{name}: {error}"))
}

fn duration(text: &str) -> Result<Millis, String> {
    let (number, factor) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or(""), 1000),
    };
    let number: Millis = number.parse().map_err(|_| format!("{text} is not a duration, like 300ms or 2s"))?;
    Ok(number * factor)
}

fn party(text: &str) -> Result<Party, String> {
    if text == "shoppers" {
        return Ok(Party::Shoppers);
    }
    let member = text.split_once('-').and_then(|(kind, n)| {
        let n = n.parse().ok()?;
        match kind {
            "catalog" => Some(SimulatedMember::Catalog(n)),
            "order" => Some(SimulatedMember::Order(n)),
            "frontend" => Some(SimulatedMember::Frontend(n)),
            _ => None,
        }
    });
    member.map(Party::Member).ok_or_else(|| format!("there is no machine {text}"))
}

fn side(words: &[&str]) -> Result<Side, String> {
    match words {
        [] => Err("a side is empty".to_owned()),
        ["others"] => Ok(Side::Others),
        these => these.iter().map(|word| party(word)).collect::<Result<_, _>>().map(Side::These),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn commands_are_words() {
        let order = |n| Party::Member(SimulatedMember::Order(n));
        let table = [
            ("kill order-1 frontend-2", Command::Kill(vec![SimulatedMember::Order(1), SimulatedMember::Frontend(2)])),
            ("partition order-1 shoppers | others", {
                Command::Partition(Side::These(vec![order(1), Party::Shoppers]), Side::Others)
            }),
            ("cut order-1 > order-2", { Command::Cut(Side::These(vec![order(1)]), Side::These(vec![order(2)])) }),
            ("slow disk order-1 100ms", Command::SlowDisk(SimulatedMember::Order(1), 100)),
            (
                "get Tux via frontend-1 &",
                Command::Call {
                    call: Call::Get(ProductName::new("Tux").unwrap()),
                    via: SimulatedMember::Frontend(1),
                    in_background: true,
                },
            ),
            (
                "until order-1 sends POST /reservations to catalog-1 within 2s",
                Command::Until {
                    condition: Condition::Sends {
                        who: order(1),
                        route: Route { method: Some(Method::POST), path: "/reservations".to_owned() },
                        to: Some(Party::Member(SimulatedMember::Catalog(1))),
                    },
                    within: 2000,
                },
            ),
            (
                "until leader order-3 term 5",
                Command::Until {
                    condition: Condition::Leader { who: SimulatedMember::Order(3), term: Some(Term(5)) },
                    within: WITHIN,
                },
            ),
            (
                "list via frontend-2",
                Command::Call { call: Call::List, via: SimulatedMember::Frontend(2), in_background: false },
            ),
            ("stand order-2 gone", Command::Stand { who: SimulatedMember::Order(2), leader_gone: true }),
            ("ready catalog-1", Command::Ready(SimulatedMember::Catalog(1))),
            ("expect no leader", Command::ExpectNoLeader(Group::Order)),
            ("heal", Command::Heal),
            ("heal disk order-2", Command::HealDisk(SimulatedMember::Order(2))),
        ];
        for (line, expected) in table {
            assert_eq!(Command::parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn mistakes_are_explained() {
        for (line, expected) in [
            ("kill", "a machine is missing in: kill"),
            ("kill printer-1", "there is no machine printer-1"),
            ("heal now", "now is unexpected in: heal now"),
            ("advance 3", "3 is not a duration, like 300ms or 2s"),
            ("get Tux via order-1", "order-1 is not a frontend in: get Tux via order-1"),
            ("store colour=red", "a store has no setting colour"),
            ("freeze shoppers", "the shoppers have no faults, in: freeze shoppers"),
        ] {
            assert_eq!(Command::parse(line), Err(expected.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_route_matches_what_is_below_its_path() {
        let route = Route { method: None, path: "/leases".to_owned() };
        assert!(route.matches(&Method::POST, "/leases") && route.matches(&Method::DELETE, "/leases/7"));
        assert!(!route.matches(&Method::POST, "/leased"));
        let route = Route { method: Some(Method::DELETE), ..route };
        assert!(!route.matches(&Method::POST, "/leases"));
    }
}
