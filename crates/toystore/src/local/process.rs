//! One member as a child process.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncRead;
use tokio::process::{Child, ChildStdin};
use tokio_util::codec::{FramedRead, LinesCodec, LinesCodecError};

use super::layout::{StoreLayout, StoreMember};

/// Receives the log lines of a child.
pub type LogSink = Arc<dyn Fn(StoreMember, &str) + Send + Sync>;

/// Longest log line that is forwarded.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A running child process; killed when dropped.
#[derive(Debug)]
pub struct ChildProcess {
    member: StoreMember,
    child: Child,
    pid: Pid,
    /// Open while the child may run; see [`super::stop_with_parent`].
    _lifeline: ChildStdin,
}

impl ChildProcess {
    /// Starts a member.
    pub fn start(binary: &Path, layout: &StoreLayout, member: StoreMember, log: &LogSink) -> io::Result<Self> {
        let mut command = layout.command(binary, member);
        // The child gets its own process group, so that Ctrl-C on the terminal only reaches the
        // parent, which stops its children in order.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let exited = || io::Error::other("the child exited immediately");
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).ok_or_else(exited)?;
        let lifeline = child.stdin.take().ok_or_else(exited)?;
        forward(member, child.stdout.take().ok_or_else(exited)?, log);
        forward(member, child.stderr.take().ok_or_else(exited)?, log);
        Ok(Self { member, child, pid, _lifeline: lifeline })
    }

    /// Which member it is.
    pub fn member(&self) -> StoreMember {
        self.member
    }

    /// The process id.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Whether it is still running. A process that has exited is not signaled any more, because
    /// its id may belong to another process by then.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// How it has ended; `None` if it is still running.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Sends SIGKILL and waits for the exit.
    pub async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.wait().await
    }

    /// Sends SIGTERM: the process drains and exits. A frozen process resumes, because it would not
    /// see the signal.
    pub fn terminate(&mut self) -> io::Result<()> {
        self.signal(Signal::TERM)?;
        self.thaw()
    }

    /// Sends SIGSTOP: the process is frozen, with all its sockets open.
    pub fn freeze(&mut self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Sends SIGCONT: a frozen process resumes.
    pub fn thaw(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Waits for the exit.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Sends SIGTERM, then SIGKILL if the process has not exited within `timeout`.
    pub async fn stop(&mut self, timeout: Duration) -> io::Result<ExitStatus> {
        self.terminate()?;
        match tokio::time::timeout(timeout, self.wait()).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        }
    }

    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.is_running() { Ok(kill_process(self.pid, signal)?) } else { Ok(()) }
    }
}

fn forward(member: StoreMember, stream: impl AsyncRead + Unpin + Send + 'static, log: &LogSink) {
    let log = Arc::clone(log);
    let mut lines = FramedRead::new(stream, LinesCodec::new_with_max_length(LINE_BYTES_MAX));
    tokio::spawn(async move {
        while let Some(line) = lines.next().await {
            match line {
                Ok(line) => log(member, &line),
                Err(LinesCodecError::MaxLineLengthExceeded) => log(member, "(line too long to show)"),
                Err(LinesCodecError::Io(_)) => break,
            }
        }
    });
}
