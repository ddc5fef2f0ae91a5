//! Restarts whoever dies.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::Duration;

use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use service::lifecycle::ExitCode;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cli::{Failed, print};
use crate::local::{Member, Store};

/// A process that lived so long did not fail at its start: it is restarted at once.
const STEADY: Duration = Duration::from_secs(10);

/// Wait before the second restart in a row; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(200);

/// A process that cannot start is tried this often for ever: what is in its way may go.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Watches the children until `stop`.
///
/// # Errors
/// If a child says that its configuration is wrong: it would say so again.
pub(super) async fn supervise(store: &mut Store, restart: bool, stop: &CancellationToken) -> Result<(), Failed> {
    let mut started = BTreeMap::<Member, (Instant, Duration)>::new();
    loop {
        let (member, status) = tokio::select! {
            died = first_death(store) => died,
            () = stop.cancelled() => return Ok(()),
        };
        if status.code() == Some(ExitCode::Usage as i32) {
            return Err(Failed::new(ExitCode::Usage, format!("{member} cannot run with this configuration")));
        }
        if !restart {
            print(format!("{member} died ({status}); it stays dead"));
            store.forget(member);
            continue;
        }
        let now = Instant::now();
        let backoff = match started.get(&member) {
            Some((at, _)) if now - *at > STEADY => Duration::ZERO,
            Some((_, backoff)) => (*backoff * 2).clamp(BACKOFF_MIN, BACKOFF_MAX),
            None => Duration::ZERO,
        };
        tokio::select! {
            () = tokio::time::sleep(backoff) => {}
            () = stop.cancelled() => return Ok(()),
        }
        started.insert(member, (Instant::now(), backoff));
        match store.start(member) {
            Ok(process) => print(format!("{member} died ({status}); started again as pid {}", process.pid())),
            Err(error) => return Err(Failed::new(ExitCode::Failure, format!("{member} cannot be started: {error}"))),
        }
    }
}

/// Waits for the next child that ends.
async fn first_death(store: &mut Store) -> (Member, ExitStatus) {
    let mut waits: FuturesUnordered<_> = store
        .processes()
        .map(|process| {
            let member = process.member();
            process.wait().map(move |status| (member, status))
        })
        .collect();
    loop {
        match waits.next().await {
            Some((member, Ok(status))) => return (member, status),
            Some((member, Err(error))) => tracing::warn!(%member, %error, "cannot wait for a process"),
            // With --no-restart there may be nobody left to wait for.
            None => std::future::pending().await,
        }
    }
}

/// Makes the message for a store that did not come up: a child's own exit code says most.
pub(super) async fn why_not_ready(store: &mut Store, reason: String) -> Failed {
    for process in store.processes() {
        if !process.is_running()
            && let Ok(status) = process.wait().await
            && status.code() == Some(ExitCode::Usage as i32)
        {
            return Failed::new(ExitCode::Usage, format!("the store does not start: {reason}; its message is above"));
        }
    }
    Failed::new(ExitCode::Failure, format!("the store does not start: {reason}; the log above may say why"))
}
