//! The watch of one service's EndpointSlices: list, watch from there, and again when that breaks.
//!
//! The API server gives a list with a version, and then every change since a version; now and then a *bookmark*, a version with no change.
//! A watch ends for many reasons: its time is over (we ask for 30 s, so that a connection that died without a word is noticed soon), the
//! server restarts, a line is cut in the middle. Then it goes on from the last version. If the server has forgotten that
//! version (410), everything is listed anew, and the new list replaces the old one as a whole.
//!
//! While the API server is away, the last list stays. A list is read from the store's majority (no `resourceVersion`), never from a
//! server's cache: a server that lags cannot bring back an address that is gone.
//!
//! Not bounded here: the length of one event's line. Who can write EndpointSlices in this namespace can send us anywhere anyway.

use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Status;
use kube::{Api, Client};
use service::pause::Pause;
use tokio::time::{Instant, sleep, timeout};

use super::slices::{SLICES_MAX, Slices};
use super::watched::WatchedService;

/// For a list, and for the beginning of a watch.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The server ends a watch after so long.
const WATCH_S: u32 = 30;
/// A watch that is silent for longer is dead: the server did not even end it.
const SILENCE_MAX: Duration = Duration::from_secs(WATCH_S as u64 + 10);
/// Between two requests: short after a watch that worked. All processes of the store ask, so they must not do it in step.
const PAUSE: Pause = Pause::growing(Duration::from_millis(100), Duration::from_secs(5));
/// A watch that stood for so long has worked, even if nothing happened.
const WORKED_AFTER: Duration = Duration::from_secs(5);

/// Where the slices of a service are.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// Why the API server told nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("the version to go on from is too old")]
    Expired,
    #[error(
        "{0}: this process's service account needs the verbs list and watch on endpointslices (discovery.k8s.io) in its namespace"
    )]
    Forbidden(String),
    #[error("{0}: this process's service account has no valid token")]
    Unauthorized(String),
    #[error("the API server refuses with {code}: {message}")]
    Refused { code: u16, message: String },
    #[error("no answer: {0}")]
    Unreachable(String),
    #[error("the watch was silent for too long")]
    Silent,
    #[error("an answer cannot be understood: {0}")]
    Garbled(String),
}

impl Problem {
    /// The label of the metric.
    fn reason(&self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Forbidden(_) => "forbidden",
            Self::Unauthorized(_) => "unauthorized",
            Self::Refused { .. } => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::Silent => "silent",
            Self::Garbled(_) => "garbled",
        }
    }
}

impl From<&Status> for Problem {
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

impl From<kube::Error> for Problem {
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

/// Watches until it is dropped.
pub(crate) struct Watcher {
    api: Api<EndpointSlice>,
    service: WatchedService,
    slices: Slices,
    /// What was told last, so that it is told once.
    trouble: Option<&'static str>,
}

impl Watcher {
    pub(crate) fn new(client: Client, service: WatchedService) -> Self {
        let api = Api::namespaced(client, service.namespace());
        Self { api, service, slices: Slices::default(), trouble: None }
    }

    pub(crate) async fn run(mut self) {
        let mut pause = PAUSE;
        let mut version = None;
        loop {
            if let Err(problem) = self.round(&mut version, &mut pause).await {
                if problem == Problem::Expired {
                    version = None;
                }
                self.report(&problem);
            }
            sleep(pause.draw()).await;
        }
    }

    /// Lists, if there is no version to go on from, and follows the changes until that ends.
    async fn round(&mut self, version: &mut Option<String>, pause: &mut Pause) -> Result<(), Problem> {
        let from = match version {
            Some(version) => version,
            None => version.insert(self.list().await?),
        };
        let begun = Instant::now();
        let outcome = self.follow(from, pause).await;
        if begun.elapsed() >= WORKED_AFTER {
            pause.reset();
        }
        outcome
    }

    async fn list(&mut self) -> Result<String, Problem> {
        let params = ListParams::default().labels(&self.selector()).limit(SLICES_MAX);
        let list = in_time(self.api.list(&params)).await?;
        let Some(version) = list.metadata.resource_version else {
            return Err(Problem::Garbled("a list without a version".to_owned()));
        };
        if list.metadata.continue_.is_some_and(|more| !more.is_empty()) {
            tracing::warn!(service = self.service.name(), max = SLICES_MAX, "more slices than are looked at");
        }
        self.slices.replace(&list.items);
        self.confirmed();
        self.service.publish(&self.slices);
        Ok(version)
    }

    async fn follow(&mut self, version: &mut String, pause: &mut Pause) -> Result<(), Problem> {
        let params = WatchParams::default().labels(&self.selector()).timeout(WATCH_S);
        let mut events = pin!(in_time(self.api.watch(&params, version)).await?);
        self.confirmed();
        loop {
            let Ok(event) = timeout(SILENCE_MAX, events.next()).await else {
                return Err(Problem::Silent);
            };
            let Some(event) = event.transpose()? else {
                return Ok(());
            };
            let newer = self.take(event)?;
            pause.reset();
            self.confirmed();
            if let Some(newer) = newer {
                *version = newer;
            }
        }
    }

    /// Takes note of a change; gives the version after it.
    fn take(&mut self, event: WatchEvent<EndpointSlice>) -> Result<Option<String>, Problem> {
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
            WatchEvent::Error(status) => return Err(Problem::from(&*status)),
        };
        self.service.publish(&self.slices);
        Ok(slice.metadata.resource_version)
    }

    fn selector(&self) -> String {
        format!("{SERVICE_LABEL}={}", self.service.name())
    }

    /// The API server has answered.
    fn confirmed(&mut self) {
        if self.trouble.take().is_some() {
            let unheard_ms = self.service.metrics().age().as_millis();
            tracing::info!(service = self.service.name(), unheard_ms, "the Kubernetes API answers again");
        }
        self.service.metrics().heard();
    }

    /// Tells what is wrong when it begins, or changes.
    fn report(&mut self, problem: &Problem) {
        let reason = problem.reason();
        self.service.metrics().errors.with_label_values(&[reason]).inc();
        if *problem == Problem::Expired {
            tracing::debug!(service = self.service.name(), "the version to go on from has expired: listing anew");
            return;
        }
        self.service.metrics().connected.set(0);
        if self.trouble.replace(reason) != Some(reason) {
            let service = self.service.name();
            tracing::warn!(service, reason, %problem, "the Kubernetes API tells no addresses; the last ones stay");
        }
    }
}

async fn in_time<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Problem> {
    match timeout(REQUEST_TIMEOUT, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Problem::Unreachable(format!("nothing within {} s", REQUEST_TIMEOUT.as_secs()))),
    }
}
