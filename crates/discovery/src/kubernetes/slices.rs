//! What the EndpointSlices of one service say, as lists of replicas. No I/O.
//!
//! A service may have many slices: Kubernetes splits and merges them as it likes, and there is one set per address family and per set of
//! port numbers. All of them together are the service. A pod is known by its name (`targetRef`, or the host name that a StatefulSet gives
//! it), whose number at the end is its seat; its address is whatever it is now.
//!
//! Which endpoints count: all. `ready` is always true here, since the peers' services publish addresses that are not ready: a group that
//! has lost its majority has nobody ready, and must still elect. `serving` and `terminating` decide only between two endpoints of one seat,
//! which there are for a moment when a pod was replaced and its predecessor's slice has not caught up.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::replica::Replicas;
use api::{Address, Ordinal};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::settings::REPLICAS_MAX;

/// Slices of one service that are looked at. It has one or two; during a rolling change of its ports, a few more.
pub(crate) const SLICES_MAX: u32 = 64;

/// The slices of one service, as they are known.
#[derive(Debug, Default)]
pub(crate) struct Slices {
    /// By name.
    known: BTreeMap<String, Slice>,
    /// The how many-th pod each one was, of those that are known.
    arrivals: BTreeMap<String, u64>,
    /// How many pods have appeared so far.
    appeared: u64,
}

/// Of a slice, what matters.
#[derive(Debug)]
struct Slice {
    /// By name.
    ports: BTreeMap<String, u16>,
    seats: Vec<Seat>,
}

/// An endpoint that is a replica.
#[derive(Clone, Debug)]
struct Seat {
    ordinal: Ordinal,
    address: IpAddr,
    /// The pod's uid; an endpoint without one is known by its address.
    pod: String,
    terminating: bool,
    serving: bool,
}

impl Slices {
    /// These are all slices that there are.
    pub(crate) fn replace(&mut self, all: &[EndpointSlice]) {
        self.known.clear();
        for slice in all {
            self.take(slice);
        }
        self.note_arrivals();
    }

    /// A slice is new, or has changed.
    pub(crate) fn apply(&mut self, slice: &EndpointSlice) {
        self.take(slice);
        self.note_arrivals();
    }

    /// A slice is gone.
    pub(crate) fn remove(&mut self, slice: &EndpointSlice) {
        if let Some(name) = &slice.metadata.name {
            self.known.remove(name);
        }
        self.note_arrivals();
    }

    /// Where the replicas are on the port of that name.
    pub(crate) fn replicas(&self, port: &str) -> Replicas {
        let mut best: BTreeMap<Ordinal, (&Seat, u16)> = BTreeMap::new();
        for slice in self.known.values() {
            let Some(number) = slice.ports.get(port) else { continue };
            for seat in &slice.seats {
                let held = best.entry(seat.ordinal).or_insert((seat, *number));
                if self.rank(held.0) < self.rank(seat) {
                    *held = (seat, *number);
                }
            }
        }
        let address = |seat: &Seat, port| Address::new(&seat.address.to_string(), port);
        best.into_iter().map(|(ordinal, (seat, port))| (ordinal, address(seat, port))).collect()
    }

    /// Of two endpoints of one seat the greater one counts: one that stays, one that is ready, one that listens where `BIND_HOST` listens
    /// by default, the one that came last.
    fn rank(&self, seat: &Seat) -> (bool, bool, bool, u64) {
        let arrival = self.arrivals.get(&seat.pod).copied().unwrap_or_default();
        (!seat.terminating, seat.serving, seat.address.is_ipv4(), arrival)
    }

    fn take(&mut self, slice: &EndpointSlice) {
        let Some(name) = &slice.metadata.name else { return };
        if self.known.len() >= SLICES_MAX as usize && !self.known.contains_key(name) {
            return;
        }
        let ports = slice.ports.iter().flatten();
        let ports = ports.filter_map(|port| Some((port.name.clone()?, u16::try_from(port.port?).ok()?))).collect();
        let seats = slice.endpoints.iter().filter_map(seat).collect();
        self.known.insert(name.clone(), Slice { ports, seats });
    }

