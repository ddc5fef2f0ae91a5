//! `DISCOVERY`: how replicas are found, and the lists that come of it.

use std::path::PathBuf;
use std::str::FromStr;

use api::Ordinal;
use api::replica::Replicas;
use prometheus::Registry;
use service::settings::Values;
use tokio::sync::watch;

use crate::kubernetes::{self, WatchedService, Watching};
use crate::{fixed, settings};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Static,
    Kubernetes,
}

impl FromStr for Mode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "static" => Ok(Self::Static),
            "kubernetes" => Ok(Self::Kubernetes),
            _ => Err("it must be static or kubernetes"),
        }
    }
}

/// How one process finds replicas. Clones share the lists.
///
/// It is read with the other settings, and gives out lists at once; those that come from Kubernetes are empty until
/// [`Discovery::start`] has begun to fill them.
#[derive(Clone, Debug)]
pub struct Discovery {
    mode: Mode,
    namespace: String,
    /// Says where the API is; without it, this is a pod, and the cluster has told.
    kubeconfig: Option<PathBuf>,
    services: Vec<WatchedService>,
}

/// By static lists.
impl Default for Discovery {
    fn default() -> Self {
        Self { mode: Mode::Static, namespace: String::new(), kubeconfig: None, services: Vec::new() }
    }
}

impl Discovery {
    /// Takes the values of [`settings::discovery`]. What is wrong is noted; the lists are then looked at as if they counted.
    pub fn read(values: &mut Values) -> Self {
        let mode = values.required("DISCOVERY").unwrap_or(Mode::Static);
        if mode == Mode::Static {
            return Self::default();
        }
        let namespace = required(values, "POD_NAMESPACE").unwrap_or_default();
        Self { mode, namespace, kubeconfig: values.optional("KUBECONFIG"), services: Vec::new() }
    }

    /// Whether replicas are where the settings say: else their addresses come and go, and there may be more of them than founders.
    pub fn is_static(&self) -> bool {
        self.mode == Mode::Static
    }

    /// Where the order replicas are asked: needs [`settings::order`].
    pub fn order_replicas(&mut self, values: &mut Values) -> Option<watch::Receiver<Replicas>> {
        match self.mode {
            Mode::Static => settings::order_replicas(values).map(fixed),
            Mode::Kubernetes => self.service(values, "order", "ORDER_SERVICE").map(WatchedService::asked),
        }
    }

    /// Where they replicate: needs [`settings::order_replication`], too.
    pub fn order_peers(&mut self, values: &mut Values) -> Option<watch::Receiver<Replicas>> {
        match self.mode {
            Mode::Static => settings::order_peers(values).map(fixed),
            Mode::Kubernetes => self.service(values, "order", "ORDER_SERVICE").map(WatchedService::replication),
        }
    }

    /// Where the catalog replicas are asked: needs [`settings::catalog`].
    pub fn catalog_replicas(&mut self, values: &mut Values) -> Option<watch::Receiver<Replicas>> {
        match self.mode {
            Mode::Static => settings::catalog_replicas(values).map(fixed),
            Mode::Kubernetes => self.service(values, "catalog", "CATALOG_SERVICE").map(WatchedService::asked),
        }
    }

    /// Where they replicate: needs [`settings::catalog_replication`], too.
    pub fn catalog_peers(&mut self, values: &mut Values) -> Option<watch::Receiver<Replicas>> {
        match self.mode {
            Mode::Static => settings::catalog_peers(values).map(fixed),
            Mode::Kubernetes => self.service(values, "catalog", "CATALOG_SERVICE").map(WatchedService::replication),
        }
    }

    /// The seat of this process, from [`settings::own_seat`].
    pub fn seat(&self, values: &mut Values, default: Option<Ordinal>) -> Option<Ordinal> {
        if values.is_set("COMPONENT_ID") {
            return values.within("COMPONENT_ID", 1..=settings::REPLICAS_MAX).map(Ordinal);
        }
        if self.is_static() {
            if default.is_none() {
                // Notes that it is missing.
                values.required::<u8>("COMPONENT_ID");
            }
            return default;
        }
        let pod: String = required(values, "POD_NAME")?;
        let seat = kubernetes::ordinal_of_pod(&pod);
        if seat.is_none() {
            let (name, most) = (values.name("POD_NAME"), settings::REPLICAS_MAX - 1);
            values.mistake(format!("{name} is {pod:?}: it must end in a number from 0 to {most}, as in a StatefulSet, or COMPONENT_ID be set"));
        }
        seat
    }

    /// Begins to fill the lists, if they come from Kubernetes, until what it gives is dropped. Ends the process if there is no way to
    /// its API at all; that it does not answer is waited out.
    pub fn start(&self) -> Watching {
        kubernetes::watch(&self.services, self.kubeconfig.clone())
    }

