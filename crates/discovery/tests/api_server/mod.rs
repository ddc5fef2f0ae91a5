//! A Kubernetes API server for EndpointSlices only. It serves lists and watches like the real one,
//! and fails on command.
//!
//! It serves HTTP on a loopback port, and keeps the port while it is down.

// Each test that includes this module uses a different part of it.
#![allow(dead_code, unreachable_pub)]

mod slices;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use futures::stream;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

pub use slices::{Pod, slice};

/// The requests of clients so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    pub lists: usize,
    /// The version from which each watch continued.
    pub watches: Vec<u64>,
    /// How many requests were refused.
    pub refused: usize,
}

/// Commands to the open watches. Each number counts the commands of its kind so far.
#[derive(Clone, Copy, Debug, Default)]
struct Commands {
    bookmarks: usize,
    ends: usize,
    cuts: usize,
}

#[derive(Debug, Default)]
struct Store {
    version: u64,
    /// Changes up to this version have been forgotten.
    forgotten: u64,
    slices: BTreeMap<String, Value>,
    changes: Vec<(u64, Value)>,
    commands: Commands,
    refusal: Option<u16>,
    /// Whether only watches are refused and lists are served.
    lists_served: bool,
    /// Whether an expired version is reported by the status of the response, or by an event in a
    /// successful response. Real servers do both.
    gone_by_status: bool,
}

#[derive(Debug)]
struct Shared {
    store: Mutex<Store>,
    changed: watch::Sender<()>,
    lists_held: watch::Sender<bool>,
    requests: watch::Sender<Requests>,
}

/// The server. It stops when this is dropped.
pub struct ApiServer {
    shared: Arc<Shared>,
    /// Reserves the port without listening.
    port: Socket,
    running: Option<AbortHandle>,
}

impl ApiServer {
    pub fn start() -> Self {
        let shared = Shared {
            store: Mutex::default(),
            changed: watch::Sender::new(()),
            lists_held: watch::Sender::new(false),
            requests: watch::Sender::default(),
        };
        let port = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        port.set_reuse_address(true).expect("an option that every socket has");
        port.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        let mut server = Self { shared: Arc::new(shared), port, running: None };
        server.come_up();
        server
    }

    pub fn address(&self) -> SocketAddr {
        self.port.local_addr().ok().and_then(|address| address.as_socket()).expect("a bound port")
    }

