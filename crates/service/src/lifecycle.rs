//! The life of a process.
//!
//! Every subcommand reads its settings first, and reports all mistakes at once. A server then lives
//! as [`run`] says: bind the ports, log who may use them, look for the other processes, build,
//! serve, receive a signal, be unready, drain, exit. What differs from server to server is a
//! [`Process`]. A process that must not go on ends at once ([`fatal`], [`abort_on_panic`]).

use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio_util::sync::CancellationToken;

mod process;
mod task;

pub use self::process::{Listeners, Process, run};
pub use self::task::Task;
pub use crate::exit::{ExitCode, ExitError};
pub use crate::world::fatal;

/// How long a process may take to stop after a signal. Requests in flight end within their own 5 s
/// deadline. Kubernetes' default grace period is 30 s.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// Makes a panic on any thread end the process, after the panic message: a process that has lost
/// one thread would still look alive.
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
/// Call this in the first line of `main`, before anything that takes time. The first process of a
/// container has no default handlers: the kernel drops a signal that arrives before this call, and
/// the container is killed when its grace period ends. A signal that arrives later is kept in the
/// token.
///
/// # Panics
/// If the process cannot have signal handlers.
pub fn stop_on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let stopped = token.clone();
    let mut signals = Signals::new([SIGTERM, SIGINT]).expect("signal handlers can be installed");
    // A thread, because there is no runtime yet.
    let watch = move || {
        for (earlier, signal) in signals.forever().enumerate() {
            let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
            if earlier > 0 {
                fatal(ExitCode::Failure, format!("received a second signal ({name})"));
            }
            tracing::info!(signal = name, "stopping");
            stopped.cancel();
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(watch).expect("a thread can be started");
    token
}
