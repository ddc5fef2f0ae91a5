//! How a process ends: asked to, or because it must not go on.

use std::fmt::Display;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::world;

/// How long a process that was asked to stop may take for it: requests in flight end within their own 5 s deadline.
/// Kubernetes' default grace period is 30 s.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// Exit codes, after BSD's `sysexits.h` where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Stopped as asked.
    Ok = 0,
    /// Could not start or had to stop, for a reason outside: a port in use, no answer.
    Failure = 1,
    /// The configuration or the command line is wrong (`EX_USAGE`).
    Usage = 64,
    /// A bug or a broken invariant (`EX_SOFTWARE`).
    Software = 70,
    /// The disk failed, or what lies on it is damaged (`EX_IOERR`).
    Io = 74,
    /// A load test ran to its end, and the store missed a threshold. Outside of `sysexits.h`, so that a script can tell it from the rest.
    Missed = 99,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Stops the process at once: something that it has promised can no longer be kept.
///
/// Neither drains nor hands over: to go on for even a moment would be to pretend.
pub fn fatal(code: ExitCode, what: impl Display) -> ! {
    tracing::error!(exit_code = code as u8, "stopping at once: {what}");
    if let Some(world) = world::current() {
        std::panic::resume_unwind(world.exit(code, what.to_string()));
    }
    std::process::exit(code as i32);
}

/// Makes a panic on any thread end the process (after its message): a half-dead process would still look alive.
pub fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        tracing::error!(exit_code = ExitCode::Software as u8, "stopping at once: {panic}");
        std::process::abort();
    }));
}

/// A token that is cancelled by SIGTERM or SIGINT. A second signal ends the process at once.
///
/// # Panics
/// If the process cannot have signal handlers.
pub fn stop_on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let stopped = token.clone();
    let mut terminate = signal(SignalKind::terminate()).expect("signal handlers can be installed");
    let mut interrupt = signal(SignalKind::interrupt()).expect("signal handlers can be installed");
    tokio::spawn(async move {
        for times in 1.. {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if times > 1 {
                fatal(ExitCode::Failure, format!("a second signal ({name}) came"));
            }
            tracing::info!(signal = name, "stopping");
            stopped.cancel();
        }
    });
    token
}