    /// The kubeconfig with which a client finds the server.
    pub fn kubeconfig(&self) -> String {
        let (cluster, context) =
            (json!({ "server": format!("http://{}", self.address()) }), json!({ "cluster": "test", "user": "test" }));
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{ "name": "test", "cluster": cluster }],
            "contexts": [{ "name": "test", "context": context }],
            "users": [{ "name": "test", "user": {} }],
        })
        .to_string()
    }

    /// Stops the server. All connections break.
    pub fn go_down(&mut self) {
        self.running.take().expect("it runs").abort();
    }

    pub fn come_up(&mut self) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_address(true).expect("an option that every socket has");
        socket.set_nonblocking(true).expect("an option that every socket has");
        socket.bind(&self.address().into()).expect("the port is kept");
        socket.listen(64).expect("a bound socket");
        let listener = TcpListener::from_std(socket.into()).expect("a listener");
        self.running = Some(tokio::spawn(serve(listener, routes(Arc::clone(&self.shared)))).abort_handle());
    }

    /// Adds or changes a slice. Returns the new version.
    pub fn apply(&self, mut slice: Value) -> u64 {
        self.change(|store, version| {
            slice["metadata"]["resourceVersion"] = json!(version.to_string());
            let name = slice["metadata"]["name"].as_str().expect("a name").to_owned();
            let kind = if store.slices.insert(name, slice.clone()).is_some() { "MODIFIED" } else { "ADDED" };
            json!({ "type": kind, "object": slice })
        })
    }

    pub fn delete(&self, name: &str) -> u64 {
        self.change(|store, version| {
            let mut slice = store.slices.remove(name).expect("a slice of that name");
            slice["metadata"]["resourceVersion"] = json!(version.to_string());
            json!({ "type": "DELETED", "object": slice })
        })
    }

    /// Forgets all changes so far: a watch from an older version is told that the version has
    /// expired.
    pub fn forget(&self, by_status: bool) {
        // As always, something else in the cluster has changed meanwhile.
        self.update(|store| {
            store.version += 1;
            store.forgotten = store.version;
            store.changes.clear();
            store.gone_by_status = by_status;
        });
    }

    /// Changes something else, and sends the version to every watch.
    pub fn bookmark(&self) -> u64 {
        self.update(|store| {
            store.version += 1;
            store.commands.bookmarks += 1;
            store.version
        })
    }

    /// Ends all watches properly.
    pub fn end_watches(&self) {
        self.update(|store| store.commands.ends += 1);
    }

    /// Breaks all watches in the middle of a line.
    pub fn cut_watches(&self) {
        self.update(|store| store.commands.cuts += 1);
    }

    /// Refuses every request with this status from now on, and ends all watches.
    pub fn refuse(&self, status: Option<u16>) {
        self.update(|store| {
            store.refusal = status;
            store.commands.ends += 1;
        });
    }

    /// Refuses every watch with this status from now on, and ends all watches. Lists are served.
    pub fn refuse_watches(&self, status: Option<u16>) {
        self.update(|store| {
            (store.refusal, store.lists_served) = (status, true);
            store.commands.ends += 1;
        });
    }

    /// Simulates a restore from a backup: there are only the `restored` slices, and versions
    /// continue from `version`. Connections break, as they do when a server is replaced.
    pub fn restore(&self, version: u64, restored: impl IntoIterator<Item = Value>) {
        self.update(|store| {
            let slices = restored.into_iter().map(|mut slice| {
                slice["metadata"]["resourceVersion"] = json!(version.to_string());
                (slice["metadata"]["name"].as_str().expect("a name").to_owned(), slice)
            });
            (store.version, store.slices) = (version, slices.collect());
            store.changes.clear();
            store.commands.cuts += 1;
        });
    }

    /// Changes a slice without reporting it to any watch.
    pub fn change_silently(&self, slice: Value) {
        let name = slice["metadata"]["name"].as_str().expect("a name").to_owned();
        self.shared.store.lock().expect("no panic").slices.insert(name, slice);
    }

    /// Delays all lists until this is called with `false`.
    pub fn hold_lists(&self, hold: bool) {
        self.shared.lists_held.send_replace(hold);
    }

    pub fn requests(&self) -> watch::Receiver<Requests> {
        self.shared.requests.subscribe()
    }

    fn change(&self, make: impl FnOnce(&mut Store, u64) -> Value) -> u64 {
        self.update(|store| {
            store.version += 1;
            let version = store.version;
            let event = make(store, version);
            store.changes.push((version, event));
            version
        })
    }

    fn update<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let result = change(&mut self.shared.store.lock().expect("no panic"));
        self.shared.changed.send_replace(());
        result
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// Serves until the future is dropped, which closes every connection.
async fn serve(mut listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = Listener::accept(&mut listener).await;
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            // The client may close the connection at any time.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn routes(shared: Arc<Shared>) -> Router {
    let path = "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices";
    Router::new().route(path, get(answer)).fallback(unknown).with_state(shared)
}

async fn unknown(request: Request) -> Response {
    failure(404, &format!("there is no {} here", request.uri()))
}

type Parameters = BTreeMap<String, String>;

async fn answer(
    State(shared): State<Arc<Shared>>,
    Path(namespace): Path<String>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let is_watch = parameters.get("watch").map(String::as_str) == Some("true");
    let refusal = {
        let store = shared.store.lock().expect("no panic");
        store.refusal.filter(|_| is_watch || !store.lists_served)
    };
    if let Some(status) = refusal {
        shared.requests.send_modify(|requests| requests.refused += 1);
        return failure(status, "endpointslices.discovery.k8s.io is forbidden: User \"toys\" cannot list resource");
    }
    let selected = Selected { namespace, service: selector(&parameters) };
    if is_watch { watch_from(shared, selected, &parameters) } else { list(&shared, &selected).await }
}

fn selector(parameters: &Parameters) -> String {
    let selector = parameters.get("labelSelector").expect("a client selects a service");
    selector.strip_prefix("kubernetes.io/service-name=").expect("the selector is the label of services").to_owned()
}

/// The slices that a client selects.
struct Selected {
    namespace: String,
    service: String,
}

impl Selected {
    fn takes(&self, slice: &Value) -> bool {
        let metadata = &slice["metadata"];
        metadata["namespace"] == json!(self.namespace)
            && metadata["labels"]["kubernetes.io/service-name"] == json!(self.service)
    }
}

