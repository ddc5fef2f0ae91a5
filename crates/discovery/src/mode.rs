//! The setting `DISCOVERY`: how replicas are found, and the lists of addresses that result.

use std::path::PathBuf;
use std::str::FromStr;

use api::Ordinal;
use api::replica::Replicas;
use prometheus::Registry;
use service::settings::Values;
use tokio::sync::watch;

use crate::kubernetes::{self, Pods, WatchGuard, WatchedService};
use crate::settings;

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

/// How one process finds replicas. Clones share the lists of addresses.
///
/// It is read together with the other settings, and returns lists immediately. Lists from
/// Kubernetes are empty until [`Discovery::start`] fills them.
#[derive(Clone, Debug)]
pub struct Discovery {
    mode: Mode,
    namespace: String,
    /// Configures access to the API. `None`: this process runs in a pod with a service account.
    kubeconfig: Option<PathBuf>,
    services: Vec<WatchedService>,
}

/// Static lists.
impl Default for Discovery {
    fn default() -> Self {
        Self { mode: Mode::Static, namespace: String::new(), kubeconfig: None, services: Vec::new() }
    }
}

impl Discovery {
    /// Reads the values of [`settings::discovery`]. If `DISCOVERY` is wrong, this is recorded as a
    /// mistake, and the static lists are validated too, so that all mistakes are reported at once.
    pub fn read(values: &mut Values) -> Self {
        let mode = values.required("DISCOVERY").unwrap_or(Mode::Static);
        if mode == Mode::Static {
            return Self::default();
        }
        let namespace = required(values, "POD_NAMESPACE").unwrap_or_default();
        Self { mode, namespace, kubeconfig: values.optional("KUBECONFIG"), services: Vec::new() }
    }

    /// Whether the lists are static. Otherwise addresses come and go, and there can be more
    /// replicas than those that bootstrapped the group.
    pub fn is_static(&self) -> bool {
        self.mode == Mode::Static
    }

    /// The addresses of the order replicas' internal APIs. Needs [`settings::order`].
    pub fn order_replicas(&mut self, values: &mut Values) -> Option<watch::Receiver<Replicas>> {
        match self.mode {
            Mode::Static => settings::order_replicas(values).map(static_replicas),
            Mode::Kubernetes => self.service(values, "order", "ORDER_SERVICE").map(WatchedService::internal),
        }
    }

    /// The addresses on which the order replicas replicate. Also needs
    /// [`settings::order_replication`].
    pub fn order_peers(&mut self, values: &mut Values) -> Option<watch::Receiver<Replicas>> {
        match self.mode {
            Mode::Static => settings::order_peers(values).map(static_replicas),
            Mode::Kubernetes => self.service(values, "order", "ORDER_SERVICE").map(WatchedService::replication),
        }
    }

    /// The addresses of the catalog replicas' internal APIs. Needs [`settings::catalog`].
    pub fn catalog_replicas(&mut self, values: &mut Values) -> Option<watch::Receiver<Replicas>> {
        match self.mode {
            Mode::Static => settings::catalog_replicas(values).map(static_replicas),
            Mode::Kubernetes => self.service(values, "catalog", "CATALOG_SERVICE").map(WatchedService::internal),
        }
    }

    /// The addresses on which the catalog replicas replicate. Also needs
    /// [`settings::catalog_replication`].
    pub fn catalog_peers(&mut self, values: &mut Values) -> Option<watch::Receiver<Replicas>> {
        match self.mode {
            Mode::Static => settings::catalog_peers(values).map(static_replicas),
            Mode::Kubernetes => self.service(values, "catalog", "CATALOG_SERVICE").map(WatchedService::replication),
        }
    }

    /// The addresses of the frontends' internal ports, by name. Needs [`settings::frontends`].
    pub fn frontends(&mut self, values: &mut Values) -> Option<watch::Receiver<Pods>> {
        match self.mode {
            Mode::Static => settings::frontend_addresses(values).map(|list| watch::Sender::new(list).subscribe()),
            Mode::Kubernetes => self.service(values, "frontend", "FRONTEND_SERVICE").map(WatchedService::pods),
        }
    }

