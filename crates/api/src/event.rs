//! Protocol events: what a process did that matters to the protocols of the store, as data.
//!
//! | request | response |
//! |---|---|
//! | `GET /events?since=N` | Server-Sent Events: the [`Recorded`] events after number `N`, then new ones as they happen; every internal port |
//!
//! An event is defined once, here, with its fields, its log level, its topic and its sentence. The
//! crate `service` writes the log line and keeps the event in the process's ring from that one
//! definition, so that the log, the console and the stories of the simulation cannot disagree.
//!
//! Events tell what happened; nothing decides by them. A process keeps the newest
//! [`EVENTS_KEPT`], and a reader that is slower than that is told how many it missed.

mod topic;
mod value;

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use topic::Topic;
pub use value::{EVENT_TEXT_MAX, Microseconds, Milliseconds, Text};

use crate::{Address, BatchNumber, NodeId, OrderNumber, Ordinal, ProductName, Term};

/// Path of a process's events.
pub const EVENTS_PATH: &str = "/events";

/// How many events a process keeps. At about 200 bytes each, they take less than 1 MiB.
pub const EVENTS_KEPT: usize = 4096;

/// An event, when it happened, and its number in its process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The number of the event in its process, from 1, without gaps.
    pub sequence: u64,
    /// When it happened, in microseconds since 1970, by the clock of its machine.
    pub at_us: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// The first message of a stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStart {
    /// Differs for each start of a process. Numbers of events belong to one start.
    pub incarnation: u64,
    /// The number of the newest event so far; 0 if there is none.
    pub newest: u64,
}

/// Tells a reader that events are missing: it was too slow, or asked for events that are no longer
/// kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// How many events are missing.
    pub missed: u64,
}

/// The name of a replication group, `order` or `catalog`.
pub type GroupName = Cow<'static, str>;

/// One of a few names, such as a reason.
pub type Label = Cow<'static, str>;

/// Defines the events: for each its doc, its name on the wire, whether a person who watches the
/// store wants to see it, its topic, its log level and target, its fields, and its sentence, which
/// continues the name of the process.
macro_rules! events {
    ($(
        $(#[$doc:meta])*
        $name:ident = $kind:literal, $notable:ident, $topic:ident, $level:ident in $target:literal {
            $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
        } => $sentence:literal;
    )*) => {
        /// Something that a process did.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Event {
            $($(#[$doc])* #[serde(rename = $kind)] $name { $($(#[$field_doc])* $field: $type,)* },)*
        }

        impl Event {
            /// The names of all kinds on the wire.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// The name of its kind on the wire.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$name { .. } => $kind,)* }
            }

            /// Whether a person who watches the store wants to see it. The others happen for every
            /// order or product.
            pub fn is_notable(&self) -> bool {
                match self { $(Self::$name { .. } => Self::$notable,)* }
            }

            /// What it is about.
            pub fn topic(&self) -> Topic {
                match self { $(Self::$name { .. } => Topic::$topic,)* }
            }

            /// Writes it to the log.
            pub fn log(&self) {
                match self {
                    $(Self::$name { $($field,)* } => {
                        tracing::event!(
                            target: $target,
                            tracing::Level::$level,
                            kind = $kind,
                            $($field = %$field,)*
                            $sentence
                        );
                    })*
                }
            }
        }

        /// The sentence that continues the name of the process: "order-2 *leads term 5*".
        impl fmt::Display for Event {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$name { $($field,)* } => {
                        // Not every field is in the sentence.
                        $(let _ = $field;)*
                        write!(f, $sentence)
                    })*
                }
            }
        }
    };
}

impl Event {
    #[allow(non_upper_case_globals)]
    const notable: bool = true;
    #[allow(non_upper_case_globals)]
    const detail: bool = false;
}

