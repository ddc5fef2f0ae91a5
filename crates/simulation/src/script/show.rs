//! What a script prints: names, statuses, messages, ledgers, accounts, caches.

use std::collections::BTreeMap;
use std::fmt::Write;

use api::catalog::{Fence, Fenced, ReadProducts, ReserveBatch, Resolve, Settle, StockAccount};
use api::frontend::{CacheContents, Invalidate};
use api::order::{PlaceOrder, Placement};
use api::replica::{ReplicaStatus, Role, StandForElection};
use api::{Data, ErrorBody, ErrorCode, LogPosition, NodeId, OrderId, Product};
use bytes::Bytes;
use history::LedgerFile;
use http::StatusCode;
use serde::de::DeserializeOwned;
use service::world::ConnectionError;
use workload::StoreClientError;

use super::command::{Group, Party};
use crate::member::SimulatedMember;
use crate::network::MachineId;
use crate::watch::Sent;

/// The statuses of replicas; `None` for one that does not answer.
pub(super) type Statuses = BTreeMap<SimulatedMember, Option<ReplicaStatus>>;

/// Why a call has failed.
pub(super) fn error(error: &StoreClientError) -> &'static str {
    error.code().map_or("no answer", ErrorCode::as_str)
}

/// Short names of what is identified by random numbers.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The keys of orders.
    keys: BTreeMap<OrderId, String>,
    /// The disks of each replica, in the order in which they were seen.
    disks: BTreeMap<(String, u8), Vec<NodeId>>,
}

impl Names {
    /// The order id of a key.
    pub(super) fn key(&mut self, name: &str) -> OrderId {
        // The bytes of the name, so that ids in a trace can be read.
        let mut bytes = [0; 16];
        for (to, from) in bytes.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        let id = OrderId(uuid::Uuid::from_bytes(bytes));
        self.keys.insert(id, name.to_owned());
        id
    }

    fn order(&self, id: OrderId) -> String {
        self.keys.get(&id).cloned().unwrap_or_else(|| "?".to_owned())
    }

    /// Remembers the ids in a status.
    pub(super) fn learn(&mut self, status: &ReplicaStatus) {
        let ids = status.voters.iter().chain([&status.node_id]);
        for id in ids {
            let disks = self.disks.entry((status.group.clone(), id.ordinal().0)).or_default();
            if !disks.contains(id) {
                disks.push(*id);
            }
        }
    }

    /// The ordinal of a replica; its second disk has a `b` behind it, and so on.
    fn disk(&self, group: &str, id: NodeId) -> String {
        let ordinal = id.ordinal();
        let disks = self.disks.get(&(group.to_owned(), ordinal.0));
        match disks.and_then(|disks| disks.iter().position(|it| *it == id)) {
            None | Some(0) => ordinal.to_string(),
            Some(n) => format!("{ordinal}{}", char::from(b"abcdefghijklmnopqrstuvwxyz"[n.min(25)])),
        }
    }
}

/// The leader of a group: of those that say that they lead and that a majority confirms, the one of
/// the latest term.
pub(super) fn leader(statuses: &Statuses) -> Option<(SimulatedMember, &ReplicaStatus)> {
    let leaders = statuses.iter().filter_map(|(member, status)| Some((*member, status.as_ref()?)));
    leaders.filter(|(_, status)| status.leads()).max_by_key(|(_, status)| status.term)
}

pub(super) fn leads(statuses: &Statuses, group: Group) -> String {
    match (leader(statuses), group) {
        (Some((member, status)), _) => format!("{member} leads term {}", status.term),
        (None, Group::Order) => "the orders have no leader".to_owned(),
        (None, Group::Catalog) => "the catalog has no leader".to_owned(),
    }
}

/// One line per replica.
pub(super) fn statuses(statuses: &Statuses, names: &Names) -> Vec<String> {
    let line = |(member, status): (&SimulatedMember, &Option<ReplicaStatus>)| match status {
        None => format!("{member} does not answer"),
        Some(status) => format!("{member} {}", self::status(status, names)),
    };
    statuses.iter().map(line).collect()
}