    /// The ordinal of this replica, from [`settings::own_ordinal`].
    pub fn ordinal(&self, values: &mut Values, default: Option<Ordinal>) -> Option<Ordinal> {
        if values.is_set("COMPONENT_ID") {
            return values.within("COMPONENT_ID", 1..=settings::REPLICAS_MAX).map(Ordinal);
        }
        if self.is_static() {
            if default.is_none() {
                // Records that it is missing.
                values.required::<u8>("COMPONENT_ID");
            }
            return default;
        }
        let pod: String = required(values, "POD_NAME")?;
        let ordinal = kubernetes::ordinal_of_pod(&pod);
        if ordinal.is_none() {
            let (name, most) = (values.name("POD_NAME"), settings::REPLICAS_MAX - 1);
            values.mistake(format!(
                "{name} is {pod:?}: it must end in a number from 0 to {most}, as in a StatefulSet, or COMPONENT_ID must be set"
            ));
        }
        ordinal
    }

    /// Starts to fill the lists, if they come from Kubernetes, until the guard is dropped. Exits
    /// the process if the access to the Kubernetes API is not configured. If the API does not
    /// answer, it retries.
    pub fn start(&self) -> WatchGuard {
        kubernetes::watch(&self.services, self.kubeconfig.clone())
    }

    /// Registers the metrics `toystore_discovery_*`.
    pub fn register(&self, registry: &Registry) {
        self.services.iter().for_each(|service| service.metrics().register(registry));
    }

    /// Waits until every list has been received once.
    pub async fn synced(&self) {
        for service in &self.services {
            service.synced().await;
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

/// A list of replicas that never changes.
pub fn static_replicas(replicas: Replicas) -> watch::Receiver<Replicas> {
    // Dropping the sender is fine: a receiver keeps the last value.
    watch::Sender::new(replicas).subscribe()
}

/// A setting that is required with `DISCOVERY=kubernetes`.
fn required(values: &mut Values, env: &str) -> Option<String> {
    let value = values.optional(env);
    if !values.is_set(env) {
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

    /// What an order replica reads from these variables: its ordinal and its `Discovery`.
    fn read(variables: &[(&str, &str)]) -> Result<(Ordinal, Discovery), Mistakes> {
        let table = [
            settings::discovery(),
            settings::own_ordinal("order", None),
            settings::order(),
            settings::order_replication(),
            settings::catalog(),
        ]
        .concat();
        let matches = command("x", "y", &table).try_get_matches_from(["x"]).unwrap();
        let mut values = Values::read(&table, &matches, &variables.iter().copied().collect::<BTreeMap<_, _>>());
        let mut discovery = Discovery::read(&mut values);
        let ordinal = discovery.ordinal(&mut values, None);
        let lists = [
            discovery.order_replicas(&mut values),
            discovery.order_peers(&mut values),
            discovery.catalog_replicas(&mut values),
        ];
        let complete = lists.iter().all(Option::is_some);
        values.finish(ordinal.filter(|_| complete).map(|ordinal| (ordinal, discovery)))
    }

    const POD: [(&str, &str); 5] = [
        ("DISCOVERY", "kubernetes"),
        ("POD_NAMESPACE", "toys"),
        ("POD_NAME", "toystore-order-3"),
        ("ORDER_SERVICE", "toystore-order-peers"),
        ("CATALOG_SERVICE", "toystore-catalog-peers"),
    ];

    #[test]
    fn a_pod_knows_its_ordinal_and_watches_each_service_once() {
        let (ordinal, discovery) = read(&POD).unwrap();
        assert_eq!((ordinal, discovery.is_static()), (Ordinal(4), false));
        let watched: Vec<_> = discovery.services.iter().map(|it| (it.group(), it.namespace(), it.name())).collect();
        let expected = [("order", "toys", "toystore-order-peers"), ("catalog", "toys", "toystore-catalog-peers")];
        assert_eq!(watched, expected);
        let by_hand = [&POD[..], &[("COMPONENT_ID", "2")]].concat();
        assert_eq!(read(&by_hand).unwrap().0, Ordinal(2), "COMPONENT_ID overrides the name of the pod");
    }

    #[test]
    fn with_static_lists_the_kubernetes_settings_are_ignored() {
        let (ordinal, discovery) = read(&[("COMPONENT_ID", "1"), ("POD_NAME", "x"), ("ORDER_SERVICE", "y")]).unwrap();
        assert_eq!((ordinal, discovery.is_static(), discovery.services.len()), (Ordinal(1), true, 0));
    }

    #[test]
    fn all_missing_settings_are_reported_at_once() {
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
        assert_eq!(mistakes.len(), 3, "the mode, the ordinal, and a mistake in the lists: {mistakes:?}");
    }
}
