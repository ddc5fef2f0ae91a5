//! Turns the EndpointSlices of one service into lists of replicas. No I/O.
//!
//! A service can have many slices: Kubernetes splits and merges them as it likes, and there is a
//! separate set for each address family and for each set of port numbers. All of them together are
//! the service. A pod is identified by its name (`targetRef`, or the host name that a StatefulSet
//! assigns). The number at the end of the name determines the ordinal. The address is the current
//! one.
//!
//! All endpoints count. `ready` is always true here, because the headless services also publish
//! addresses that are not ready: a group that has lost its majority has no ready replica, and must
//! still elect a leader. `serving` and `terminating` only decide between two endpoints with the
//! same ordinal. These exist for a moment when a pod has been replaced and the slice of its
//! predecessor is late.

use std::collections::BTreeMap;
use std::net::IpAddr;

use api::replica::Replicas;
use api::{Address, Ordinal};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use crate::settings::REPLICAS_MAX;

/// How many slices of one service are used. A service has one or two, and a few more while its
/// ports change.
pub(crate) const SLICES_MAX: u32 = 64;

/// The known slices of one service.
#[derive(Debug, Default)]
pub(crate) struct Slices {
    /// The slices by name.
    known: BTreeMap<String, Slice>,
    /// The sequence number of each known pod, in the order in which the pods appeared.
    sequence: BTreeMap<String, u64>,
    /// How many pods have appeared so far.
    appeared: u64,
}

/// The relevant parts of a slice.
#[derive(Debug)]
struct Slice {
    /// The port numbers by name.
    ports: BTreeMap<String, u16>,
    endpoints: Vec<ReplicaEndpoint>,
    /// All pods by name, whether they are replicas or not.
    pods: BTreeMap<String, IpAddr>,
}

/// An endpoint that belongs to a replica.
#[derive(Clone, Debug)]
struct ReplicaEndpoint {
    ordinal: Ordinal,
    address: IpAddr,
    /// The uid of the pod, or the address of an endpoint without one.
    pod: String,
    terminating: bool,
    serving: bool,
}

impl Slices {
    /// Replaces all known slices.
    pub(crate) fn replace(&mut self, all: &[EndpointSlice]) {
        self.known.clear();
        for slice in all {
            self.insert(slice);
        }
        self.number_pods();
    }

    /// Adds or changes a slice.
    pub(crate) fn apply(&mut self, slice: &EndpointSlice) {
        self.insert(slice);
        self.number_pods();
    }

    /// Removes a slice.
    pub(crate) fn remove(&mut self, slice: &EndpointSlice) {
        if let Some(name) = &slice.metadata.name {
            self.known.remove(name);
        }
        self.number_pods();
    }

    /// The addresses of the replicas for the port with this name.
    pub(crate) fn replicas(&self, port: &str) -> Replicas {
        let mut best: BTreeMap<Ordinal, (&ReplicaEndpoint, u16)> = BTreeMap::new();
        for slice in self.known.values() {
            let Some(number) = slice.ports.get(port) else { continue };
            for endpoint in &slice.endpoints {
                let held = best.entry(endpoint.ordinal).or_insert((endpoint, *number));
                if self.rank(held.0) < self.rank(endpoint) {
                    *held = (endpoint, *number);
                }
            }
        }
        let address = |endpoint: &ReplicaEndpoint, port| Address::new(&endpoint.address.to_string(), port);
        best.into_iter().map(|(ordinal, (endpoint, port))| (ordinal, address(endpoint, port))).collect()
    }

    /// The addresses of all pods for the port with this name, by the name of the pod.
    pub(crate) fn pods(&self, port: &str) -> BTreeMap<String, Address> {
        let slices = self.known.values().filter_map(|slice| slice.ports.get(port).zip(Some(&slice.pods)));
        let pods = slices.flat_map(|(port, pods)| pods.iter().map(|(name, ip)| (name, ip, *port)));
        let mut found = BTreeMap::<String, (bool, Address)>::new();
        for (name, ip, port) in pods {
            let address = (ip.is_ipv4(), Address::new(&ip.to_string(), port));
            let held = found.entry(name.clone()).or_insert_with(|| address.clone());
            if !held.0 {
                *held = address;
            }
        }
        found.into_iter().map(|(name, (_, address))| (name, address)).collect()
    }

