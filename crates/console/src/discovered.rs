//! The processes of a store that runs elsewhere, as `discovery` finds them.

use api::replica::Replicas;
use api::{Address, Ordinal};
use discovery::Pods;
use service::lifecycle::Task;
use tokio::sync::watch;

use crate::source::{ProcessAddress, ServiceKind, Sources};

/// The lists of addresses of a store's processes.
#[derive(Clone, Debug)]
pub(crate) struct Discovered {
    pub(crate) frontends: watch::Receiver<Pods>,
    pub(crate) catalogs: watch::Receiver<Replicas>,
    pub(crate) orders: watch::Receiver<Replicas>,
}

impl Discovered {
    /// One list of all processes, which the task keeps up to date.
    pub(crate) fn into_sources(mut self) -> (Sources, Task) {
        let list = watch::Sender::new(self.list());
        let sources = list.subscribe();
        let keep = Task::spawn(async move |stop| {
            loop {
                // A list that never changes has no sender.
                tokio::select! {
                    () = stop.cancelled() => return,
                    Ok(()) = self.frontends.changed() => {}
                    Ok(()) = self.catalogs.changed() => {}
                    Ok(()) = self.orders.changed() => {}
                    else => return stop.cancelled().await,
                }
                list.send_replace(self.list());
            }
        });
        (sources, keep)
    }

    fn list(&mut self) -> Vec<ProcessAddress> {
        let frontends = self.frontends.borrow_and_update().clone();
        let frontends = frontends
            .into_iter()
            .zip(1..=u8::MAX)
            .map(|((pod, internal), n)| process(frontend_name(&pod), ServiceKind::Frontend, Ordinal(n), internal));
        let mut all: Vec<_> = frontends.collect();
        let catalogs = self.catalogs.borrow_and_update().clone();
        let is_only = catalogs.len() == 1;
        all.extend(catalogs.into_iter().map(|(ordinal, internal)| {
            let name = if is_only { "catalog".to_owned() } else { format!("catalog-{ordinal}") };
            process(name, ServiceKind::Catalog, ordinal, internal)
        }));
        let orders = self.orders.borrow_and_update().clone();
        all.extend(
            orders
                .into_iter()
                .map(|(ordinal, internal)| process(format!("order-{ordinal}"), ServiceKind::Order, ordinal, internal)),
        );
        all
    }
}

fn process(name: String, service: ServiceKind, ordinal: Ordinal, internal: Address) -> ProcessAddress {
    ProcessAddress { name, service, ordinal, internal, known_as: Vec::new() }
}

/// A pod of a Deployment has a long name that ends in five random characters: those are enough.
fn frontend_name(pod: &str) -> String {
    if pod.starts_with("frontend") {
        return pod.to_owned();
    }
    format!("frontend-{}", pod.rsplit('-').next().unwrap_or(pod))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn pods(names: &[&str]) -> Pods {
        names.iter().zip(1..).map(|(name, port)| ((*name).to_owned(), Address::new("f", port))).collect()
    }

    fn replicas(ordinals: &[u8]) -> Replicas {
        ordinals.iter().map(|n| (Ordinal(*n), Address::new("r", u16::from(*n)))).collect()
    }

    fn names(sources: &Sources) -> Vec<String> {
        sources.borrow().iter().map(|process| process.name.clone()).collect()
    }

    #[tokio::test]
    async fn the_list_follows_every_other_list() {
        let frontends = watch::Sender::new(pods(&["frontend", "frontend-2"]));
        let orders = watch::Sender::new(replicas(&[1, 2]));
        // Its sender is gone: it never changes.
        let catalogs = watch::Sender::new(BTreeMap::from([(Ordinal(1), Address::new("c", 1))])).subscribe();
        let discovered = Discovered { frontends: frontends.subscribe(), catalogs, orders: orders.subscribe() };
        let (mut sources, _keep) = discovered.into_sources();
        assert_eq!(names(&sources), ["frontend", "frontend-2", "catalog", "order-1", "order-2"]);
        sources.borrow_and_update();
        orders.send_replace(replicas(&[1, 2, 3]));
        sources.changed().await.unwrap();
        assert_eq!(names(&sources).last().unwrap(), "order-3");
        frontends.send_replace(pods(&["toys-frontend-6d4f-x2x1z"]));
        sources.changed().await.unwrap();
        assert_eq!(names(&sources)[0], "frontend-x2x1z");
    }
}
