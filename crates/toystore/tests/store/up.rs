//! `toystore up` as people use it: with shoppers, with a leader that they kill, and with Ctrl-C.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::harness::{BINARY, TIMEOUT};

fn up(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.current_dir(directory).kill_on_drop(true).stdin(Stdio::null());
    command.args(["up", "--ephemeral"]).args(arguments);
    command
}

#[tokio::test]
async fn up_shop_once_runs_a_store_and_shoppers_and_stops() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = up(directory.path(), &["--shop", "--once", "--n-repeats", "20", "--p", "0.8"]);
    let output = tokio::time::timeout(4 * TIMEOUT, command.output()).await.expect("it ends").unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    for expected in ["The store is open", "leader", "curl http://127.0.0.1:", "p99", "all orders match", "stopped"] {
        assert!(stdout.contains(expected), "{expected:?} is missing in\n{stdout}");
    }
    let ledger = |n| std::fs::read(directory.path().join(format!("data/log{n}.csv"))).unwrap();
    // The store stops when the shoppers have their answers; the last entry may not have reached
    // every follower by then.
    let longest = (1..=3).map(ledger).max_by_key(Vec::len).unwrap();
    assert!(longest.len() > 100 && (1..=3).all(|n| longest.starts_with(&ledger(n))), "ledgers differ");
    assert!(directory.path().join("data/client_orders.csv").exists());
}

#[tokio::test]
async fn shoppers_go_on_after_the_run_of_shop_so_that_the_console_has_something_to_show() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = RunningUp::start(directory.path(), &["--shop", "--n-repeats", "3", "--n-threads", "2", "--p", "1"]);
    store.line_with("console: http://localhost:").await;
    store.line_with("all orders match").await;
    store.line_with("2 shoppers go on").await;
    let ledger = directory.path().join("data/log1.csv");
    let orders = || std::fs::read_to_string(&ledger).map_or(0, |text| text.lines().count());
    let before = orders();
    crate::harness::eventually("they order", || async { orders() > before }).await;
}

/// A running `toystore up` and the lines that it prints.
pub(crate) struct RunningUp {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl RunningUp {
    pub(crate) fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut child = up(directory, arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line that contains `what`.
    pub(crate) async fn line_with(&mut self, what: &str) -> String {
        let found = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(what) {
                    return line;
                }
            }
            panic!("it exited before it printed {what:?}");
        };
        tokio::time::timeout(TIMEOUT, found).await.unwrap_or_else(|_| panic!("it never printed {what:?}"))
    }

    /// The next line.
    pub(crate) async fn next_line(&mut self) -> String {
        self.line_with("").await
    }

    fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child.id().expect("it runs").to_string()), signal).unwrap();
    }
}

fn pid(text: &str) -> Pid {
    Pid::from_raw(text.parse().unwrap_or_else(|_| panic!("{text:?} is not a pid"))).unwrap()
}

/// The second word of a line of the table.
fn pid_in(line: &str) -> Pid {
    pid(line.split_whitespace().nth(1).unwrap())
}

#[tokio::test]
async fn a_killed_leader_is_restarted_and_ctrl_c_stops_all_processes() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = RunningUp::start(directory.path(), &[]);
    let catalog = pid_in(&store.line_with("catalog     ").await);
    let leader = pid_in(&store.line_with(" leader of").await);
    store.line_with("Ctrl-C").await;
    kill_process(leader, Signal::KILL).unwrap();
    let line = store.line_with("restarted as pid").await;
    let successor = pid(line.split_whitespace().last().unwrap());
    assert_ne!(successor, leader);

    store.signal(Signal::INT);
    store.line_with("stopped").await;
    assert!(store.child.wait().await.unwrap().success());
    for gone in [catalog, successor] {
        assert!(test_kill_process(gone).is_err(), "{gone:?} is left behind");
    }
}

#[tokio::test]
async fn a_killed_supervisor_leaves_no_process_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = RunningUp::start(directory.path(), &["--no-restart"]);
    let catalog = pid_in(&store.line_with("catalog     ").await);
    let leader = pid_in(&store.line_with(" leader of").await);
    store.child.kill().await.unwrap();
    for child in [catalog, leader] {
        crate::harness::eventually("the children are gone", || async { test_kill_process(child).is_err() }).await;
    }
}