    /// Of two endpoints with the same ordinal, the one with the greater rank is used. In this
    /// order, it prefers an endpoint that is not terminating, one that is serving, an IPv4 address
    /// (on which `BIND_HOST` listens by default), and the pod that appeared last.
    fn rank(&self, endpoint: &ReplicaEndpoint) -> (bool, bool, bool, u64) {
        let number = self.sequence.get(&endpoint.pod).copied().unwrap_or_default();
        (!endpoint.terminating, endpoint.serving, endpoint.address.is_ipv4(), number)
    }

    fn insert(&mut self, slice: &EndpointSlice) {
        let Some(name) = &slice.metadata.name else { return };
        if self.known.len() >= SLICES_MAX as usize && !self.known.contains_key(name) {
            return;
        }
        let ports = slice.ports.iter().flatten();
        let ports = ports.filter_map(|port| Some((port.name.clone()?, u16::try_from(port.port?).ok()?))).collect();
        let endpoints = slice.endpoints.iter().filter_map(replica_endpoint).collect();
        let pods = slice.endpoints.iter().filter_map(pod).collect();
        self.known.insert(name.clone(), Slice { ports, endpoints, pods });
    }

    fn number_pods(&mut self) {
        let before = std::mem::take(&mut self.sequence);
        for endpoint in self.known.values().flat_map(|slice| &slice.endpoints) {
            if !self.sequence.contains_key(&endpoint.pod) {
                let number = before.get(&endpoint.pod).copied().unwrap_or_else(|| {
                    self.appeared += 1;
                    self.appeared
                });
                self.sequence.insert(endpoint.pod.clone(), number);
            }
        }
    }
}

/// `None` if the endpoint is not a replica: it is not a pod of a StatefulSet, its ordinal is too
/// large, or it has a name instead of an address.
fn replica_endpoint(endpoint: &Endpoint) -> Option<ReplicaEndpoint> {
    let target = endpoint.target_ref.as_ref();
    let name = endpoint.hostname.as_deref().or_else(|| target?.name.as_deref())?;
    let ordinal = ordinal_of_pod(name)?;
    // Several addresses belong to the same pod. According to the API, clients use the first one.
    let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    let conditions = endpoint.conditions.as_ref();
    let or_default = |condition: Option<bool>, default: bool| condition.unwrap_or(default);
    Some(ReplicaEndpoint {
        ordinal,
        address,
        pod: target.and_then(|target| target.uid.clone()).unwrap_or_else(|| address.to_string()),
        terminating: or_default(conditions.and_then(|it| it.terminating), false),
        serving: or_default(conditions.and_then(|it| it.serving), true),
    })
}

/// The name and the address of an endpoint that is a pod.
fn pod(endpoint: &Endpoint) -> Option<(String, IpAddr)> {
    let name = endpoint.target_ref.as_ref()?.name.clone()?;
    Some((name, endpoint.addresses.first()?.parse().ok()?))
}

