//! Finding replicas through the Kubernetes API.
//!
//! The pods of a StatefulSet get new addresses whenever they are replaced. DNS tells them, too, but through caches that are up to 30 s
//! old; a rolling restart replaces an address every few seconds. So each process watches the EndpointSlices of the peers' services
//! (the unfiltered, headless ones: see [`slices`]) and has the new address within milliseconds.
//!
//! * [`slices`]: what a set of slices means. Pure.
//! * [`watcher`]: how it is kept up to date.
//! * [`watched`]: the lists that come out of it.
//! * [`metrics`]: the metrics `toystore_discovery_*`.

mod metrics;
mod slices;
mod watched;
mod watcher;

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::future::join_all;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use service::lifecycle::{ExitCode, fatal};
use tokio_util::task::AbortOnDropHandle;
use watcher::Watcher;

pub(crate) use slices::ordinal_of_pod;
pub(crate) use watched::WatchedService;

/// Until a connection to the API server stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Watches that run until this is dropped. The lists keep their last state then.
#[derive(Debug)]
#[must_use = "the watches end when this is dropped"]
pub struct Watching(#[expect(dead_code, reason = "held for its end")] Option<AbortOnDropHandle<()>>);

/// Watches all of these.
pub(crate) fn watch(services: &[WatchedService], kubeconfig: Option<PathBuf>) -> Watching {
    if services.is_empty() {
        return Watching(None);
    }
    let services = services.to_vec();
    let work = async move {
        let client = connect(kubeconfig).await;
        let client =
            client.unwrap_or_else(|what| fatal(ExitCode::Usage, format!("DISCOVERY is kubernetes, but {what}")));
        join_all(services.into_iter().map(|service| Watcher::new(client.clone(), service).run())).await;
    };
    Watching(Some(AbortOnDropHandle::new(tokio::spawn(work))))
}

/// A client for the API server that the file names, or else for that of the cluster that this pod runs in.
async fn connect(kubeconfig: Option<PathBuf>) -> Result<Client, String> {
    let mut config = match &kubeconfig {
        Some(file) => named_by(file).await.map_err(|error| format!("KUBECONFIG ({}): {error}", file.display()))?,
        None => Config::incluster().map_err(|error| format!("this is no pod with a service account: {error}"))?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // The watcher has pauses of its own, which it can tell about.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| format!("no client for its API can be made: {error}"))
}

async fn named_by(file: &Path) -> Result<Config, KubeconfigError> {
    Config::from_custom_kubeconfig(Kubeconfig::read_from(file)?, &KubeConfigOptions::default()).await
}
