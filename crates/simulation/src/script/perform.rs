//! What each command does.

use api::catalog::StockAccount;
use api::frontend::{CacheContents, INVALIDATION_PATH};
use api::replica::{ELECTION_PATH, ReplicaStatus, StandForElection};
use api::{Address, Term};
use bytes::Bytes;
use futures::FutureExt;
use history::OrderOutcome;
use http::Request;
use serde::de::DeserializeOwned;
use service::json_client::JsonClient;
use service::{health, world};
use tokio::time::timeout;
use workload::order_outcome;

use super::command::{Call, Command, Condition, Group, Party, Side, Store};
use super::show;
use super::stage::Stage;
use crate::fault_injection::REMOVAL_DURATION;
use crate::faults::FaultKind;
use crate::member::SimulatedMember;
use crate::network::MachineId;
use crate::shoppers::REQUEST_TIMEOUT;
use crate::trace::Millis;
use crate::watch::Sent;

/// How long a store may take until it is ready.
const START_TIMEOUT: Millis = 20_000;
/// Then time for the first heartbeats and lease renewals, so that scripts begin with a quiet store.
const QUIET: Millis = 500;
/// How long a replica may take to become a member, or to be removed.
const MEMBERSHIP_TIMEOUT: Millis = 20_000;
/// Later than any script ends.
const NEVER: Millis = Millis::MAX / 2;
/// Higher than any term of a script.
const POLLED_TERM: Term = Term(1 << 19);

type Done = Result<(), String>;

/// Performs one command. An error fails the script.
pub(super) fn perform(stage: &mut Stage, command: &Command) -> Done {
    match command {
        Command::Store(store) => start(stage, store),
        Command::Call { call, via, in_background } => {
            begin(stage, call, *via)?;
            if *in_background { Ok(()) } else { stage.wait() }
        }
        Command::Wait => stage.wait(),
        Command::Advance(duration) => {
            stage.until(*duration, |_| false);
            Ok(())
        }
        Command::Until { condition, within } => until(stage, condition, *within),
        Command::ExpectLeader { .. }
        | Command::ExpectNoLeader(_)
        | Command::Status(_)
        | Command::Ledgers
        | Command::Accounts
        | Command::Cache(_)
        | Command::Ready(_) => look(stage, command),
        Command::Stand { who, leader_gone } => stand(stage, *who, *leader_gone),
        Command::Watch(routes) => {
            stage.watched.clone_from(routes);
            Ok(())
        }
        Command::Kill(members)
        | Command::PowerOff(members)
        | Command::Start(members)
        | Command::Stop(members)
        | Command::Freeze(members)
        | Command::Thaw(members) => members.iter().try_for_each(|member| {
            let id = stage.machine(Party::Member(*member))?;
            change_process(stage, command, id)
        }),
        Command::Partition(here, there) => cut(stage, FaultKind::Partition, here, there),
        Command::Cut(from, to) => cut(stage, FaultKind::OneWay, from, to),
        Command::Hold(from, to) => {
            let (from, to) = stage.sides(from, to)?;
            for from in from {
                stage.simulation.cluster.hold_back(from, &to, NEVER);
            }
            Ok(())
        }
        Command::Release { newest_first } => {
            let now = stage.now();
            let network = &mut stage.simulation.cluster.environment.lock().network;
            if *newest_first {
                network.thaw_newest_first(now);
            } else {
                network.thaw(now);
            }
            Ok(())
        }
        Command::Heal => {
            let now = stage.now();
            stage.simulation.cluster.environment.lock().network.heal(now);
            Ok(())
        }
        Command::Wipe(member)
        | Command::CopyDisk(member)
        | Command::RestoreDisk(member)
        | Command::SlowDisk(member, _)
        | Command::FillDisk(member, _)
        | Command::FailSync(member)
        | Command::FailWrite(member)
        | Command::HealDisk(member) => {
            let id = stage.machine(Party::Member(*member))?;
            change_disk(stage, command, id)
        }
        Command::Scale(to) => scale(stage, *to),
    }
}

