//! Configuration mistakes: one message with all of them, and an exit code that says whose fault it is.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use api::Ordinal;
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::Command;
use toystore::local::Member;

use crate::harness::{Audit, BINARY, PATIENCE, TestStore, eventually};

/// A twin that is not refused is given another chance this often; see [`twins_are_refused`].
const TWINS_MAX: u32 = 3;
/// A refused twin ends within a second on an idle machine.
const TWIN_PATIENCE: Duration = Duration::from_secs(10);

async fn toystore(arguments: &[&str], variables: &[(&str, &str)]) -> (Output, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.args(arguments).envs(variables.iter().copied()).current_dir(directory.path());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends by itself").unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, stderr)
}

#[tokio::test]
async fn all_mistakes_are_named_at_once() {
    let variables = [
        ("COMPONENT_ID", "9"),
        ("ORDER_PORT_1", "seventy"),
        ("CATALOG_PORT", "0"),
        ("LOG_FORMAT", "loud"),
        ("ORDER_REPLICAS", "4"),
    ];
    let (output, stderr) = toystore(&["order"], &variables).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    for name in ["COMPONENT_ID", "ORDER_PORT_1", "CATALOG_PORT", "LOG_FORMAT", "ORDER_REPLICAS"] {
        assert!(stderr.contains(name), "{name} is not named in {stderr}");
    }
}

#[tokio::test]
async fn peers_must_be_there_and_differ() {
    let (output, stderr) = toystore(&["order"], &[("COMPONENT_ID", "1"), ("ORDER_REPLICAS", "5")]).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(stderr.contains("ORDER_HOST_4") || stderr.contains("ORDER_PORT_4"), "{stderr}");
    let (output, stderr) = toystore(&["order"], &[("COMPONENT_ID", "1"), ("ORDER_PORT_2", "1121")]).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(stderr.contains("1121"), "{stderr}");
    let (output, stderr) = toystore(&["order"], &[]).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(stderr.contains("COMPONENT_ID"), "{stderr}");
}

#[tokio::test]
async fn a_pod_that_is_told_too_little_says_all_that_is_missing() {
    let (output, stderr) = toystore(&["order"], &[("DISCOVERY", "kubernetes"), ("ORDER2_PORT", "1121")]).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    for name in ["POD_NAMESPACE", "POD_NAME", "ORDER_SERVICE", "CATALOG_SERVICE"] {
        assert!(stderr.contains(&format!("{name} (")), "{name} is not named in {stderr}");
    }
    let [(public, _public), (internal, _internal)] = [free(), free()];
    let variables = [
        ("DISCOVERY", "kubernetes"),
        ("POD_NAMESPACE", "toys"),
        ("ORDER_SERVICE", "orders"),
        ("CATALOG_SERVICE", "catalogs"),
        ("BIND_HOST", "127.0.0.1"),
        ("REST_API_PORT", &public),
        ("FRONT_PORT", &internal),
    ];
    let (output, stderr) = toystore(&["frontend"], &variables).await;
    assert_eq!(output.status.code(), Some(64), "no pod, and no KUBECONFIG: {stderr}");
    assert!(stderr.contains("service account"), "{stderr}");
}

#[tokio::test]
async fn a_bad_catalog_file_is_refused_with_every_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("catalog.csv");
    std::fs::write(&file, "name,price,quantity\nTux,-1,100\nFox,9.99,many\nTux,1.00,5\n").unwrap();
    let (output, stderr) = toystore(&["catalog", "--catalog-file", file.to_str().unwrap()], &[]).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    for line in ["line 2", "line 3", "line 4"] {
        assert!(stderr.contains(line), "{line} is not named in {stderr}");
    }
    std::fs::write(&file, "name,price,quantity,colour\nTux,1.00,100,black\n").unwrap();
    let (output, stderr) = toystore(&["catalog", "--catalog-file", file.to_str().unwrap()], &[]).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(stderr.contains("colour"), "{stderr}");
}

#[tokio::test]
async fn a_port_in_use_is_failure_1() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let variables = [("BIND_HOST", "127.0.0.1")];
    let (output, stderr) = toystore(&["catalog", "--catalog-port", &port], &variables).await;
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&port), "{stderr}");
}

/// A second replica 2, with ports and files of its own, while the first one is alive: whoever leads, it must neither push the first one
/// out nor run beside it.
#[tokio::test]
async fn a_component_id_that_is_used_twice_is_a_usage_error() {
    for _ in 0..TWINS_MAX {
        if twins_are_refused().await {
            return;
        }
    }
    panic!("in each of {TWINS_MAX} stores a twin ran beside the first one");
}