/// The ordinal of a StatefulSet's pod: `order-0` has ordinal 1.
///
/// `None` if the name does not end in a number, or if the ordinal is larger than [`REPLICAS_MAX`].
pub(crate) fn ordinal_of_pod(name: &str) -> Option<Ordinal> {
    let (_, number) = name.rsplit_once('-')?;
    let digits_only = number.bytes().all(|byte| byte.is_ascii_digit());
    let ordinal = number.parse::<u8>().ok().filter(|_| digits_only)?.checked_add(1)?;
    (ordinal <= REPLICAS_MAX).then_some(Ordinal(ordinal))
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

    /// A slice with the ports `port` (internal) and `port + 1` (replication).
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
        slices.replicas(port).into_iter().map(|(ordinal, address)| (ordinal.0, address.to_string())).collect()
    }

    fn list<const N: usize>(expected: [(u8, &str); N]) -> Vec<(u8, String)> {
        expected.map(|(ordinal, address)| (ordinal, address.to_owned())).into()
    }

    #[test]
    fn the_number_of_a_pod_determines_its_ordinal() {
        for (name, ordinal) in
            [("toystore-order-0", Some(1)), ("a-b-4", Some(5)), ("order-5", None), ("order-255", None)]
        {
            assert_eq!(ordinal_of_pod(name).map(|ordinal| ordinal.0), ordinal, "{name}");
        }
        for name in ["order", "order-", "order-+1", "toystore-frontend-6d4f-x2x1z", "-", ""] {
            assert_eq!(ordinal_of_pod(name), None, "{name}");
        }
    }

    #[test]
    fn pods_of_a_deployment_have_addresses_but_no_ordinals() {
        let pods =
            [endpoint("toys-frontend-6d4f-x2x1z", "a", "10.0.0.1"), endpoint("toys-frontend-6d4f-b", "b", "::2")];
        let mut slices = Slices::default();
        slices.replace(&[
            slice("v4", 1111, &pods),
            slice("v6", 1111, &[endpoint("toys-frontend-6d4f-b", "b", "10.0.0.2")]),
        ]);
        let found: Vec<_> = slices.pods("internal").into_iter().map(|(name, at)| format!("{name} {at}")).collect();
        assert_eq!(found, ["toys-frontend-6d4f-b 10.0.0.2:1111", "toys-frontend-6d4f-x2x1z 10.0.0.1:1111"]);
        assert!(slices.replicas("internal").is_empty() && slices.pods("http").is_empty());
    }

    #[test]
    fn slices_are_merged_and_can_be_split() {
        let pods = [endpoint("order-0", "a", "10.0.0.1"), endpoint("order-1", "b", "10.0.0.2")];
        let mut slices = Slices::default();
        slices.replace(&[slice("x", 1121, &pods)]);
        let both = list([(1, "10.0.0.1:1121"), (2, "10.0.0.2:1121")]);
        assert_eq!(listed(&slices, "internal"), both);
        assert_eq!(listed(&slices, "replication"), list([(1, "10.0.0.1:1122"), (2, "10.0.0.2:1122")]));
        assert_eq!(listed(&slices, "metrics"), list([]), "there is no port with this name");

        slices.apply(&slice("y", 1121, &pods[1..]));
        assert_eq!(listed(&slices, "internal"), both, "one pod in two slices is one replica");
        slices.apply(&slice("x", 1121, &pods[..1]));
        assert_eq!(listed(&slices, "internal"), both);
        slices.remove(&slice("y", 1121, &[]));
        assert_eq!(listed(&slices, "internal"), list([(1, "10.0.0.1:1121")]));
        slices.replace(&[slice("z", 1, &pods[1..])]);
        assert_eq!(listed(&slices, "internal"), list([(2, "10.0.0.2:1")]), "a complete list replaces everything");
    }

    #[test]
    fn of_two_pods_with_one_ordinal_the_one_that_stays_is_used() {
        let old = |serving, terminating| with_conditions(endpoint("order-0", "old", "10.0.0.1"), serving, terminating);
        let new = |serving| with_conditions(endpoint("order-0", "new", "10.0.0.9"), serving, false);
        let table = [
            ("the new one is ready", old(true, true), new(true)),
            ("the new one starts", old(true, true), new(false)),
            ("the old one is not terminating because its node is lost", old(false, false), new(true)),
            ("they differ only in the order of their appearance", old(true, false), new(true)),
        ];
        for (case, old, new) in table {
            let mut slices = Slices::default();
            slices.apply(&slice("z", 1, &[old]));
            slices.apply(&slice("a", 1, std::slice::from_ref(&new)));
            assert_eq!(listed(&slices, "internal"), list([(1, "10.0.0.9:1")]), "{case}");
        }
    }

    #[test]
    fn the_only_pod_of_an_ordinal_is_used_while_it_terminates() {
        let mut slices = Slices::default();
        slices.apply(&slice("a", 1, &[with_conditions(endpoint("order-0", "old", "10.0.0.1"), false, true)]));
        assert_eq!(
            listed(&slices, "internal"),
            list([(1, "10.0.0.1:1")]),
            "a leader that stops transfers leadership until it exits"
        );
    }

    #[test]
    fn one_address_family_is_used_and_names_are_ignored() {
        let mut slices = Slices::default();
        slices.apply(&slice("six", 1, &[endpoint("order-0", "a", "fd00::1")]));
        assert_eq!(listed(&slices, "internal"), list([(1, "[fd00::1]:1")]));
        slices.apply(&slice("four", 1, &[endpoint("order-0", "a", "10.0.0.1")]));
        assert_eq!(listed(&slices, "internal"), list([(1, "10.0.0.1:1")]));
        slices.apply(&slice("names", 1, &[endpoint("order-1", "b", "order.example")]));
        assert_eq!(listed(&slices, "internal").len(), 1);
    }

    #[test]
    fn other_endpoints_and_excess_slices_are_ignored() {
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
        assert_eq!(listed(&slices, "internal"), list([(3, "10.0.0.3:1")]), "the host name takes precedence");
    }
}