events! {
    /// A process no longer sends requests to a leader, because one failed or because it does not
    /// lead.
    LeaderSuspected = "leader_suspected", notable, Election, DEBUG in "discovery" {
        /// The replication group.
        group: GroupName,
        /// The leader.
        ordinal: Ordinal,
        /// The term.
        term: Term,
    } => "suspects {group}-{ordinal}, the leader of term {term}";

    /// A process sends its requests to this leader from now on.
    LeaderFound = "leader_found", notable, Election, DEBUG in "discovery" {
        /// The replication group.
        group: GroupName,
        /// The leader.
        ordinal: Ordinal,
        /// The term.
        term: Term,
    } => "sends its requests to {group}-{ordinal}, the leader of term {term}";

    /// A frontend starts an election.
    ElectionStarted = "election_started", notable, Election, INFO in "frontend" {
        /// The replication group.
        group: GroupName,
        /// The replica that it asks to stand.
        candidate: Ordinal,
        /// Why the leader was found to be missing.
        reason: Label,
    } => "starts an election: it asks {group}-{candidate} to stand (the leader is {reason})";

    /// The candidate does not stand.
    CandidateDeclined = "candidate_declined", notable, Election, INFO in "frontend" {
        /// The replication group.
        group: GroupName,
        /// The candidate.
        candidate: Ordinal,
        /// Why.
        why: Text,
    } => "hears that {group}-{candidate} does not stand: {why}";

    /// A frontend has a new leader, which a majority follows.
    LeaderConfirmed = "leader_confirmed", notable, Election, INFO in "frontend" {
        /// The replication group.
        group: GroupName,
        /// The leader.
        ordinal: Ordinal,
        /// The term.
        term: Term,
        /// Why the previous leader was found to be missing.
        reason: Label,
        /// How long this frontend had no leader, in ms.
        elapsed_ms: Milliseconds,
    } => "has a new leader, {group}-{ordinal} in term {term}, after {elapsed_ms} ms without one";

    /// There is no leader, and no election is possible at the moment.
    ElectionImpossible = "election_impossible", notable, Election, WARN in "frontend" {
        /// The replication group.
        group: GroupName,
        /// Why.
        obstacle: Text,
    } => "finds no leader of the {group} group, and cannot have one elected: {obstacle}";

    /// The group has no leader yet, because it is being bootstrapped.
    GroupStarting = "group_starting", notable, Election, INFO in "frontend" {
        /// The replication group.
        group: GroupName,
    } => "waits for the first leader of the {group} group";

    /// The catalog granted the cache's lease: the frontend may serve from its cache.
    LeaseHeld = "lease_held", notable, Cache, INFO in "frontend" {} => "holds a lease: it may serve products from its cache";

    /// The cache has no lease: every product is read from the catalog.
    LeaseLost = "lease_lost", notable, Cache, WARN in "frontend" {
        /// Why the lease could not be renewed.
        error: Text,
    } => "has no lease and reads every product from the catalog: {error}";

    /// A product was fetched, and kept in the cache.
    CacheFilled = "cache_filled", detail, Cache, TRACE in "frontend" {
        /// The product.
        product: ProductName,
    } => "keeps {product} in its cache";

    /// A product was fetched, but not kept: it changed meanwhile, or there was no lease.
    FillRefused = "fill_refused", notable, Cache, DEBUG in "frontend" {
        /// The product.
        product: ProductName,
    } => "does not keep {product} in its cache: it may have changed since it was read";

    /// A product was removed from the cache, because it is about to change.
    CacheInvalidated = "cache_invalidated", detail, Cache, TRACE in "frontend" {
        /// The product.
        product: ProductName,
    } => "drops {product} from its cache, because its stock changes";

    /// The replica has started.
    ReplicaStarted = "replica_started", notable, Good, INFO in "replication" {
        /// The replication group.
        group: GroupName,
        /// Its identity.
        node_id: NodeId,
    } => "has started as {node_id} of the {group} group";

    /// The replica stands for election.
    StoodForElection = "stood_for_election", notable, Election, DEBUG in "replication" {
        /// The replication group.
        group: GroupName,
        /// The term.
        term: Term,
    } => "stands for election in term {term}";

    /// The replica has voted, and its vote is on its disk.
    Voted = "voted", notable, Election, DEBUG in "replication" {
        /// The term.
        term: Term,
        /// For whom.
        candidate: NodeId,
    } => "votes for {candidate} in term {term}";

    /// The replica leads its group.
    Leads = "leads", notable, Election, INFO in "replication" {
        /// The replication group.
        group: GroupName,
        /// The term.
        term: Term,
    } => "leads the {group} group in term {term}";

    /// The replica follows a leader.
    Follows = "follows", notable, Election, INFO in "replication" {
        /// The replication group.
        group: GroupName,
        /// The leader.
        leader: NodeId,
    } => "follows {leader}";

    /// The replica knows no leader.
    FollowsNobody = "follows_nobody", notable, Election, INFO in "replication" {
        /// The replication group.
        group: GroupName,
    } => "follows no leader";

    /// The leader has given its leadership to another replica.
    LeadershipTransferred = "leadership_transferred", notable, Election, INFO in "replication" {
        /// The new leader.
        successor: NodeId,
    } => "has handed leadership to {successor}";

    /// A replica without a vote receives the log.
    ReplicaJoining = "replica_joining", notable, Member, INFO in "replication" {
        /// The replica.
        joining: NodeId,
    } => "sends the log to {joining}, which joins the group";

    /// A replica has a vote from now on.
    ReplicaJoined = "replica_joined", notable, Member, INFO in "replication" {
        /// The replica.
        joining: NodeId,
    } => "has admitted {joining}: it has a vote";

    /// A replica has no vote any more.
    ReplicaRemoved = "replica_removed", notable, Member, INFO in "replication" {
        /// The replica.
        ordinal: Ordinal,
    } => "has removed replica {ordinal} from the group: it has no vote any more";

    /// The replica has saved its state, so that older log entries can be deleted.
    CheckpointMade = "checkpoint_made", notable, Member, INFO in "replication" {
        /// The last log entry in it.
        position: Text,
    } => "has made a checkpoint at {position}";

    /// The leader sends its state to a replica that is too far behind for the log.
    StateSent = "state_sent", notable, Member, INFO in "replication" {
        /// The replica.
        target_id: NodeId,
        /// The last log entry in it.
        position: Text,
    } => "sends its state at {position} to {target_id}, which is too far behind for the log";

    /// The replica installs a state that it has received.
    StateReceived = "state_received", notable, Member, INFO in "replication" {
        /// The last log entry in it.
        position: Text,
    } => "installs a received state at {position}";

    /// The replica's disk has free space again.
    DiskAmple = "disk_ample", notable, Good, INFO in "replication" {
        /// The free space, in MiB.
        free_mib: u64,
        /// The reserve, in MiB.
        reserve_mib: u64,
    } => "has {free_mib} MiB of free disk space: enough again";

    /// The free space is below the reserve.
    DiskLow = "disk_low", notable, Fault, WARN in "replication" {
        /// The free space, in MiB.
        free_mib: u64,
        /// The reserve, in MiB.
        reserve_mib: u64,
    } => "has {free_mib} MiB of free disk space, less than its reserve of {reserve_mib}; if a majority is as full, new orders are refused";

    /// The free space is below half of the reserve.
    DiskFull = "disk_full", notable, Fault, ERROR in "replication" {
        /// The free space, in MiB.
        free_mib: u64,
        /// The reserve, in MiB.
        reserve_mib: u64,
    } => "has {free_mib} MiB of free disk space, less than half of its reserve of {reserve_mib}; it refuses entries";

    /// A new order leader takes over from the previous one.
    TakingOver = "taking_over", notable, Election, INFO in "order" {
        /// The term.
        term: Term,
    } => "leads; taking over";

    /// The reservations that the previous leader left open are decided.
    ReservationsResolved = "reservations_resolved", notable, Election, INFO in "order" {
        /// The term.
        term: Term,
        /// Reservations whose order has a number.
        kept: usize,
        /// Reservations that were given back.
        released: usize,
    } => "resolved the reservations of the previous leader: {kept} kept, {released} released";

    /// The order leader accepts orders.
    TakesOrders = "takes_orders", notable, Election, INFO in "order" {
        /// The term.
        term: Term,
        /// How long the takeover took, in ms.
        elapsed_ms: Milliseconds,
    } => "takes orders";

    /// The catalog has answered a batch: stock is reserved.
    BatchReserved = "batch_reserved", detail, Order, TRACE in "order" {
        /// The term.
        term: Term,
        /// The batch.
        batch: BatchNumber,
        /// Orders whose stock is reserved.
        reserved: usize,
        /// Orders that the catalog refused.
        refused: usize,
        /// How long it took, in µs.
        elapsed_us: Microseconds,
    } => "has stock reserved for {reserved} orders of batch {batch}; {refused} are refused";

    /// A batch is on the disks of a majority, and its orders have numbers.
    BatchPlaced = "batch_placed", detail, Order, TRACE in "order" {
        /// The term.
        term: Term,
        /// The batch.
        batch: BatchNumber,
        /// Orders that were placed.
        orders: usize,
        /// The number of the last of them.
        last: OrderNumber,
        /// How long it took, in µs.
        elapsed_us: Microseconds,
    } => "has placed {orders} orders of batch {batch}, up to number {last}";

    /// The catalog knows that batches are sold.
    BatchSettled = "batch_settled", detail, Order, TRACE in "order" {
        /// The term.
        term: Term,
        /// The last of these batches.
        batch: BatchNumber,
    } => "has told the catalog that batch {batch} is sold";

    /// The replica leads the catalog.
    CatalogLeads = "catalog_leads", notable, Election, INFO in "catalog" {
        /// The term.
        term: Term,
        /// How long its first change waits for the leases of its predecessor, in ms.
        opens_in_ms: Milliseconds,
    } => "leads the catalog in term {term}; changes wait {opens_in_ms} ms for earlier leases";

    /// Sold-out products were restocked.
    Restocked = "restocked", notable, Order, INFO in "catalog" {
        /// Their names.
        products: Text,
        /// How many pieces of each there are now.
        pieces: u64,
    } => "restocked {products} to {pieces} pieces";

    /// A frontend has confirmed that it dropped products from its cache.
    Invalidated = "invalidated", detail, Cache, TRACE in "catalog" {
        /// The frontend.
        address: Address,
        /// How many products.
        products: usize,
        /// How long it took, in µs.
        elapsed_us: Microseconds,
    } => "had {address} drop {products} products from its cache";

    /// A frontend does not confirm that it dropped products. Its lease is not renewed until it
    /// does.
    InvalidationUnconfirmed = "invalidation_unconfirmed", notable, Cache, WARN in "catalog" {
        /// The frontend.
        address: Address,
        /// Why.
        error: Text,
    } => "gets no confirmation of an invalidation from {address}, and does not renew its lease: {error}";

    /// A frontend did not confirm an invalidation before its lease expired; it must not use its
    /// cache any more.
    InvalidationExpired = "invalidation_expired", notable, Cache, WARN in "catalog" {
        /// The frontend.
        address: Address,
    } => "has waited until the lease of {address} expired: that frontend may not use its cache any more";

    /// A frontend has a new lease.
    LeaseGranted = "lease_granted", notable, Cache, DEBUG in "catalog" {
        /// The frontend.
        address: Address,
    } => "grants a lease to {address}";

    /// A frontend has given up its lease.
    LeaseReleased = "lease_released", notable, Cache, DEBUG in "catalog" {
        /// The frontend.
        address: Address,
    } => "takes back the lease of {address}";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_the_wire_and_says_what_happened() {
        let event = Event::Leads { group: "order".into(), term: Term(5) };
        let recorded = Recorded { sequence: 7, at_us: 1_000_001, event };
        let wire = serde_json::to_string(&recorded).unwrap();
        assert_eq!(wire, r#"{"sequence":7,"at_us":1000001,"kind":"leads","group":"order","term":5}"#);
        let read: Recorded = serde_json::from_str(&wire).unwrap();
        assert_eq!(read, recorded);
        assert_eq!(read.event.to_string(), "leads the order group in term 5");
    }

    #[test]
    fn kinds_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = Event::KINDS.iter().collect();
        assert_eq!(names.len(), Event::KINDS.len());
    }
}
