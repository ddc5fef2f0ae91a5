//! Access control: protected mode, tokens, and settings that cannot be read.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::process::Stdio;

use tokio::process::Command;
use toystore::local::StoreMember;

use crate::harness::{BINARY, Rest, TIMEOUT, TestStore};

/// Runs a subcommand that is expected to exit by itself; returns its exit code and its standard
/// error.
async fn ended(arguments: &[&str], variables: &[(&str, &OsStr)]) -> (Option<i32>, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.args(arguments).envs(variables.iter().copied()).current_dir(directory.path());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(TIMEOUT, command.output()).await.expect("it ends by itself").unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const SERVICES: [&[&str]; 3] = [&["catalog"], &["order", "--component-id=1"], &["frontend"]];

#[tokio::test]
async fn without_a_token_nothing_listens_beyond_this_machine() {
    for service in SERVICES {
        for host in ["0.0.0.0", "::", "192.0.2.1"] {
            let (code, stderr) = ended(service, &[("BIND_HOST", OsStr::new(host))]).await;
            assert_eq!(code, Some(64), "{service:?} {host}: {stderr}");
            assert!(stderr.contains("BIND_HOST") && stderr.contains("INTERNAL_TOKEN"), "{stderr}");
        }
    }
}

#[tokio::test]
async fn an_invalid_token_is_an_error_and_is_not_shown() {
    let garbled = OsString::from_vec(b"\xff-hunter2-hunter2".to_vec());
    for subcommand in [&["scale", "--to=3"], SERVICES[0], SERVICES[1], SERVICES[2], &["up"], &["export-catalog"]] {
        for secret in [OsStr::new(""), OsStr::new("hunter2"), OsStr::new("hunter2 hunter2"), &garbled] {
            let (code, stderr) = ended(subcommand, &[("INTERNAL_TOKEN", secret)]).await;
            assert_eq!(code, Some(64), "{subcommand:?} {secret:?}: {stderr}");
            assert!(stderr.contains("INTERNAL_TOKEN (--internal-token)") && !stderr.contains("hunter2"), "{stderr}");
        }
    }
    let (code, stderr) = ended(&["order", "--component-id=1", "--internal-token=hunter2", "--no-such-flag"], &[]).await;
    assert!(code == Some(64) && !stderr.contains("hunter2"), "{stderr}");
}

#[tokio::test]
async fn settings_that_are_not_utf8_are_reported_by_name() {
    let garbled = OsString::from_vec(b"data/\xff".to_vec());
    let cases: [(&[&str], &[&str]); 6] = [
        (&["catalog"], &["CATALOG_DATA_DIR", "CATALOG_FILE", "OTEL_EXPORTER_OTLP_ENDPOINT", "LEASE_MS"]),
        (&["order", "--component-id=1"], &["ORDER_DATA_DIR", "ORDER_LOG_FILE", "INTERNAL_TOKEN_FILE", "ORDER_PORT_4"]),
        (&["frontend"], &["DISCOVERY", "KUBECONFIG", "POD_NAMESPACE", "FRONT_PORT_ADVERTISED"]),
        (&["up"], &["DATA_DIR", "PORT_BASE", "SHOP", "SEED"]),
        (&["drill"], &["DATA_DIR", "JSON", "ROUNDS"]),
        (&["simulate"], &["SEED", "MINUTES"]),
    ];
    for (subcommand, names) in cases {
        let variables: Vec<_> = names.iter().map(|name| (*name, garbled.as_os_str())).collect();
        let (code, stderr) = ended(subcommand, &variables).await;
        assert_eq!(code, Some(64), "{subcommand:?}: {stderr}");
        for name in names {
            assert!(stderr.contains(&format!("{name} (--")), "{subcommand:?}: {name} is not named in {stderr}");
        }
    }
}

#[tokio::test]
async fn the_members_of_a_store_require_their_shared_token() {
    let token = service::Token::random();
    let store = TestStore::start_with(|layout| layout.with_token(token.clone())).await;
    let layout = store.store.layout();
    let paths = [
        (StoreMember::Catalog, "/accounts"),
        (StoreMember::Order(api::Ordinal(1)), "/status"),
        (StoreMember::Frontend(1), "/cache"),
    ];
    for (member, path) in paths {
        let rest = Rest::new(&layout.internal(member));
        let ask = async |token: Option<&str>| {
            let request = rest.request(reqwest::Method::GET, path);
            let request = token.into_iter().fold(request, |it, token| it.header(api::INTERNAL_TOKEN_HEADER, token));
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!(ask(None).await, 401, "{member}");
        assert_eq!(ask(Some("not-the-secret")).await, 401, "{member}");
        assert_ne!(ask(Some(token.secret())).await, 401, "{member}");
    }
}
