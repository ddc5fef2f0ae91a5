//! What the page shows: a store of real processes, started by `toystore up`, and consoles for it.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The binary under test: `TOYSTORE_UNDER_TEST`, such as a release build for the soak, or that of
/// these tests.
fn binary() -> PathBuf {
    std::env::var_os("TOYSTORE_UNDER_TEST").map_or_else(|| env!("CARGO_BIN_EXE_toystore").into(), PathBuf::from)
}

/// The longest wait for anything that takes at most some seconds on an idle machine.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);

/// A running process, as `up` tells it to `toystore status`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) pid: i32,
    pub(crate) internal: String,
}

/// A `toystore up` on free ports. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Store {
    up: Child,
    _lines: Lines<BufReader<ChildStdout>>,
    /// The URL of its console.
    pub(crate) console: String,
    /// The URL of its REST API.
    pub(crate) rest: String,
    client: reqwest::Client,
    // Last, because fields are dropped in order: the processes first, then their files.
    directory: TempDir,
}

impl Store {
    /// Its cache has a long lease: a busy machine may lose a default one, and the page would show
    /// that instead.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[("LEASE_MS", "2000")]).await
    }

    /// The same with environment variables.
    pub(crate) async fn start_with(variables: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(binary());
        command.args(["up", "--ephemeral"]).envs(variables.iter().copied()).current_dir(&directory);
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut up = command.spawn().unwrap();
        let mut lines = BufReader::new(up.stdout.take().unwrap()).lines();
        let (mut console, mut rest) = (None, None);
        let open = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(url) = line.strip_prefix("console: ") {
                    console = Some(url.to_owned());
                } else if let Some((url, _)) =
                    line.trim().strip_prefix("curl ").and_then(|it| it.split_once("/products"))
                {
                    rest.get_or_insert_with(|| url.to_owned());
                } else if line.starts_with("Ctrl-C") {
                    return;
                }
            }
            panic!("up has exited");
        };
        tokio::time::timeout(TIMEOUT, open).await.expect("the store opens");
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap();
        Self { up, _lines: lines, console: console.unwrap(), rest: rest.unwrap(), client, directory }
    }

    /// Orders one piece of a product.
    pub(crate) async fn order(&self, product: &str) {
        let order = json!({ "name": product, "quantity": 1 });
        let response = self.client.post(format!("{}/orders", self.rest)).json(&order).send().await.unwrap();
        assert_eq!(response.status(), 200, "{}", response.text().await.unwrap());
    }

    /// Looks a product up, which puts it into the frontend's cache.
    pub(crate) async fn look_up(&self, product: &str) {
        let response = self.client.get(format!("{}/products/{product}", self.rest)).send().await.unwrap();
        assert_eq!(response.status(), 200);
    }

    /// The processes that run.
    pub(crate) fn processes(&self) -> Vec<Running> {
        let file = std::fs::read(self.directory.path().join("data/up.json")).unwrap();
        let mut file: Value = serde_json::from_slice(&file).unwrap();
        serde_json::from_value(file["processes"].take()).unwrap()
    }

    /// The internal address of a process.
    pub(crate) fn internal(&self, name: &str) -> String {
        self.processes().into_iter().find(|process| process.name == name).expect("it runs").internal
    }

    /// All events in the history of its console.
    pub(crate) async fn events(&self) -> Vec<Value> {
        let history = self.client.get(format!("{}/api/history", self.console)).send().await.unwrap();
        let history: Value = history.json().await.unwrap();
        let frames = history["frames"].as_array().unwrap();
        frames.iter().flat_map(|frame| frame["events"].as_array().unwrap().clone()).collect()
    }

    /// The process id of `up`, in which its console runs.
    pub(crate) fn pid(&self) -> i32 {
        self.up.id().expect("it runs").try_into().unwrap()
    }

    /// The file with the token of its internal ports.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.directory.path().join("data/internal-token")
    }
}

/// A free port, for a process that does not choose one by itself.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A `toystore console` that watches the store, on a port of its own.
#[derive(Debug)]
pub(crate) struct WatchingConsole {
    process: Child,
}

impl WatchingConsole {
    /// Starts it. `orders` are the internal addresses of the order replicas.
    pub(crate) fn start(store: &Store, port: u16, orders: &[String]) -> Self {
        let mut command = Command::new(binary());
        command.args(["console", "--console-port", &port.to_string(), "--store-url", &store.rest]);
        command.arg("--internal-token-file").arg(store.token_file());
        command.args(["--frontend-addresses", &store.internal("frontend")]);
        let (host, catalog_port) = split(&store.internal("catalog"));
        command.args(["--catalog-host", &host, "--catalog-port", &catalog_port]);
        command.args(["--order-replicas", &orders.len().to_string()]);
        for (address, n) in orders.iter().zip(1..) {
            let (host, port) = split(address);
            command.args([format!("--order-host-{n}"), host, format!("--order-port-{n}"), port]);
        }
        command.kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { process: command.spawn().unwrap() }
    }

    pub(crate) async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }
}

fn split(address: &str) -> (String, String) {
    let (host, port) = address.rsplit_once(':').unwrap();
    (host.to_owned(), port.to_owned())
}

/// Waits until something outside of the page is so.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < TIMEOUT, "it was never so: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
