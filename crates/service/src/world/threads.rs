//! Work that blocks: on a thread where there are threads, in its turn where there is one virtual clock.

use std::io;
use std::thread;

use tokio::sync::{mpsc, oneshot};

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

/// Jobs that may wait for a [`Worker`]; one more waits for a place.
const QUEUE_MAX: usize = 8;

/// A thread of its own that does one kind of blocking job, one after the other and in order. It ends with its last clone.
#[derive(Debug)]
pub struct Worker<J, R>(mpsc::Sender<(J, oneshot::Sender<R>)>);

impl<J, R> Clone for Worker<J, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<J: Send + 'static, R: Send + 'static> Worker<J, R> {
    /// Begins the thread `name`.
    pub fn spawn(name: &str, mut work: impl FnMut(J) -> R + Send + 'static) -> io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<(J, oneshot::Sender<R>)>(QUEUE_MAX);
        if let Some(world) = current() {
            tokio::spawn(async move {
                while let Some((job, done)) = queue.recv().await {
                    world.work().await;
                    // Who ordered it may have been stopped meanwhile.
                    let _ = done.send(work(job));
                }
            });
        } else {
            thread::Builder::new().name(name.to_owned()).spawn(move || {
                while let Some((job, done)) = queue.blocking_recv() {
                    let _ = done.send(work(job));
                }
            })?;
        }
        Ok(Self(jobs))
    }

    /// Returns when the job is done; `None` if the thread is gone, which is so after a panic.
    pub async fn run(&self, job: J) -> Option<R> {
        let (done, result) = oneshot::channel();
        self.0.send((job, done)).await.ok()?;
        result.await.ok()
    }
}
