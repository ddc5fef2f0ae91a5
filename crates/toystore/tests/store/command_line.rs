//! Configuration mistakes: one message reports all of them, and the exit code says that the
//! configuration is wrong.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use api::Ordinal;
use tokio::net::TcpListener;
use tokio::process::Command;
use toystore::local::StoreMember;

use crate::harness::{Audit, BINARY, TIMEOUT, TestStore, eventually, free_port};

/// How often the test is repeated if the duplicate is not refused; see [`duplicates_are_refused`].
const ATTEMPTS_MAX: u32 = 3;
/// A refused duplicate exits within a second on an idle machine.
const DUPLICATE_TIMEOUT: Duration = Duration::from_secs(30);

async fn toystore(arguments: &[&str], variables: &[(&str, &str)]) -> (Output, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.args(arguments).envs(variables.iter().copied()).current_dir(directory.path());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(TIMEOUT, command.output()).await.expect("it ends by itself").unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, stderr)
}

#[tokio::test]
async fn all_mistakes_are_reported_at_once() {
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
async fn peers_must_be_configured_and_differ() {
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
async fn a_pod_with_missing_settings_reports_all_of_them() {
    let (output, stderr) = toystore(&["order"], &[("DISCOVERY", "kubernetes"), ("ORDER2_PORT", "1121")]).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    for name in ["POD_NAMESPACE", "POD_NAME", "ORDER_SERVICE", "CATALOG_SERVICE"] {
        assert!(stderr.contains(&format!("{name} (")), "{name} is not named in {stderr}");
    }
    let [(public, _public), (internal, _internal)] = [free_port(), free_port()];
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
    std::fs::write(&file, "name,price,quantity,color\nTux,1.00,100,black\n").unwrap();
    let (output, stderr) = toystore(&["catalog", "--catalog-file", file.to_str().unwrap()], &[]).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(stderr.contains("color"), "{stderr}");
}

#[tokio::test]
async fn a_port_in_use_exits_with_1() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let variables = [("BIND_HOST", "127.0.0.1")];
    let (output, stderr) = toystore(&["catalog", "--catalog-port", &port], &variables).await;
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&port), "{stderr}");
}

/// A second process with the same `COMPONENT_ID`, with its own ports and files, while the first one
/// runs. Whatever the first one's role is, the duplicate must neither replace it nor run beside it.
#[tokio::test]
async fn a_component_id_that_is_used_twice_is_a_usage_error() {
    for _ in 0..ATTEMPTS_MAX {
        if duplicates_are_refused().await {
            return;
        }
    }
    panic!("in each of {ATTEMPTS_MAX} stores a duplicate ran beside the first process");
}

/// `false` if a duplicate keeps running: on a machine that stalls, a first process that does not
/// answer for a second and a half counts as dead.
async fn duplicates_are_refused() -> bool {
    let mut store = TestStore::start().await;
    let layout = store.store.layout().clone();
    for ordinal in layout.ordinals() {
        let other = layout.data().join("other");
        let mut command = layout.command(Path::new(BINARY), StoreMember::Order(ordinal));
        let [(port, _port), (port2, _port2)] = [free_port(), free_port()];
        command.env(format!("ORDER_PORT_{ordinal}"), port).env(format!("ORDER2_PORT_{ordinal}"), port2);
        command.env("ORDER_DATA_DIR", other.join("order")).env("ORDER_LOG_FILE", other.join("log.csv"));
        let Some(output) = ended(command).await else { return false };
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{stderr}");
        assert!(stderr.contains(&format!("COMPONENT_ID {ordinal} used twice")), "{stderr}");
        std::fs::remove_dir_all(&other).unwrap();
    }
    store.rest().buy("Tux", 1).await;
    Audit::check(&mut store, &[]).await;

    // With the same files.
    let mut command = layout.command(Path::new(BINARY), StoreMember::Order(Ordinal(1)));
    let [(port, _port), (port2, _port2)] = [free_port(), free_port()];
    command.env("ORDER_PORT_1", port).env("ORDER2_PORT_1", port2);
    let output = ended(command).await.expect("it ends by itself");
    assert_eq!(output.status.code(), Some(64), "{}", String::from_utf8_lossy(&output.stderr));
    true
}

/// Waits for the exit of a member; `None` if it keeps running. Its standard input stays open,
/// because a member stops with its parent.
async fn ended(mut command: Command) -> Option<Output> {
    let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let _lifeline = child.stdin.take();
    tokio::time::timeout(DUPLICATE_TIMEOUT, child.wait_with_output()).await.ok().map(Result::unwrap)
}

#[tokio::test]
async fn health_sets_the_exit_code() {
    let mut store = TestStore::start().await;
    let layout = store.store.layout().clone();
    for member in layout.members() {
        let url = layout.internal(member).url("/readyz");
        // A process that was not scheduled for a second is not ready for a moment, or answers too
        // late.
        eventually(&format!("{member} is ready"), || async {
            toystore(&["health", "--url", &url], &[]).await.0.status.code() == Some(0)
        })
        .await;
    }
    let missing = layout.public(1).url("/products/Unicorn");
    eventually("it says that there is no such product", || async {
        let (output, stderr) = toystore(&["health", "--url", &missing, "--timeout-ms", "20000"], &[]).await;
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        stderr.contains("no_such_product")
    })
    .await;

    // First no process listens on the port, then one that never answers.
    let process = store.store.process(StoreMember::Catalog);
    process.terminate().unwrap();
    tokio::time::timeout(TIMEOUT, process.wait()).await.expect("it ends").unwrap();
    let url = layout.internal(StoreMember::Catalog).url("/readyz");
    let (output, stderr) = toystore(&["health", "--url", &url, "--timeout-ms", "20000"], &[]).await;
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("refuses connections"), "{stderr}");
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
    let (output, stderr) = toystore(&["frontend", "--color", "blue"], &[]).await;
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
        // Help is wrapped to the width of the terminal.
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

/// Output that could not be written to a full disk is reported by the exit code. A closed pipe is
/// not a failure.
#[tokio::test]
async fn output_that_cannot_be_written_is_an_io_error() {
    let directory = tempfile::tempdir().unwrap();
    let with_stdout = |stdout: Stdio| {
        let mut command = Command::new(BINARY);
        command.args(["init-catalog", "--overwrite"]).current_dir(directory.path()).stdout(stdout);
        command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    };
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = ended(with_stdout(full.into())).await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(74), "{stderr}");
    assert!(stderr.contains("standard output"), "{stderr}");

    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(ended(with_stdout(writer.into())).await.unwrap().status.code(), Some(0));
}