/// `false` if one runs on: a first one that does not answer for a second and a half, on a machine that stands still, counts as dead.
async fn twins_are_refused() -> bool {
    let mut store = TestStore::start().await;
    let layout = store.store.layout().clone();
    for seat in layout.ordinals() {
        let other = layout.data().join("other");
        let mut command = layout.command(Path::new(BINARY), Member::Order(seat));
        let [(port, _port), (port2, _port2)] = [free(), free()];
        command.env(format!("ORDER_PORT_{seat}"), port).env(format!("ORDER2_PORT_{seat}"), port2);
        command.env("ORDER_DATA_DIR", other.join("order")).env("ORDER_LOG_FILE", other.join("log.csv"));
        let Some(output) = ended(command).await else { return false };
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{stderr}");
        assert!(stderr.contains(&format!("COMPONENT_ID {seat} used twice")), "{stderr}");
        std::fs::remove_dir_all(&other).unwrap();
    }
    store.rest().buy("Tux", 1).await;
    Audit::check(&mut store, &[]).await;

    // The same files.
    let mut command = layout.command(Path::new(BINARY), Member::Order(Ordinal(1)));
    let [(port, _port), (port2, _port2)] = [free(), free()];
    command.env("ORDER_PORT_1", port).env("ORDER2_PORT_1", port2);
    let output = ended(command).await.expect("it ends by itself");
    assert_eq!(output.status.code(), Some(64), "{}", String::from_utf8_lossy(&output.stderr));
    true
}

/// Waits for a member's end; `None` if it runs on. Its standard input stays open meanwhile: a member stops with its parent.
async fn ended(mut command: Command) -> Option<Output> {
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let _lifeline = child.stdin.take();
    tokio::time::timeout(TWIN_PATIENCE, child.wait_with_output()).await.ok().map(Result::unwrap)
}

/// A port that nobody listens on, and what keeps others off it: a server binds it all the same, as after a restart.
fn free() -> (String, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap().port().to_string(), socket)
}

#[tokio::test]
async fn health_is_told_by_the_exit_code() {
    let mut store = TestStore::start().await;
    let layout = store.store.layout().clone();
    for member in layout.members() {
        let url = layout.internal(member).url("/readyz");
        // Who was not scheduled for a second is not ready for a moment, or answers too late.
        eventually(&format!("{member} is ready"), || async {
            toystore(&["health", "--url", &url], &[]).await.0.status.code() == Some(0)
        })
        .await;
    }
    let (output, stderr) = toystore(&["health", "--url", &layout.public(1).url("/products/Unicorn")], &[]).await;
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("no_such_product"), "{stderr}");

    // Nobody listens; somebody listens and never answers.
    let process = store.store.process(Member::Catalog);
    process.terminate().unwrap();
    tokio::time::timeout(PATIENCE, process.wait()).await.expect("it ends").unwrap();
    let url = layout.internal(Member::Catalog).url("/readyz");
    let (output, stderr) = toystore(&["health", "--url", &url], &[]).await;
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot be reached"), "{stderr}");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/readyz", silent.local_addr().unwrap());
    let (output, stderr) = toystore(&["health", "--url", &url, "--timeout-ms", "100"], &[]).await;
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("in time"), "{stderr}");

    let (output, stderr) = toystore(&["health", "--url", "readyz", "--timeout-ms", "0"], &[]).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(stderr.contains("HEALTH_URL") && stderr.contains("HEALTH_TIMEOUT_MS"), "{stderr}");
}

#[tokio::test]
async fn an_unknown_flag_is_a_usage_error() {
    let (output, stderr) = toystore(&["frontend", "--colour", "blue"], &[]).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
}

#[tokio::test]
async fn every_variable_is_a_flag_with_its_default() {
    for (subcommand, variables) in [
        ("frontend", &["REST_API_PORT", "FRONT_PORT", "CACHE_SIZE", "ORDER_HOST_3", "CATALOG_HOST"][..]),
        ("catalog", &["CATALOG_PORT", "CATALOG_FILE", "RESTOCK_LEVEL"]),
        ("order", &["COMPONENT_ID", "ORDER_LOG_FILE", "ORDER_HOST_1", "ORDER_PORT_2", "ORDER2_PORT_3"]),
    ] {
        let (output, _) = toystore(&[subcommand, "--help"], &[]).await;
        // Help is wrapped to the terminal's width.
        let help = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
        for variable in variables {
            let flag = format!("--{}", variable.to_lowercase().replace('_', "-"));
            assert!(help.contains(&format!("[env: {variable}]")) && help.contains(&flag), "{variable} in {help}");
        }
    }
}

#[tokio::test]
async fn a_catalog_is_written_and_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("toys.csv");
    let arguments = ["init-catalog", "--catalog-file", file.to_str().unwrap()];
    assert!(toystore(&arguments, &[]).await.0.status.success());
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("name,price,quantity\n") && text.lines().count() > 10, "{text}");
    assert!(text.lines().skip(1).all(|line| line.ends_with(",100")), "{text}");
    assert!(!toystore(&arguments, &[]).await.0.status.success());
}