fn status(status: &ReplicaStatus, names: &Names) -> String {
    let position = |at: Option<LogPosition>| at.map_or("empty".to_owned(), |at| at.to_string());
    let term = status.term;
    let role = match (status.role, status.leader) {
        (Role::Leader, _) if status.leads() => format!("leads term {term}"),
        (Role::Leader, _) => format!("leads term {term} without a majority"),
        (Role::Candidate, _) => format!("stands in term {term}"),
        (Role::Follower, Some(leader)) => {
            format!("follows {} in term {term}", names.disk(&status.group, leader))
        }
        (Role::Follower, None) => format!("follows no leader in term {term}"),
        (Role::Learner, _) => "learns, without a vote".to_owned(),
        (Role::Empty, _) => return "is empty".to_owned(),
    };
    let mut voters: Vec<_> = status.voters.iter().map(|id| names.disk(&status.group, *id)).collect();
    voters.sort_unstable();
    let (log, applied, voters) = (position(status.last_log), position(status.applied), voters.join(" "));
    let full = if status.disk_full { "; disk full" } else { "" };
    format!("{role}; log {log}, applied {applied}; voters {voters}{full}")
}

/// Replicas with the same ledger share their lines.
pub(super) fn ledgers(ledgers: &[LedgerFile], names: &Names) -> Vec<String> {
    let mut lines = Vec::new();
    let mut groups: Vec<(Vec<String>, &[u8])> = Vec::new();
    for LedgerFile { ordinal, bytes } in ledgers {
        let owner = format!("order-{ordinal}");
        match groups.iter_mut().find(|(_, other)| *other == bytes.as_slice()) {
            Some((owners, _)) => owners.push(owner),
            None => groups.push((vec![owner], bytes)),
        }
    }
    for (owners, bytes) in groups {
        let text = String::from_utf8_lossy(bytes);
        let orders: Vec<_> = text.lines().skip(1).map(|line| ledger_line(line, names)).collect();
        let orders = if orders.is_empty() { "no orders".to_owned() } else { orders.join(", ") };
        lines.push(format!("{}: {orders}", owners.join(", ")));
    }
    lines
}

fn ledger_line(line: &str, names: &Names) -> String {
    match line.split(',').collect::<Vec<_>>()[..] {
        [number, name, quantity, id, _] => {
            let key = id.parse().map_or_else(|_| "?".to_owned(), |id| names.order(id));
            format!("{number} = {key} ({quantity} {name})")
        }
        _ => format!("malformed: {line}"),
    }
}

pub(super) fn account(account: &StockAccount) -> String {
    let StockAccount { name, restocked, stock, sold, reserved, .. } = account;
    format!("{name}: {stock} in stock, {reserved} reserved, {sold} sold, {restocked} restocked")
}

pub(super) fn cache(member: SimulatedMember, contents: &CacheContents) -> String {
    let lease = if contents.lease_valid { "with a lease" } else { "without a lease" };
    let mut products: Vec<_> =
        contents.products.iter().map(|product| format!("{} {}", product.name, product.quantity)).collect();
    products.sort_unstable();
    let products = if products.is_empty() { "nothing cached".to_owned() } else { products.join(", ") };
    format!("{member} {lease}: {products}")
}

/// What is in stock.
pub(super) fn stock(products: &[Product]) -> String {
    list(products.iter().map(|product| format!("{} {}", product.quantity, product.name)))
}

