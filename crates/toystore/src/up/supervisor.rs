//! Restarts members that exit, and carries out what the console asks for.

use std::process::ExitStatus;

use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use service::lifecycle::{ExitCode, ExitError};
use tokio_util::sync::CancellationToken;

use super::control_worker::ControlWorker;
use super::controls::ControlRequest;
use super::restarts::Restarts;
use crate::local::run_file::RunFile;
use crate::local::{LocalStore, StoreMember};
use crate::output::print;

/// Watches the children until `stop`, and carries out the requests of the `console`, if there is
/// one. A member that was stopped by a request is not restarted until a request starts it.
///
/// # Errors
/// If a child rejects its configuration: a restart would fail in the same way.
pub async fn supervise(
    store: &mut LocalStore,
    restart: bool,
    mut console: Option<&mut ControlWorker>,
    stop: &CancellationToken,
) -> Result<(), ExitError> {
    let mut restarts = Restarts::default();
    write_run_file(store);
    loop {
        if let Some(worker) = &mut console {
            worker.publish(store);
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            (member, status) = next_exit(store) => {
                exited(store, member, status)?;
                if restart {
                    restarts.exited(member, status);
                } else {
                    print(format!("{member} exited ({status}); it is not restarted"));
                }
                if let Some(worker) = &mut console {
                    worker.exited(member);
                }
            }
            member = restarts.next() => start_again(store, member, &mut restarts)?,
            request = next_request(&mut console) => if let (Some(worker), Some(request)) = (&mut console, request) {
                tokio::select! {
                    () = worker.serve(request, store, &mut restarts) => write_run_file(store),
                    () = stop.cancelled() => return Ok(()),
                }
            },
        }
    }
}

/// Takes an exited member off the list of running processes.
fn exited(store: &mut LocalStore, member: StoreMember, status: ExitStatus) -> Result<(), ExitError> {
    if status.code() == Some(ExitCode::Usage as i32) {
        return Err(ExitError::new(
            ExitCode::Usage,
            format!("{member} rejected its configuration; see its message above"),
        ));
    }
    store.forget(member);
    write_run_file(store);
    Ok(())
}

fn start_again(store: &mut LocalStore, member: StoreMember, restarts: &mut Restarts) -> Result<(), ExitError> {
    let Some(status) = restarts.begin(member) else { return Ok(()) };
    match store.start(member) {
        Ok(process) => {
            print(format!("{member} exited ({status}); restarted as pid {}", process.pid()));
            write_run_file(store);
            Ok(())
        }
        Err(error) => Err(ExitError::new(ExitCode::Failure, format!("cannot start {member}: {error}"))),
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
            // All may have been killed, or have exited with --no-restart.
            None => std::future::pending().await,
        }
    }
}

/// Waits for the next request of the console; `None` if only its settings have changed.
async fn next_request(console: &mut Option<&mut ControlWorker>) -> Option<ControlRequest> {
    match console {
        Some(worker) => worker.next_request().await,
        None => std::future::pending().await,
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