    /// Tells what there is to tell (`toystore_discovery_*`) in that registry.
    pub fn register(&self, registry: &Registry) {
        self.services.iter().for_each(|service| service.metrics().register(registry));
    }

    /// Waits until every list was seen once.
    pub async fn known(&self) {
        for service in &self.services {
            service.known().await;
        }
    }

    fn service(&mut self, values: &mut Values, group: &'static str, env: &str) -> Option<&WatchedService> {
        let name: String = required(values, env)?;
        if let Some(known) = self.services.iter().position(|service| service.group() == group) {
            return self.services.get(known);
        }
        self.services.push(WatchedService::new(group, self.namespace.clone(), name));
        self.services.last()
    }
}

/// A name that this mode cannot do without.
fn required(values: &mut Values, env: &str) -> Option<String> {
    let value = values.optional(env);
    if value.is_none() {
        let name = values.name(env);
        values.mistake(format!("{name} is missing: DISCOVERY is kubernetes"));
    }
    value
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use service::settings::{Mistakes, command};

    use super::*;

    /// An order replica's reading: its seat, and whether its lists are static.
    fn read(variables: &[(&str, &str)]) -> Result<(Ordinal, Discovery), Mistakes> {
        let table = [
            settings::discovery(),
            settings::own_seat("order", None),
            settings::order(),
            settings::order_replication(),
            settings::catalog(),
        ]
        .concat();
        let matches = command("x", "y", &table).try_get_matches_from(["x"]).unwrap();
        let mut values = Values::read(&table, &matches, &variables.iter().copied().collect::<BTreeMap<_, _>>());
        let mut discovery = Discovery::read(&mut values);
        let seat = discovery.seat(&mut values, None);
        let lists = [
            discovery.order_replicas(&mut values),
            discovery.order_peers(&mut values),
            discovery.catalog_replicas(&mut values),
        ];
        let complete = lists.iter().all(Option::is_some);
        values.finish(seat.filter(|_| complete).map(|seat| (seat, discovery)))
    }

    const POD: [(&str, &str); 5] = [
        ("DISCOVERY", "kubernetes"),
        ("POD_NAMESPACE", "toys"),
        ("POD_NAME", "toystore-order-3"),
        ("ORDER_SERVICE", "toystore-order-peers"),
        ("CATALOG_SERVICE", "toystore-catalog-peers"),
    ];

    #[test]
    fn a_pod_knows_its_seat_and_watches_each_service_once() {
        let (seat, discovery) = read(&POD).unwrap();
        assert_eq!((seat, discovery.is_static()), (Ordinal(4), false));
        let watched: Vec<_> = discovery.services.iter().map(|it| (it.group(), it.namespace(), it.name())).collect();
        let expected = [("order", "toys", "toystore-order-peers"), ("catalog", "toys", "toystore-catalog-peers")];
        assert_eq!(watched, expected);
        let by_hand = [&POD[..], &[("COMPONENT_ID", "2")]].concat();
        assert_eq!(read(&by_hand).unwrap().0, Ordinal(2), "a seat that is said counts");
    }

    #[test]
    fn with_static_lists_the_rest_is_of_no_interest() {
        let (seat, discovery) = read(&[("COMPONENT_ID", "1"), ("POD_NAME", "x"), ("ORDER_SERVICE", "y")]).unwrap();
        assert_eq!((seat, discovery.is_static(), discovery.services.len()), (Ordinal(1), true, 0));
    }

    #[test]
    fn everything_that_is_missing_is_told_at_once() {
        let mistakes = read(&[("DISCOVERY", "kubernetes")]).unwrap_err().0;
        let expected = ["POD_NAMESPACE (", "POD_NAME (", "ORDER_SERVICE (", "CATALOG_SERVICE ("];
        assert_eq!(mistakes.len(), expected.len(), "{mistakes:?}");
        for (mistake, expected) in mistakes.iter().zip(expected) {
            assert!(
                mistake.starts_with(expected) && mistake.ends_with("is missing: DISCOVERY is kubernetes"),
                "{mistake}"
            );
        }
        let deployment = [&POD[..], &[("POD_NAME", "toystore-order-6d4f-x2x1z")]].concat();
        let mistakes = read(&deployment).unwrap_err().0;
        assert!(mistakes[0].contains("must end in a number from 0 to 4"), "{mistakes:?}");
        let mistakes = read(&[("DISCOVERY", "dns"), ("ORDER_PORT_1", "x")]).unwrap_err().0;
        assert_eq!(mistakes.len(), 3, "the way, the seat, and the lists' mistakes: {mistakes:?}");
    }
}