/// A request, or the answer to it.
pub(super) fn message(sent: &Sent, names: &Names, party: impl Fn(MachineId) -> Party) -> String {
    let (Sent::Request(call) | Sent::Response(call, _)) = sent;
    let (from, to, path) = (party(call.from), party(call.to), &call.path);
    // The id of a lease's holder is random.
    let path = if path.starts_with("/leases/") { "/leases/…" } else { path };
    let method = &call.method;
    match sent {
        Sent::Request(call) => {
            let detail = request_detail(&call.path, &call.body, names);
            format!("{from} → {to}: {method} {path}{detail}")
        }
        Sent::Response(call, Ok((status, body))) => {
            let detail = response_detail(&call.path, *status, body, names);
            format!("{from} ← {to}: {} to {method} {path}{detail}", status.as_u16())
        }
        Sent::Response(_, Err(ConnectionError::Refused)) => format!("{from} ← {to}: refused {method} {path}"),
        Sent::Response(_, Err(ConnectionError::Reset)) => format!("{from} ← {to}: reset {method} {path}"),
    }
}

fn json<T: DeserializeOwned>(body: &Bytes) -> Option<T> {
    serde_json::from_slice(body).ok()
}

fn data<T: DeserializeOwned>(body: &Bytes) -> Option<T> {
    json::<Data<T>>(body).map(|body| body.data)
}

fn request_detail(path: &str, body: &Bytes, names: &Names) -> String {
    let orders = |ids: &[OrderId]| list(ids.iter().map(|id| names.order(*id)));
    let settled = |settle: Settle| {
        let released =
            if settle.released.is_empty() { String::new() } else { format!(" but {}", orders(&settle.released)) };
        format!("settles through {}/{}{released}", settle.term, settle.through)
    };
    let detail = match path {
        "/reservations" => json::<ReserveBatch>(body).map(|batch| {
            let lines = batch
                .orders
                .iter()
                .map(|line| format!("{} ({} {})", names.order(line.order_id), line.quantity, line.name));
            let settles = batch.settle.map_or_else(String::new, |settle| format!(", {}", settled(settle)));
            format!("batch {}: {}{settles}", batch.id, list(lines))
        }),
        "/settlements" => json(body).map(settled),
        "/fence" => json::<Fence>(body).map(|fence| format!("term {}", fence.term)),
        "/resolution" => json::<Resolve>(body)
            .map(|it| format!("term {}, keep {}, release {}", it.term, orders(&it.keep), orders(&it.release))),
        "/cache" => json::<Invalidate>(body).map(|change| {
            list(change.products.iter().map(|product| format!("{} version {}", product.name, product.version)))
        }),
        "/election" => json::<StandForElection>(body).map(|it| {
            let gone = if it.leader_gone { ", the leader is gone" } else { "" };
            format!("polled term {}{gone}", it.polled_term)
        }),
        "/products/batch" => {
            json::<ReadProducts>(body).map(|read| list(read.names.as_slice().iter().map(ToString::to_string)))
        }
        "/orders/batch" => {
            json::<Vec<PlaceOrder>>(body).map(|batch| list(batch.iter().map(|order| names.order(order.line.order_id))))
        }
        _ => None,
    };
    detail.map_or_else(String::new, |detail| format!(" ({detail})"))
}

fn response_detail(path: &str, status: StatusCode, body: &Bytes, names: &Names) -> String {
    let detail = if status.is_success() {
        match path {
            "/fence" => {
                data::<Fenced>(body).map(|it| format!("open: {}", list(it.open.iter().map(|id| names.order(*id)))))
            }
            "/orders/batch" => data::<Vec<Placement>>(body).map(|batch| {
                list(batch.iter().map(|placement| match placement {
                    Placement::Placed(placed) => format!("order {}", placed.order_number),
                    Placement::Refused(error) => error.code.as_str().to_owned(),
                }))
            }),
            _ => None,
        }
    } else {
        json::<ErrorBody>(body).map(|body| body.error.code.as_str().to_owned())
    };
    detail.map_or_else(String::new, |detail| format!(" ({detail})"))
}

fn list(items: impl IntoIterator<Item = String>) -> String {
    let mut text = String::new();
    for item in items {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{item}", if text.is_empty() { "" } else { ", " });
    }
    if text.is_empty() { "none".to_owned() } else { text }
}