/// Starts the store, and waits until orders can be placed and products cached.
fn start(stage: &mut Stage, store: &Store) -> Done {
    stage.start();
    let (mut leases, mut is_fenced) = (std::collections::BTreeSet::new(), false);
    let ready = stage.until(START_TIMEOUT, |stage| {
        for sent in stage.sent() {
            let Sent::Response(call, Ok((status, _))) = sent else { continue };
            if status.is_success() && call.path == "/leases" {
                leases.insert(call.from);
            }
            is_fenced |= status.is_success() && call.path == "/fence";
        }
        let cluster = &stage.simulation.cluster;
        let (orders, shared) = (cluster.order_machines(), cluster.environment.lock());
        is_fenced
            && (store.cache == 0 || leases.len() == usize::from(store.frontends))
            && shared.observer.complete(&orders, 0)
    });
    if !ready {
        return Err("the store is not ready".to_owned());
    }
    stage.until(QUIET, |_| false);
    for group in [Group::Catalog, Group::Order] {
        let statuses = stage.statuses(group)?;
        stage.print(show::leads(&statuses, group));
    }
    Ok(())
}

/// Begins a call of a shopper.
fn begin(stage: &mut Stage, call: &Call, via: SimulatedMember) -> Done {
    let SimulatedMember::Frontend(n) = via else { return Err(format!("{via} is not a frontend")) };
    stage.machine(Party::Member(via))?;
    match call.clone() {
        Call::Order { key, toy, quantity } => {
            let (id, order) = (stage.key(&key), api::public::NewOrder { name: toy, quantity });
            stage.begin(move |shopper| async move {
                let answer = shopper.through(n).place_order(id, &order).await;
                match (order_outcome(&answer), answer) {
                    (OrderOutcome::Acknowledged(number), _) => format!("{key}: order {number}"),
                    (OrderOutcome::Refused(code), _) => format!("{key}: refused, {}", code.as_str()),
                    (OrderOutcome::Unknown, Err(error)) if error.code().is_some() => {
                        format!("{key}: outcome unknown, {}", show::error(&error))
                    }
                    (OrderOutcome::Unknown, _) => format!("{key}: no answer"),
                }
            });
        }
        Call::Get(toy) => stage.begin(move |shopper| async move {
            match shopper.through(n).product(&toy).await {
                Ok(product) => format!("{via}: {} {toy} in stock", product.quantity),
                Err(error) => format!("{via}: {toy}: {}", show::error(&error)),
            }
        }),
        Call::List => stage.begin(move |shopper| async move {
            match shopper.through(n).products().await {
                Ok(products) => format!("{via}: {} in stock", show::stock(&products)),
                Err(error) => format!("{via}: {}", show::error(&error)),
            }
        }),
        Call::Find(number) => stage.begin(move |shopper| async move {
            match shopper.through(n).get_order(number).await {
                Ok(Some(order)) => format!("{via}: order {number} is {} {}", order.quantity, order.name),
                Ok(None) => format!("{via}: there is no order {number}"),
                Err(_) => format!("{via}: order {number}: no answer"),
            }
        }),
    }
    Ok(())
}

fn until(stage: &mut Stage, condition: &Condition, within: Millis) -> Done {
    let not = |what: String| Err(format!("{what}, not within {within} ms"));
    match condition {
        Condition::Sends { who, route, to } => {
            let (who_id, to_id) = (stage.machine(*who)?, to.map(|to| stage.machine(to)).transpose()?);
            let seen = stage.until_after(within, |stage| {
                stage.sent().iter().any(|sent| {
                    let Sent::Request(call) = sent else { return false };
                    call.from == who_id
                        && to_id.is_none_or(|to| call.to == to)
                        && route.matches(&call.method, &call.path)
                })
            });
            if seen { Ok(()) } else { not(format!("{who} sends {route}")) }
        }
        Condition::Answers { who, route, from } => {
            let (who_id, from_id) = (stage.machine(*who)?, from.map(|from| stage.machine(from)).transpose()?);
            let seen = stage.until_after(within, |stage| {
                stage.sent().iter().any(|sent| {
                    let Sent::Response(call, Ok(_)) = sent else { return false };
                    call.to == who_id
                        && from_id.is_none_or(|from| call.from == from)
                        && route.matches(&call.method, &call.path)
                })
            });
            if seen { Ok(()) } else { not(format!("{who} answers {route}")) }
        }
        Condition::Leader { who, term } => {
            let Some(group) = Group::of(*who) else { return Err(format!("{who} is not a replica")) };
            let end = stage.now() + within;
            loop {
                let statuses = stage.statuses(group)?;
                let line = show::leads(&statuses, group);
                if is_leader(show::leader(&statuses), *who, *term) {
                    stage.print(line);
                    return Ok(());
                }
                if stage.now() >= end {
                    return not(format!("{who} leads, but {line}"));
                }
                stage.tick();
            }
        }
        Condition::Members(members) => {
            let parties: Vec<_> = members.iter().map(|member| Party::Member(*member)).collect();
            let (machines, since) = (stage.machines(&parties)?, stage.now());
            let settled = stage
                .until(within, |stage| stage.simulation.cluster.environment.lock().observer.settled(&machines, since));
            if settled { Ok(()) } else { not("these are the members, with the same log".to_owned()) }
        }
    }
}

