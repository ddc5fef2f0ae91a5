//! The console of `toystore up`, as its page uses it.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::TIMEOUT;
use crate::up::RunningUp;

/// How often the history is read while something is awaited.
const READ_INTERVAL: Duration = Duration::from_millis(100);

struct Console {
    url: String,
    client: reqwest::Client,
}

impl Console {
    /// The frames so far.
    async fn frames(&self) -> Vec<Value> {
        let history = self.client.get(format!("{}/api/history", self.url)).send().await.unwrap();
        let history: Value = history.json().await.unwrap();
        history["frames"].as_array().unwrap().clone()
    }

    /// Waits until the frames show what is expected.
    async fn until<T>(&self, what: &str, shown: impl Fn(&[Value]) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(shown) = shown(&self.frames().await) {
                return shown;
            }
            assert!(begun.elapsed() < TIMEOUT, "the console never showed {what}");
            sleep(READ_INTERVAL).await;
        }
    }
}

/// The processes after all frames.
fn processes(frames: &[Value]) -> Vec<Value> {
    let mut processes = Vec::<Value>::new();
    for process in frames.iter().flat_map(|frame| frame["processes"].as_array().unwrap()) {
        match processes.iter_mut().find(|known| known["name"] == process["name"]) {
            Some(known) => *known = process.clone(),
            None => processes.push(process.clone()),
        }
    }
    processes
}

/// `kill -9` of one process of the store that runs in `directory`.
fn kill(directory: &Path, name: &str) {
    let running: Value = serde_json::from_slice(&std::fs::read(directory.join("data/up.json")).unwrap()).unwrap();
    let process = running["processes"].as_array().unwrap().iter().find(|process| process["name"] == name).unwrap();
    let pid = i32::try_from(process["pid"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

fn event<'a>(frames: &'a [Value], kind: &str) -> Option<&'a Value> {
    frames.iter().flat_map(|frame| frame["events"].as_array().unwrap()).find(|event| event["kind"] == kind)
}

fn flow(frames: &[Value], kind: &str) -> Option<String> {
    let mut flows = frames.iter().filter_map(|frame| frame["flows"].as_array()).flatten();
    let flow = flows.find(|flow| flow["kind"] == kind)?;
    Some(format!("{} to {}", flow["from"].as_str()?, flow["to"].as_str()?))
}

#[tokio::test]
async fn the_console_shows_the_processes_an_order_and_a_killed_leader() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = RunningUp::start(directory.path(), &[]);
    let first = store.next_line().await;
    let url = first.strip_prefix("console: ").expect("the first line that up prints").to_owned();
    let console = Console { url, client: reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap() };
    let rest = store.line_with("curl http://127.0.0.1:").await;
    let rest = rest.trim().strip_prefix("curl ").unwrap().split("/products").next().unwrap().to_owned();

    let names = console.until("five processes that work", |frames| {
        let processes = processes(frames);
        let is_up = processes.iter().all(|process| process["state"] == "up");
        is_up.then(|| processes.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>())
    });
    assert_eq!(names.await, ["catalog", "order-1", "order-2", "order-3", "frontend"]);
    let order = console.client.post(format!("{rest}/orders")).json(&json!({"name": "Tux", "quantity": 1}));
    assert_eq!(order.send().await.unwrap().status(), 200);
    assert_eq!(
        console.until("the reservation", |frames| flow(frames, "settle")).await.rsplit(' ').next(),
        Some("catalog")
    );
    assert_eq!(console.until("the order", |frames| flow(frames, "order")).await, "clients to frontend");
    let agreement = console.until("that the ledgers agree", |frames| {
        frames.iter().rev().find_map(|frame| frame.get("agreement").cloned())
    });
    assert_eq!(agreement.await, json!({"orders": 1, "identical": true}));

    let leader = console.until("a leader", |frames| {
        let leads = |it: &Value| it["service"] == "order" && it["replica"]["leads"] == true;
        processes(frames).into_iter().find(leads).map(|it| it["name"].as_str().unwrap().to_owned())
    });
    let killed = leader.await;
    kill(directory.path(), &killed);
    let gap = console.until("how long there was no leader", |frames| event(frames, "gap").cloned()).await;
    assert!(gap["text"].as_str().unwrap().contains(" ms without a leader"), "{gap}");
    assert_ne!(gap["process"], killed.as_str());
    console
        .until("the killed process", |frames| processes(frames).iter().all(|it| it["state"] == "up").then_some(()))
        .await;
}

#[tokio::test]
async fn a_browser_that_follows_the_stores_address_is_told_where_to_look() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = RunningUp::start(directory.path(), &["--console-port", "0"]);
    assert!(!store.next_line().await.starts_with("console:"), "it is switched off");
    let rest = store.line_with("curl http://127.0.0.1:").await;
    let rest = rest.trim().strip_prefix("curl ").unwrap().split("/products").next().unwrap().to_owned();
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build().unwrap();
    let get = async |accept: &str| client.get(format!("{rest}/")).header("accept", accept).send().await.unwrap();
    let page = get("text/html,*/*;q=0.8").await;
    assert_eq!(
        (page.status().as_u16(), &page.headers()["content-type"]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
    assert!(page.text().await.unwrap().contains("/openapi.json"));
    assert_eq!(get("*/*").await.status(), 404);
}