async fn list(shared: &Shared, selected: &Selected) -> Response {
    shared.requests.send_modify(|requests| requests.lists += 1);
    shared.lists_held.subscribe().wait_for(|held| !held).await.expect("the sender is shared");
    let store = shared.store.lock().expect("no panic");
    let items: Vec<_> = store.slices.values().filter(|slice| selected.takes(slice)).collect();
    let metadata = json!({ "resourceVersion": store.version.to_string() });
    let kind = json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList", "metadata": metadata, "items": items });
    ([(header::CONTENT_TYPE, "application/json")], kind.to_string()).into_response()
}

fn watch_from(shared: Arc<Shared>, selected: Selected, parameters: &Parameters) -> Response {
    let from = parameters.get("resourceVersion").and_then(|version| version.parse().ok()).expect("a version");
    assert_eq!(parameters.get("allowWatchBookmarks").map(String::as_str), Some("true"), "a client requests bookmarks");
    shared.requests.send_modify(|requests| requests.watches.push(from));
    let (commands, gone, by_status) = {
        let store = shared.store.lock().expect("no panic");
        (store.commands, from < store.forgotten, store.gone_by_status)
    };
    if gone && by_status {
        return failure(410, "too old resource version");
    }
    let changed = shared.changed.subscribe();
    let open = Open { shared, selected, from, commands, gone, changed, last: None };
    let lines = stream::unfold(open, |mut open| async { Some((open.next().await?, open)) });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response()
}

/// An open watch.
struct Open {
    shared: Arc<Shared>,
    selected: Selected,
    from: u64,
    commands: Commands,
    gone: bool,
    changed: watch::Receiver<()>,
    last: Option<End>,
}

/// How a watch ends after its last message.
#[derive(Clone, Copy)]
enum End {
    Clean,
    Broken,
}

enum Message {
    Lines(String),
    LastLine(String, End),
    Nothing(End),
}

impl Open {
    async fn next(&mut self) -> Option<io::Result<String>> {
        loop {
            match self.last {
                Some(End::Clean) => return None,
                // The connection breaks.
                Some(End::Broken) => return Some(Err(io::ErrorKind::ConnectionReset.into())),
                None => {}
            }
            self.changed.borrow_and_update();
            match self.message() {
                Some(Message::Lines(lines)) => return Some(Ok(lines)),
                Some(Message::LastLine(line, end)) => {
                    self.last = Some(end);
                    return Some(Ok(line));
                }
                Some(Message::Nothing(end)) => self.last = Some(end),
                None => self.changed.changed().await.expect("the sender is shared"),
            }
        }
    }

    fn message(&mut self) -> Option<Message> {
        if self.gone {
            let line = json!({ "type": "ERROR", "object": status(410, "too old resource version") });
            return Some(Message::LastLine(format!("{line}\n"), End::Clean));
        }
        let store = self.shared.store.lock().expect("no panic");
        if store.commands.cuts > self.commands.cuts {
            return Some(Message::LastLine("{\"type\":\"MODIFIED\",\"object\":{\"apiVer".to_owned(), End::Broken));
        }
        let changes = store.changes.iter().filter(|(version, _)| *version > self.from);
        let changes = changes.filter(|(_, change)| self.selected.takes(&change["object"]));
        let lines = changes.fold(String::new(), |lines, (_, change)| lines + &change.to_string() + "\n");
        self.from = store.version;
        if !lines.is_empty() {
            return Some(Message::Lines(lines));
        }
        if store.commands.bookmarks > self.commands.bookmarks {
            self.commands.bookmarks = store.commands.bookmarks;
            return Some(Message::Lines(format!("{}\n", bookmark(store.version))));
        }
        (store.commands.ends > self.commands.ends).then_some(Message::Nothing(End::Clean))
    }
}

fn bookmark(version: u64) -> Value {
    let metadata = json!({ "resourceVersion": version.to_string(), "creationTimestamp": null });
    let object = json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata });
    json!({ "type": "BOOKMARK", "object": object })
}

fn status(code: u16, message: &str) -> Value {
    let reason = StatusCode::from_u16(code).ok().and_then(|code| code.canonical_reason()).unwrap_or_default();
    json!({ "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code })
}

fn failure(code: u16, message: &str) -> Response {
    let code = StatusCode::from_u16(code).expect("a status");
    (code, [(header::CONTENT_TYPE, "application/json")], status(code.as_u16(), message).to_string()).into_response()
}