fn is_leader(found: Option<(SimulatedMember, &ReplicaStatus)>, who: SimulatedMember, term: Option<Term>) -> bool {
    found.is_some_and(|(member, status)| member == who && term.is_none_or(|term| status.term == term))
}

/// Reads the state of the store, and prints it or compares it with what the script expects.
fn look(stage: &mut Stage, command: &Command) -> Done {
    match command {
        Command::ExpectLeader { who, term } => {
            let Some(group) = Group::of(*who) else { return Err(format!("{who} is not a replica")) };
            let statuses = stage.statuses(group)?;
            if is_leader(show::leader(&statuses), *who, *term) {
                return Ok(());
            }
            let expected = term.map_or_else(|| format!("{who} leads"), |term| format!("{who} leads term {term}"));
            Err(format!("expected: {expected}, but {}", show::leads(&statuses, group)))
        }
        Command::ExpectNoLeader(group) => {
            let statuses = stage.statuses(*group)?;
            match show::leader(&statuses) {
                None => Ok(()),
                Some(_) => Err(format!("expected: no leader, but {}", show::leads(&statuses, *group))),
            }
        }
        Command::Status(group) => {
            let groups = group.map_or_else(|| vec![Group::Catalog, Group::Order], |group| vec![group]);
            for group in groups {
                let statuses = stage.statuses(group)?;
                for line in show::statuses(&statuses, &stage.names) {
                    stage.print(line);
                }
            }
            Ok(())
        }
        Command::Ledgers => {
            let ledgers = stage.simulation.cluster.ledgers();
            for line in show::ledgers(&ledgers, &stage.names) {
                stage.print(line);
            }
            Ok(())
        }
        Command::Accounts => {
            let statuses = stage.statuses(Group::Catalog)?;
            let Some((SimulatedMember::Catalog(n), _)) = show::leader(&statuses) else {
                stage.print(show::leads(&statuses, Group::Catalog));
                return Ok(());
            };
            let accounts: Option<Vec<StockAccount>> =
                fetch(stage, SimulatedMember::Catalog(n).internal(), "/accounts")?;
            match accounts {
                Some(accounts) => accounts.iter().for_each(|account| stage.print(show::account(account))),
                None => stage.print("the catalog does not answer".to_owned()),
            }
            Ok(())
        }
        Command::Cache(member) => {
            let contents: Option<CacheContents> = fetch(stage, member.internal(), INVALIDATION_PATH)?;
            let line = contents.map_or_else(|| format!("{member} does not answer"), |it| show::cache(*member, &it));
            stage.print(line);
            Ok(())
        }
        Command::Ready(member) => {
            let (to, request) = (member.internal(), Request::get(health::READY).body(Bytes::new()));
            let answer = async move {
                let world = world::current().expect("runs on the shoppers' machine");
                timeout(REQUEST_TIMEOUT, world.send(to, request.expect("a valid request"))).await.ok()?.ok()
            };
            let answer = stage.ask(answer.boxed())?;
            let readiness = answer.map(|answer| String::from_utf8_lossy(answer.body()).trim_end().to_owned());
            stage
                .print(readiness.map_or_else(|| format!("{member} does not answer"), |it| format!("{member} is {it}")));
            Ok(())
        }
        _ => unreachable!("it changes the store"),
    }
}

/// Reads data of a member, as an operator does.
fn fetch<T: DeserializeOwned + Send + 'static>(
    stage: &mut Stage,
    from: Address,
    path: &'static str,
) -> Result<Option<T>, String> {
    stage.ask(async move { JsonClient::new(None).get(&from, path, REQUEST_TIMEOUT).await.ok() }.boxed())
}

/// Asks a replica to stand for election, as a frontend does that has polled a very high term.
fn stand(stage: &mut Stage, who: SimulatedMember, leader_gone: bool) -> Done {
    let request = StandForElection { polled_term: POLLED_TERM, leader_gone };
    let answer = async move {
        JsonClient::new(None).post::<_, ReplicaStatus>(&who.internal(), ELECTION_PATH, &request, REQUEST_TIMEOUT).await
    };
    let status = stage.ask(answer.boxed())?.ok();
    let term = status.map_or_else(|| "does not answer".to_owned(), |status| format!("is in term {}", status.term));
    stage.print(format!("{who} {term}"));
    Ok(())
}