    fn note_arrivals(&mut self) {
        let before = std::mem::take(&mut self.arrivals);
        for seat in self.known.values().flat_map(|slice| &slice.seats) {
            if !self.arrivals.contains_key(&seat.pod) {
                let arrival = before.get(&seat.pod).copied().unwrap_or_else(|| {
                    self.appeared += 1;
                    self.appeared
                });
                self.arrivals.insert(seat.pod.clone(), arrival);
            }
        }
    }
}

/// `None` for what is no replica: no pod of a StatefulSet, a number beyond the seats, a name instead of an address.
fn seat(endpoint: &Endpoint) -> Option<Seat> {
    let target = endpoint.target_ref.as_ref();
    let name = endpoint.hostname.as_deref().or_else(|| target?.name.as_deref())?;
    let ordinal = ordinal_of_pod(name)?;
    // Of several addresses all are one pod's; clients take the first, says the API.
    let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    let conditions = endpoint.conditions.as_ref();
    let said = |condition: Option<bool>, unsaid: bool| condition.unwrap_or(unsaid);
    Some(Seat {
        ordinal,
        address,
        pod: target.and_then(|target| target.uid.clone()).unwrap_or_else(|| address.to_string()),
        terminating: said(conditions.and_then(|it| it.terminating), false),
        serving: said(conditions.and_then(|it| it.serving), true),
    })
}

