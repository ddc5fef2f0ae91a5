//! A child process that stops when its parent is gone.

use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

/// The environment variable that tells a child to stop when its standard input closes.
pub(super) const STOP_WITH_PARENT: &str = "STOP_WITH_PARENT";

/// Cancels `stop` as soon as the parent process is gone, if the parent has asked for that.
pub fn stop_with_parent(stop: &CancellationToken) {
    if std::env::var_os(STOP_WITH_PARENT).is_none() {
        return;
    }
    let stop = stop.clone();
    tokio::spawn(async move {
        // The parent never writes to the pipe: the read ends when the pipe closes.
        let _ = tokio::io::stdin().read(&mut [0]).await;
        stop.cancel();
    });
}