fn change_process(stage: &mut Stage, command: &Command, id: MachineId) -> Done {
    let (who, now) = (stage.party(id), stage.now());
    let cluster = &mut stage.simulation.cluster;
    let is_running = cluster.machines[id].is_running();
    if is_running == matches!(command, Command::Start(_)) {
        let problem = if is_running { "runs already" } else { "does not run" };
        return Err(format!("{who} {problem}"));
    }
    match command {
        Command::Kill(_) => cluster.kill(id, None),
        Command::PowerOff(_) => cluster.lose_power(id, FaultKind::PowerLoss, None),
        Command::Start(_) => cluster.start_member(id),
        Command::Stop(_) => cluster.ask_to_stop(id, FaultKind::Stop),
        Command::Freeze(_) => cluster.pause(id, None),
        Command::Thaw(_) => cluster.machines[id].resume(now),
        _ => unreachable!("not about processes"),
    }
    Ok(())
}

fn cut(stage: &mut Stage, kind: FaultKind, here: &Side, there: &Side) -> Done {
    let (here, there) = stage.sides(here, there)?;
    stage.simulation.cluster.cut(kind, &here, &there, None);
    Ok(())
}

fn change_disk(stage: &mut Stage, command: &Command, id: MachineId) -> Done {
    let cluster = &mut stage.simulation.cluster;
    match command {
        Command::Wipe(_) => cluster.wipe_disk(id, None),
        Command::CopyDisk(_) => {
            let copy = cluster.machines[id].disk().snapshot();
            stage.copies.insert(id, copy);
        }
        Command::RestoreDisk(member) => {
            let copy = stage.copies.remove(&id).ok_or_else(|| format!("there is no copy of the disk of {member}"))?;
            stage.copies.insert(id, cluster.machines[id].disk().snapshot());
            cluster.rewind_disk(id, copy, None);
        }
        Command::SlowDisk(_, delay) => cluster.slow_disk(id, *delay, None),
        Command::FillDisk(_, 0) => cluster.fail_disk(id, FaultKind::FullDisk, None),
        Command::FillDisk(_, free_mib) => cluster.machines[id].disk().set_free_bytes(free_mib << 20),
        Command::FailSync(_) => cluster.fail_disk(id, FaultKind::FailedSync, None),
        Command::FailWrite(_) => cluster.fail_disk(id, FaultKind::FailedWrite, None),
        Command::HealDisk(_) => {
            cluster.machines[id].disk().heal();
            cluster.machines[id].disk_delay().set(0);
        }
        _ => unreachable!("not about disks"),
    }
    Ok(())
}

/// Starts or removes order replicas, one after the other, the one with the highest ordinal first.
fn scale(stage: &mut Stage, to: u8) -> Done {
    let seats = stage.simulation.cluster.layout.seats;
    if !(1..=seats).contains(&to) {
        return Err(format!("this store has addresses for 1 to {seats} order replicas"));
    }
    for n in 1..=to {
        let id = stage.machine(Party::Member(SimulatedMember::Order(n)))?;
        if std::mem::replace(&mut stage.simulation.cluster.absent[id], false) {
            stage.simulation.cluster.start_member(id);
            complete(stage)?;
            stage.simulation.cluster.removed[id] = false;
            stage.print(format!("order-{n} has joined"));
        }
    }
    for n in (to + 1..=seats).rev() {
        let id = stage.machine(Party::Member(SimulatedMember::Order(n)))?;
        if stage.simulation.cluster.absent[id] {
            continue;
        }
        stage.simulation.cluster.remove_member(id, None);
        stage.simulation.cluster.absent[id] = true;
        complete(stage)?;
        stage.simulation.cluster.ask_to_stop(id, FaultKind::RemovedMember);
        // The removal is requested a few times. A replica that joined meanwhile would be removed
        // again.
        stage.until(REMOVAL_DURATION, |_| false);
        stage.print(format!("order-{n} is removed"));
    }
    Ok(())
}

/// Waits until all order replicas are members.
fn complete(stage: &mut Stage) -> Done {
    let since = stage.now();
    let complete = stage.until(MEMBERSHIP_TIMEOUT, |stage| {
        let cluster = &stage.simulation.cluster;
        let (orders, shared) = (cluster.order_machines(), cluster.environment.lock());
        shared.observer.complete(&orders, since)
    });
    if complete { Ok(()) } else { Err("the order replicas are not the members of their group".to_owned()) }
}