/// The seat of a StatefulSet's pod: `order-0` has seat 1.
///
/// `None` if the name does not end in a number, or in one beyond the seats that a group may have.
pub(crate) fn ordinal_of_pod(name: &str) -> Option<Ordinal> {
    let (_, number) = name.rsplit_once('-')?;
    let digits_only = number.bytes().all(|byte| byte.is_ascii_digit());
    let seat = number.parse::<u8>().ok().filter(|_| digits_only)?.checked_add(1)?;
    (seat <= REPLICAS_MAX).then_some(Ordinal(seat))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ObjectReference;
    use k8s_openapi::api::discovery::v1::{EndpointConditions, EndpointPort};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn endpoint(pod: &str, uid: &str, address: &str) -> Endpoint {
        Endpoint {
            addresses: vec![address.into()],
            target_ref: Some(ObjectReference { name: Some(pod.into()), uid: Some(uid.into()), ..Default::default() }),
            ..Endpoint::default()
        }
    }

    fn with_conditions(endpoint: Endpoint, serving: bool, terminating: bool) -> Endpoint {
        let conditions =
            EndpointConditions { ready: Some(true), serving: Some(serving), terminating: Some(terminating) };
        Endpoint { conditions: Some(conditions), ..endpoint }
    }

    /// A slice whose ports are `port` (internal) and the next one (replication).
    fn slice(name: &str, port: i32, endpoints: &[Endpoint]) -> EndpointSlice {
        let named = |name: &str, port| EndpointPort { name: Some(name.into()), port: Some(port), ..Default::default() };
        EndpointSlice {
            metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
            ports: Some(vec![named("internal", port), named("replication", port + 1)]),
            endpoints: endpoints.to_vec(),
            ..EndpointSlice::default()
        }
    }

    fn listed(slices: &Slices, port: &str) -> Vec<(u8, String)> {
        slices.replicas(port).into_iter().map(|(seat, address)| (seat.0, address.to_string())).collect()
    }

    fn list<const N: usize>(expected: [(u8, &str); N]) -> Vec<(u8, String)> {
        expected.map(|(seat, address)| (seat, address.to_owned())).into()
    }

    #[test]
    fn a_pods_number_is_its_seat() {
        for (name, seat) in [("toystore-order-0", Some(1)), ("a-b-4", Some(5)), ("order-5", None), ("order-255", None)]
        {
            assert_eq!(ordinal_of_pod(name).map(|seat| seat.0), seat, "{name}");
        }
        for name in ["order", "order-", "order-+1", "toystore-frontend-6d4f-x2x1z", "-", ""] {
            assert_eq!(ordinal_of_pod(name), None, "{name}");
        }
    }

    #[test]
    fn slices_are_merged_and_may_be_split_anew() {
        let pods = [endpoint("order-0", "a", "10.0.0.1"), endpoint("order-1", "b", "10.0.0.2")];
        let mut slices = Slices::default();
        slices.replace(&[slice("x", 1121, &pods)]);
        let both = list([(1, "10.0.0.1:1121"), (2, "10.0.0.2:1121")]);
        assert_eq!(listed(&slices, "internal"), both);
        assert_eq!(listed(&slices, "replication"), list([(1, "10.0.0.1:1122"), (2, "10.0.0.2:1122")]));
        assert_eq!(listed(&slices, "metrics"), list([]), "no port of that name");

        slices.apply(&slice("y", 1121, &pods[1..]));
        assert_eq!(listed(&slices, "internal"), both, "one pod in two slices is one replica");
        slices.apply(&slice("x", 1121, &pods[..1]));
        assert_eq!(listed(&slices, "internal"), both);
        slices.remove(&slice("y", 1121, &[]));
        assert_eq!(listed(&slices, "internal"), list([(1, "10.0.0.1:1121")]));
        slices.replace(&[slice("z", 1, &pods[1..])]);
        assert_eq!(listed(&slices, "internal"), list([(2, "10.0.0.2:1")]), "a full list leaves nothing of what was");
    }

    #[test]
    fn of_two_pods_in_one_seat_the_one_that_stays_counts() {
        let old = |serving, terminating| with_conditions(endpoint("order-0", "old", "10.0.0.1"), serving, terminating);
        let new = |serving| with_conditions(endpoint("order-0", "new", "10.0.0.9"), serving, false);
        let table = [
            ("the new one is ready", old(true, true), new(true)),
            ("the new one starts", old(true, true), new(false)),
            ("the old one was not told to go: its node is lost", old(false, false), new(true)),
            ("nothing tells them apart but that it came later", old(true, false), new(true)),
        ];
        for (case, old, new) in table {
            let mut slices = Slices::default();
            slices.apply(&slice("z", 1, &[old]));
            slices.apply(&slice("a", 1, std::slice::from_ref(&new)));
            assert_eq!(listed(&slices, "internal"), list([(1, "10.0.0.9:1")]), "{case}");
        }
    }

    #[test]
    fn the_last_one_of_a_seat_counts_although_it_ends() {
        let mut slices = Slices::default();
        slices.apply(&slice("a", 1, &[with_conditions(endpoint("order-0", "old", "10.0.0.1"), false, true)]));
        assert_eq!(
            listed(&slices, "internal"),
            list([(1, "10.0.0.1:1")]),
            "a leader that stops hands over until its end"
        );
    }

    #[test]
    fn one_family_of_addresses_is_used_and_names_are_not() {
        let mut slices = Slices::default();
        slices.apply(&slice("six", 1, &[endpoint("order-0", "a", "fd00::1")]));
        assert_eq!(listed(&slices, "internal"), list([(1, "[fd00::1]:1")]));
        slices.apply(&slice("four", 1, &[endpoint("order-0", "a", "10.0.0.1")]));
        assert_eq!(listed(&slices, "internal"), list([(1, "10.0.0.1:1")]));
        slices.apply(&slice("names", 1, &[endpoint("order-1", "b", "order.example")]));
        assert_eq!(listed(&slices, "internal").len(), 1);
    }

    #[test]
    fn strangers_and_floods_are_left_out() {
        let by_hand = Endpoint { addresses: vec!["10.0.0.1".into()], ..Endpoint::default() };
        let far = endpoint("order-5", "x", "10.0.0.6");
        let mut slices = Slices::default();
        slices.apply(&slice("a", 1, &[by_hand, far, Endpoint::default()]));
        assert_eq!(listed(&slices, "internal"), list([]));
        let flood: Vec<_> = (0..200).map(|n| slice(&format!("s{n:03}"), 1, &[])).collect();
        slices.replace(&flood);
        assert_eq!(slices.known.len(), SLICES_MAX as usize);
        let host = Endpoint { hostname: Some("order-2".into()), ..endpoint("other-0", "y", "10.0.0.3") };
        slices.apply(&slice("s000", 1, &[host]));
        assert_eq!(listed(&slices, "internal"), list([(3, "10.0.0.3:1")]), "the host name comes first");
    }
}
