//! The commands of a script.

use std::fmt;
use std::time::Duration;

use api::{OrderNumber, ProductName, Quantity, Term};
use http::Method;

use crate::member::SimulatedMember;
use crate::trace::Millis;

/// A machine: that of a member, or of the shoppers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Party {
    Member(SimulatedMember),
    Shoppers,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member(member) => member.fmt(f),
            Self::Shoppers => f.write_str("shoppers"),
        }
    }
}

/// Some machines, or all that are not named elsewhere in the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Side {
    These(Vec<Party>),
    Others,
}

/// What the store consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Store {
    pub(super) catalogs: u8,
    pub(super) orders: u8,
    pub(super) seats: u8,
    pub(super) frontends: u8,
    pub(super) cache: usize,
    /// How often sold-out products are restocked; zero means never.
    pub(super) restock: Duration,
    /// After how many entries a checkpoint is written, and how many entries are kept.
    pub(super) checkpoints: Option<(u64, u64)>,
}

/// A call of a shopper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Order { key: String, toy: ProductName, quantity: Quantity },
    Get(ProductName),
    List,
    Find(OrderNumber),
}

/// A kind of request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) method: Option<Method>,
    pub(super) path: String,
}

impl Route {
    pub(super) fn matches(&self, method: &Method, path: &str) -> bool {
        self.method.as_ref().is_none_or(|it| it == method)
            && path.strip_prefix(self.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(method) = &self.method {
            write!(f, "{method} ")?;
        }
        f.write_str(&self.path)
    }
}

/// Something that `until` waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// A machine sends a request, to any machine or a certain one.
    Sends { who: Party, route: Route, to: Option<Party> },
    /// A machine answers a request of any machine or a certain one.
    Answers { who: Party, route: Route, from: Option<Party> },
    /// A replica leads its group.
    Leader { who: SimulatedMember, term: Option<Term> },
    /// These order replicas are the voters of their group, and have the same log.
    Members(Vec<SimulatedMember>),
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Store(Store),
    Call {
        call: Call,
        via: SimulatedMember,
        in_background: bool,
    },
    Wait,
    Advance(Millis),
    Until {
        condition: Condition,
        within: Millis,
    },
    ExpectLeader {
        who: SimulatedMember,
        term: Option<Term>,
    },
    ExpectNoLeader(Group),
    Status(Option<Group>),
    Ledgers,
    Accounts,
    Cache(SimulatedMember),
    Ready(SimulatedMember),
    /// Asks a replica to stand for election. `leader_gone`: with the claim that its leader is gone.
    Stand {
        who: SimulatedMember,
        leader_gone: bool,
    },
    Watch(Vec<Route>),
    Kill(Vec<SimulatedMember>),
    PowerOff(Vec<SimulatedMember>),
    Start(Vec<SimulatedMember>),
    Stop(Vec<SimulatedMember>),
    Freeze(Vec<SimulatedMember>),
    Thaw(Vec<SimulatedMember>),
    Partition(Side, Side),
    Cut(Side, Side),
    Hold(Side, Side),
    Release {
        newest_first: bool,
    },
    Heal,
    Wipe(SimulatedMember),
    CopyDisk(SimulatedMember),
    RestoreDisk(SimulatedMember),
    SlowDisk(SimulatedMember, Millis),
    /// Leaves this many MiB of free space. With 0, writes fail.
    FillDisk(SimulatedMember, u64),
    FailSync(SimulatedMember),
    FailWrite(SimulatedMember),
    HealDisk(SimulatedMember),
    Scale(u8),
}

/// A group of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Catalog,
    Order,
}

impl Group {
    pub(super) fn of(member: SimulatedMember) -> Option<Self> {
        match member {
            SimulatedMember::Catalog(_) => Some(Self::Catalog),
            SimulatedMember::Order(_) => Some(Self::Order),
            SimulatedMember::Frontend(_) => None,
        }
    }
}
