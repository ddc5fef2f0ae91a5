//! Watches one service's EndpointSlices: list them, watch for changes, and repeat when the watch
//! breaks.
//!
//! The API server returns a list with a version, and then every change since a version. Now and
//! then it sends a *bookmark*, a version without a change. A watch ends for many reasons: its time
//! is over (30 s here, so that a dead connection is noticed soon), the server restarts, or a line
//! is cut off in the middle. The watcher then continues from the last version. If the server
//! refuses this for whatever reason, the watcher lists everything again, and the new list replaces
//! the old one completely. The server may have forgotten the version (410), or it may be a server
//! that has never had it (504, "too large resource version"). Servers differ in the codes that they
//! use for this.
//!
//! A server that was restored from a backup continues from an older version. It may accept our
//! version, wait for changes after it, and not report the changes before it. No answer reveals
//! this. So the watcher lists everything again every few minutes in any case. An event whose
//! version is lower than the last one is also taken as a sign of a restored server.
//!
//! While the API server is unavailable, the last list stays in use. A list is read from a majority
//! of etcd (without `resourceVersion`), never from a server's cache: a server that lags behind
//! cannot bring back an old address.
//!
//! # Caveats
//! The length of one event is not bounded. A client that can write EndpointSlices in this namespace
//! can redirect all requests anyway.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Status;
use kube::{Api, Client};
use service::backoff::Backoff;
use service::world;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::slices::{SLICES_MAX, Slices};
use super::watched::WatchedService;

/// The timeout of a list request, and of the start of a watch.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// After this time, the server ends a watch.
const WATCH_S: u32 = 30;
/// A watch that is silent for longer is dead: the server has not even ended it.
const SILENCE_MAX: Duration = Duration::from_secs(WATCH_S as u64 + 10);
/// The pause between two requests. It is short after a watch that worked, and random, so that the
/// processes of the store do not send their requests at the same moment.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
/// How long until everything is listed again, less a random part of up to a quarter. After the
/// server was restored from a backup, addresses can be wrong for this long.
const RELIST_AFTER: Duration = Duration::from_mins(4);
/// A watch that lasted this long has worked, even if it reported no change.
const WORKED_AFTER: Duration = Duration::from_secs(5);

/// The label by which the slices of a service are selected.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Why a list request or a watch failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum WatchError {
    #[error("the API server has forgotten the version to continue from")]
    Expired,
    #[error("the versions went back from {from} to {to}: the API server was probably restored from a backup")]
    WentBack { from: u64, to: u64 },
    #[error(
        "{0}: grant this process's service account the verbs list and watch on endpointslices (discovery.k8s.io) in its namespace"
    )]
    Forbidden(String),
    #[error("{0}: the token of this process's service account is not valid")]
    Unauthorized(String),
    #[error("the API server refuses the request with {code}: {message}")]
    Refused { code: u16, message: String },
    #[error("the API server does not answer: {0}")]
    Unreachable(String),
    #[error("the watch was silent for more than {} s", SILENCE_MAX.as_secs())]
    Silent,
    #[error("an answer cannot be parsed: {0}")]
    Garbled(String),
}

impl WatchError {
    /// The value of the metric's label `reason`.
    fn reason(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::WentBack { .. } => "went_back",
            Self::Forbidden(_) => "forbidden",
            Self::Unauthorized(_) => "unauthorized",
            Self::Refused { .. } => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::Silent => "silent",
            Self::Garbled(_) => "garbled",
        }
    }

    /// Whether everything must be listed again: the server has answered, and its answer leaves open
    /// which slices there are now.
    fn needs_list(&self) -> bool {
        !matches!(self, Self::Unreachable(_) | Self::Silent)
    }

    /// Whether this is part of normal operation, and solved by a new list.
    fn is_expected(&self) -> bool {
        matches!(self, Self::Expired | Self::WentBack { .. })
    }
}

impl From<&Status> for WatchError {
    fn from(status: &Status) -> Self {
        let message = status.message.clone();
        match status.code {
            401 => Self::Unauthorized(message),
            403 => Self::Forbidden(message),
            410 => Self::Expired,
            code => Self::Refused { code, message },
        }
    }
}

impl From<kube::Error> for WatchError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from(&*status),
            kube::Error::SerdeError(error) => Self::Garbled(error.to_string()),
            error => Self::Unreachable(with_causes(&error)),
        }
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The progress since the last list.
#[derive(Debug)]
struct Listed {
    /// The version from which a watch continues.
    version: String,
    /// When everything must be listed again.
    expires: Instant,
}

impl Listed {
    /// Continues from a newer version. Versions are increasing numbers (since Kubernetes 1.35 this
    /// is guaranteed). A version that is not a number is not compared.
    fn advance_to(&mut self, newer: String) -> Result<(), WatchError> {
        let numbers = self.version.parse().ok().zip(newer.parse().ok());
        if let Some((from, to)) = numbers.filter(|(from, to): &(u64, u64)| to < from) {
            return Err(WatchError::WentBack { from, to });
        }
        self.version = newer;
        Ok(())
    }
}

/// Watches one service.
pub(crate) struct Watcher {
    api: Api<EndpointSlice>,
    service: WatchedService,
    slices: Slices,
    /// The URL of the API server, for log messages.
    server: String,
    /// The reasons that have been logged since the last watch that worked. Each is logged once.
    logged: BTreeSet<&'static str>,
    /// When the watch last stopped working.
    failing_since: Instant,
}

