//! A signal arrives while a process starts.
//!
//! The process blocks while it reads its settings, because its `INTERNAL_TOKEN_FILE` is a named
//! pipe. Opening the other end of the pipe succeeds once the process has reached that point. The
//! first process of a container (PID 1) has no default signal handlers: signals that arrive before
//! it has installed its own are lost. That test needs a PID namespace, and is skipped with a
//! message if the machine does not allow one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::harness::{BINARY, TIMEOUT, free_port};

/// Starts `command`, waits until it reads its settings, sends SIGTERM to it, and lets it continue.
async fn signaled(mut command: Command, directory: &Path, victim: impl FnOnce(&Child) -> Pid) -> (ExitStatus, String) {
    let pipe = directory.join("token");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    command.env("INTERNAL_TOKEN_FILE", &pipe).current_dir(directory).kill_on_drop(true);
    let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let opened = tokio::task::spawn_blocking(move || fs::OpenOptions::new().write(true).open(pipe));
    let mut pipe = tokio::time::timeout(TIMEOUT, opened).await.expect("it reads its settings").unwrap().unwrap();
    kill_process(victim(&child), Signal::TERM).unwrap();
    // Fails if the signal has already ended the process.
    let _ = writeln!(pipe, "a-long-secret");
    drop(pipe);
    let output = tokio::time::timeout(TIMEOUT, child.wait_with_output()).await.expect("it stops").unwrap();
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().unwrap().cast_signed()).unwrap()
}

const LONG_RUNNING: [&[&str]; 4] = [
    &["catalog", "--catalog-port=0"],
    &["order", "--component-id=1", "--order-port-1=0"],
    &["frontend", "--rest-api-port=0"],
    &["up", "--port-base=0"],
];

/// Each command has a mistake in its settings, which it reports unless the signal has killed it
/// before.
#[tokio::test]
async fn sigterm_during_startup_does_not_kill_a_process() {
    for arguments in LONG_RUNNING {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(BINARY);
        command.args(arguments);
        let (status, stderr) = signaled(command, directory.path(), pid).await;
        assert_eq!(status.code(), Some(64), "{arguments:?} was killed: {status} {stderr}");
    }
}

#[tokio::test]
async fn pid_1_of_a_container_handles_sigterm_during_startup() {
    let unshare = ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc"];
    let allowed = Command::new("unshare").args(unshare).arg("true").stderr(Stdio::null()).status().await;
    if !allowed.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine does not allow a PID namespace");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    // The configuration is valid, so the process would keep running if it had missed the signal.
    command.args(unshare).arg(BINARY).args(["frontend", "--bind-host=127.0.0.1"]);
    let [(public, _public), (internal, _internal)] = [free_port(), free_port()];
    command.args(["--rest-api-port", &public, "--front-port", &internal]);
    let (status, stderr) = signaled(command, directory.path(), only_child).await;
    assert_eq!(status.code(), Some(0), "it stops as requested: {stderr}");
}

/// The process that `unshare` has started, by its id outside the namespace.
fn only_child(unshare: &Child) -> Pid {
    let id = unshare.id().unwrap();
    let path: PathBuf = format!("/proc/{id}/task/{id}/children").into();
    let children = fs::read_to_string(path).unwrap();
    Pid::from_raw(children.trim().parse().expect("one child")).unwrap()
}
