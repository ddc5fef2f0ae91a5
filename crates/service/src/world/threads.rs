//! Work that blocks: on a thread where there are threads, in its turn where there is one virtual clock.

use std::io;
use std::thread;

use tokio::sync::mpsc;

use super::current;
use crate::lifecycle::{ExitCode, fatal};

/// Runs `work`, called `name`, where it may block. It runs to its end even if nobody waits for it any more; a panic in it ends the
/// process.
pub async fn blocking<R: Send + 'static>(name: &str, work: impl FnOnce() -> R + Send + 'static) -> R {
    let done = match current() {
        None => tokio::task::spawn_blocking(work).await,
        Some(world) => {
            let busy = world.work();
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
        // Cancelled: the runtime is going away, and all tasks with it.
        Err(_) => std::future::pending().await,
    }
}

/// A thread of its own that does what has piled up, each time it is woken. It ends with the last clone.
#[derive(Clone, Debug)]
pub struct Worker(mpsc::Sender<()>);

impl Worker {
    /// Begins the thread `name`. What there is to do is done in two steps, `begin` and `finish`; a simulated machine may lose its power
    /// between them.
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
                        world.work().await;
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

    /// There is something to do. To be called after it is visible to `begin`.
    pub fn wake(&self) {
        // If a call waits already, the thread has yet to look.
        let _ = self.0.try_send(());
    }
}
