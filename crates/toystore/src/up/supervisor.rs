//! Restarts members that exit.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::Duration;

use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use service::lifecycle::{ExitCode, ExitError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::local::run_file::RunFile;
use crate::local::{LocalStore, StoreMember};
use crate::output::print;

/// A process that lived this long did not fail at startup: it is restarted immediately.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Delay before the second restart in a row; doubles up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(200);

/// Maximum delay. A process that cannot start is retried indefinitely, because the cause may go
/// away.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Watches the children until `stop`.
///
/// # Errors
/// If a child rejects its configuration: a restart would fail in the same way.
pub(super) async fn supervise(
    store: &mut LocalStore,
    restart: bool,
    stop: &CancellationToken,
) -> Result<(), ExitError> {
    let mut started = BTreeMap::<StoreMember, (Instant, Duration)>::new();
    loop {
        let (member, status) = tokio::select! {
            exited = next_exit(store) => exited,
            () = stop.cancelled() => return Ok(()),
        };
        if status.code() == Some(ExitCode::Usage as i32) {
            return Err(ExitError::new(
                ExitCode::Usage,
                format!("{member} rejected its configuration; see its message above"),
            ));
        }
        if !restart {
            print(format!("{member} exited ({status}); it is not restarted"));
            store.forget(member);
            write_run_file(store);
            continue;
        }
        let now = Instant::now();
        let backoff = match started.get(&member) {
            Some((at, _)) if now - *at > STABLE_AFTER => Duration::ZERO,
            Some((_, backoff)) => (*backoff * 2).clamp(BACKOFF_MIN, BACKOFF_MAX),
            None => Duration::ZERO,
        };
        tokio::select! {
            () = tokio::time::sleep(backoff) => {}
            () = stop.cancelled() => return Ok(()),
        }
        started.insert(member, (Instant::now(), backoff));
        match store.start(member) {
            Ok(process) => {
                print(format!("{member} exited ({status}); restarted as pid {}", process.pid()));
                write_run_file(store);
            }
            Err(error) => return Err(ExitError::new(ExitCode::Failure, format!("cannot start {member}: {error}"))),
        }
    }
}

/// Writes the list of running processes, for `toystore status`.
pub(super) fn write_run_file(store: &mut LocalStore) {
    let data = store.layout().data().to_owned();
    if let Err(error) = RunFile::of(store).write(&data) {
        tracing::warn!(%error, "cannot write the run file: `toystore status` will not find this store");
    }
}

/// Waits until a child exits.
async fn next_exit(store: &mut LocalStore) -> (StoreMember, ExitStatus) {
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
            // With --no-restart no child may be left to wait for.
            None => std::future::pending().await,
        }
    }
}

/// Explains why the store did not start. A child's exit code is the best evidence.
pub(super) async fn startup_failure(store: &mut LocalStore, reason: String) -> ExitError {
    for process in store.processes() {
        if !process.is_running()
            && let Ok(status) = process.wait().await
            && status.code() == Some(ExitCode::Usage as i32)
        {
            return ExitError::new(
                ExitCode::Usage,
                format!("the store did not start: {reason}; see its message above"),
            );
        }
    }
    ExitError::new(ExitCode::Failure, format!("the store did not start: {reason}; see the log above"))
}