impl Watcher {
    pub(crate) fn new(client: Client, server: &str, service: WatchedService) -> Self {
        let api = Api::namespaced(client, service.namespace());
        Self {
            api,
            service,
            slices: Slices::default(),
            server: server.to_owned(),
            logged: BTreeSet::new(),
            failing_since: Instant::now(),
        }
    }

    /// Watches until the future is dropped.
    pub(crate) async fn run(mut self) {
        let mut backoff = BACKOFF;
        let mut list = None;
        loop {
            if let Err(error) = self.list_and_watch(&mut list, &mut backoff).await {
                if error.needs_list() {
                    list = None;
                }
                self.report(&error);
            }
            sleep(backoff.next_delay()).await;
        }
    }

    /// Lists the slices, if there is no version to continue from or the list is old. Then watches
    /// for changes until the watch ends.
    async fn list_and_watch(&mut self, list: &mut Option<Listed>, backoff: &mut Backoff) -> Result<(), WatchError> {
        let from = match list.take_if(|list| Instant::now() < list.expires) {
            Some(fresh) => list.insert(fresh),
            None => list.insert(self.list().await?),
        };
        let begun = Instant::now();
        let outcome = self.watch(from, backoff).await;
        if begun.elapsed() >= WORKED_AFTER {
            backoff.reset();
        }
        outcome
    }

    async fn list(&mut self) -> Result<Listed, WatchError> {
        let params = ListParams::default().labels(&self.selector()).limit(SLICES_MAX);
        let list = in_time(self.api.list(&params)).await?;
        let Some(version) = list.metadata.resource_version else {
            return Err(WatchError::Garbled("the list has no version".to_owned()));
        };
        if list.metadata.continue_.is_some_and(|more| !more.is_empty()) {
            tracing::warn!(
                service = self.service.name(),
                max = SLICES_MAX,
                "the service has more EndpointSlices than are used"
            );
        }
        self.slices.replace(&list.items);
        self.service.metrics().confirm();
        self.service.publish(&self.slices);
        let expires = Instant::now() + RELIST_AFTER.mul_f64(1.0 - world::random_fraction() / 4.0);
        Ok(Listed { version, expires })
    }

    async fn watch(&mut self, list: &mut Listed, backoff: &mut Backoff) -> Result<(), WatchError> {
        let params = WatchParams::default().labels(&self.selector()).timeout(WATCH_S);
        let mut events = pin!(in_time(self.api.watch(&params, &list.version)).await?);
        self.connected();
        loop {
            let silent_at = Instant::now() + SILENCE_MAX;
            let Ok(event) = timeout_at(silent_at.min(list.expires), events.next()).await else {
                return if Instant::now() < silent_at { Ok(()) } else { Err(WatchError::Silent) };
            };
            let Some(event) = event.transpose()? else {
                return Ok(());
            };
            let newer = self.apply(event)?;
            backoff.reset();
            self.connected();
            if let Some(newer) = newer {
                list.advance_to(newer)?;
            }
        }
    }

    /// Applies a change. Returns the version after it.
    fn apply(&mut self, event: WatchEvent<EndpointSlice>) -> Result<Option<String>, WatchError> {
        let slice = match event {
            WatchEvent::Added(slice) | WatchEvent::Modified(slice) => {
                self.slices.apply(&slice);
                slice
            }
            WatchEvent::Deleted(slice) => {
                self.slices.remove(&slice);
                slice
            }
            WatchEvent::Bookmark(bookmark) => return Ok(Some(bookmark.metadata.resource_version)),
            WatchEvent::Error(status) => return Err(WatchError::from(&*status)),
        };
        self.service.publish(&self.slices);
        Ok(slice.metadata.resource_version)
    }

    fn selector(&self) -> String {
        format!("{SERVICE_LABEL}={}", self.service.name())
    }

    /// Records that a watch works, so all changes will be reported. (A successful list means less:
    /// if only watches are refused, every attempt begins with a list.)
    fn connected(&mut self) {
        if !self.logged.is_empty() {
            self.logged.clear();
            let (service, outage_ms) = (self.service.name(), self.failing_since.elapsed().as_millis());
            tracing::warn!(
                service,
                server = self.server,
                outage_ms,
                "the watch of the Kubernetes API works again: addresses are up to date"
            );
        }
        self.service.metrics().connected.set(1);
        self.service.metrics().confirm();
    }

    /// Counts an error, and logs it if its reason is new.
    fn report(&mut self, error: &WatchError) {
        let reason = error.reason();
        self.service.metrics().errors.with_label_values(&[reason]).inc();
        if error.is_expected() {
            tracing::debug!(service = self.service.name(), %error, "listing the EndpointSlices again");
            return;
        }
        self.service.metrics().connected.set(0);
        if self.logged.is_empty() {
            self.failing_since = Instant::now();
        }
        if self.logged.insert(reason) {
            let (service, namespace, server) = (self.service.name(), self.service.namespace(), &self.server);
            tracing::warn!(
                service, namespace, server, reason, %error,
                "the watch of the Kubernetes API failed: keeping the last addresses and retrying"
            );
        }
    }
}

async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, WatchError> {
    match timeout(REQUEST_TIMEOUT, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(WatchError::Unreachable(format!("no response within {} s", REQUEST_TIMEOUT.as_secs()))),
    }
}
