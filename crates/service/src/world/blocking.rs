//! Blocking work: on threads in a real process, as tasks under the virtual clock of a simulated
//! world.

use std::io;
use std::thread;

use tokio::sync::mpsc;

use super::boundary::current;
use super::fatal::fatal;
use crate::exit::ExitCode;

/// Runs `work`, which may block, outside the async runtime's worker threads. It runs to its end
/// even if the returned future is dropped. A panic in it ends the process with a message that
/// contains `name`.
pub async fn blocking<R: Send + 'static>(name: &str, work: impl FnOnce() -> R + Send + 'static) -> R {
    let done = match current() {
        None => tokio::task::spawn_blocking(work).await,
        Some(world) => {
            let busy = world.blocking_delay();
            tokio::spawn(async move {
                busy.await;
                work()
            })
            .await
        }
    };
    match done {
        Ok(result) => result,
        Err(error) if error.is_panic() => fatal(ExitCode::Software, format!("{name} panicked: {error}")),
        // Cancelled: the runtime shuts down, and all tasks with it.
        Err(_) => std::future::pending().await,
    }
}

/// A dedicated thread that processes queued work each time it is woken. It ends when the last clone
/// is dropped.
#[derive(Clone, Debug)]
pub struct BlockingWorker(mpsc::Sender<()>);

impl BlockingWorker {
    /// Starts the thread `name`. Work has two steps, `begin` and `finish`; a simulated machine may
    /// lose power between them.
    pub fn spawn<J: Send + 'static>(
        name: &str,
        mut begin: impl FnMut() -> Option<J> + Send + 'static,
        mut finish: impl FnMut(J) + Send + 'static,
    ) -> io::Result<Self> {
        let (wake, mut woken) = mpsc::channel(1);
        if let Some(world) = current() {
            tokio::spawn(async move {
                while let Some(()) = woken.recv().await {
                    if let Some(begun) = begin() {
                        world.blocking_delay().await;
                        finish(begun);
                    }
                }
            });
        } else {
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                while let Some(()) = woken.blocking_recv() {
                    if let Some(begun) = begin() {
                        finish(begun);
                    }
                }
            })?;
        }
        Ok(Self(wake))
    }

    /// Wakes the thread. Call this after the new work is visible to `begin`.
    pub fn wake(&self) {
        // If a wake-up is already queued, the thread has yet to look.
        let _ = self.0.try_send(());
    }
}
