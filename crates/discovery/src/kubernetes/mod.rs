//! Finds replicas through the Kubernetes API.
//!
//! A pod of a StatefulSet gets a new address whenever it is replaced. DNS serves these addresses
//! too, but through caches that can be 30 s old, and a rolling restart replaces an address every
//! few seconds. So each process watches the EndpointSlices of the headless services and knows a new
//! address within milliseconds.
//!
//! # Reading order
//! * [`slices`]: how a set of slices becomes a list of replicas. Pure.
//! * [`watched`]: a watched service, and the lists of addresses of its replicas.
//! * [`watcher`]: how these lists are kept up to date.
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
pub use watched::Pods;
pub(crate) use watched::WatchedService;

/// The timeout of a connection attempt to the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the watches until it is dropped. The lists then keep their last state.
#[derive(Debug)]
#[must_use = "the watches stop when this is dropped"]
pub struct WatchGuard(#[expect(dead_code, reason = "stops the task when it is dropped")] Option<AbortOnDropHandle<()>>);

/// Starts to watch these services.
pub(crate) fn watch(services: &[WatchedService], kubeconfig: Option<PathBuf>) -> WatchGuard {
    if services.is_empty() {
        return WatchGuard(None);
    }
    let services = services.to_vec();
    let work = async move {
        let connected = connect(kubeconfig).await;
        let (client, server) =
            connected.unwrap_or_else(|what| fatal(ExitCode::Usage, format!("DISCOVERY is kubernetes, but {what}")));
        join_all(services.into_iter().map(|service| Watcher::new(client.clone(), &server, service).run())).await;
    };
    WatchGuard(Some(AbortOnDropHandle::new(tokio::spawn(work))))
}

/// Creates a client for the API server that `kubeconfig` names, or else for the API server of the
/// cluster that this pod runs in. Also returns the URL of the server.
async fn connect(kubeconfig: Option<PathBuf>) -> Result<(Client, String), String> {
    let mut config = match &kubeconfig {
        Some(file) => {
            read_kubeconfig(file).await.map_err(|error| format!("KUBECONFIG ({}): {error}", file.display()))?
        }
        None => Config::incluster().map_err(|error| {
            format!("this process does not run in a pod with a service account, and KUBECONFIG is not set: {error}")
        })?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // The watcher retries by itself, so that it can log and count the failures.
    config.default_retry = false;
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config)
        .map_err(|error| format!("a client for the Kubernetes API cannot be created: {error}"))?;
    Ok((client, server))
}

async fn read_kubeconfig(file: &Path) -> Result<Config, KubeconfigError> {
    Config::from_custom_kubeconfig(Kubeconfig::read_from(file)?, &KubeConfigOptions::default()).await
}
