//! A task that is told to stop, and awaited.

use std::panic::resume_unwind;

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A task that runs until it is told to stop. Dropping this tells it to stop, and does not wait.
#[derive(Debug)]
#[must_use = "a task stops when this is dropped"]
pub struct Task {
    stop: DropGuard,
    handle: JoinHandle<()>,
}

impl Task {
    /// Spawns the future that `work` returns. It should end soon after the token is cancelled.
    pub fn spawn<F>(work: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let handle = tokio::spawn(work(stop.clone()));
        Self { stop: stop.drop_guard(), handle }
    }

    /// Tells the task to stop, and waits until it has ended.
    ///
    /// # Panics
    /// If the task has panicked.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.handle.await
            && let Ok(panic) = error.try_into_panic()
        {
            resume_unwind(panic);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_of_the_task_reaches_its_owner() {
        let task = Task::spawn(async |stop| {
            stop.cancelled().await;
            panic!("a test");
        });
        let panic = std::panic::AssertUnwindSafe(task.stop()).catch_unwind().await.unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"a test"));
    }
}
