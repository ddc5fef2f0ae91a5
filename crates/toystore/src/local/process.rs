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

use super::{Layout, Member};

/// What becomes of the lines that a child logs.
pub type LogSink = Arc<dyn Fn(Member, &str) + Send + Sync>;

/// Longest log line that is passed on.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A running child; killed when dropped.
#[derive(Debug)]
pub struct Process {
    member: Member,
    child: Child,
    pid: Pid,
    /// Open as long as the child may run; see [`super::stop_with_parent`].
    _lifeline: ChildStdin,
}

impl Process {
    /// Starts a member.
    pub fn start(binary: &Path, layout: &Layout, member: Member, log: &LogSink) -> io::Result<Self> {
        let mut command = layout.command(binary, member);
        // A process group of its own: Ctrl-C on the terminal reaches the parent alone, which stops its children in order.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let gone = || io::Error::other("the child ended at once");
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).ok_or_else(gone)?;
        let lifeline = child.stdin.take().ok_or_else(gone)?;
        forward(member, child.stdout.take().ok_or_else(gone)?, log);
        forward(member, child.stderr.take().ok_or_else(gone)?, log);
        Ok(Self { member, child, pid, _lifeline: lifeline })
    }

    /// Which member it is.
    pub fn member(&self) -> Member {
        self.member
    }

    /// The operating system's number of it.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Whether it still runs; once it has ended it is no longer signalled, since its number may be someone else's by then.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        self.wait().await
    }

    /// SIGTERM; it drains and ends.
    pub fn terminate(&mut self) -> io::Result<()> {
        self.signal(Signal::TERM)
    }

    /// SIGSTOP: frozen, with all its sockets open.
    pub fn freeze(&mut self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// SIGCONT: goes on where it was frozen.
    pub fn thaw(&mut self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// SIGTERM, then SIGKILL if it has not ended within `patience`.
    pub async fn stop(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        self.terminate()?;
        match tokio::time::timeout(patience, self.wait()).await {
            Ok(status) => status,
            Err(_) => self.kill().await,
        }
    }

    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.is_running() { Ok(kill_process(self.pid, signal)?) } else { Ok(()) }
    }
}

fn forward(member: Member, stream: impl AsyncRead + Unpin + Send + 'static, log: &LogSink) {
    let log = Arc::clone(log);
    let mut lines = FramedRead::new(stream, LinesCodec::new_with_max_length(LINE_BYTES_MAX));
    tokio::spawn(async move {
        while let Some(line) = lines.next().await {
            match line {
                Ok(line) => log(member, &line),
                Err(LinesCodecError::MaxLineLengthExceeded) => log(member, "(a line that is too long to show)"),
                Err(LinesCodecError::Io(_)) => break,
            }
        }
    });
}
