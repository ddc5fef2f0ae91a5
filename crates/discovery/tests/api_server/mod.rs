//! A Kubernetes API server that knows EndpointSlices only: it lists and watches them as the real one does, and misbehaves on request.
//!
//! It speaks HTTP over a loopback port of its own, and keeps that port while it is down.

// Each test that has this module uses its own part of it.
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

/// What clients have asked so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub lists: usize,
    /// The version that each watch went on from.
    pub watches: Vec<u64>,
    /// How many requests were refused.
    pub refused: usize,
}

/// What each open watch does next; each number counts the orders to do so.
#[derive(Clone, Copy, Debug, Default)]
struct Orders {
    bookmarks: usize,
    ends: usize,
    cuts: usize,
}

#[derive(Debug, Default)]
struct Store {
    version: u64,
    /// Changes up to this version are forgotten.
    forgotten: u64,
    slices: BTreeMap<String, Value>,
    changes: Vec<(u64, Value)>,
    orders: Orders,
    refusal: Option<u16>,
    /// Whether an expired version is told by the answer's status, or by an event in a good answer. Real servers do both.
    gone_by_status: bool,
}

#[derive(Debug)]
struct Shared {
    store: Mutex<Store>,
    changed: watch::Sender<()>,
    lists_held: watch::Sender<bool>,
    asked: watch::Sender<Asked>,
}

/// The server. It ends when this is dropped.
pub struct ApiServer {
    shared: Arc<Shared>,
    /// Keeps the port; it does not listen.
    port: Socket,
    running: Option<AbortHandle>,
}

impl ApiServer {
    pub fn start() -> Self {
        let shared = Shared {
            store: Mutex::default(),
            changed: watch::Sender::new(()),
            lists_held: watch::Sender::new(false),
            asked: watch::Sender::default(),
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

    /// What a client needs to find it.
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

    /// Nobody answers, and all connections break.
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

    /// Adds or changes a slice; gives the version.
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

    /// Forgets all changes so far: who goes on from an older version hears that it is gone.
    pub fn forget(&self, by_status: bool) {
        // Something else in the cluster has changed meanwhile, as always.
        self.tell(|store| {
            store.version += 1;
            store.forgotten = store.version;
            store.changes.clear();
            store.gone_by_status = by_status;
        });
    }

    /// Something else changes, and every watch is told of the version.
    pub fn bookmark(&self) -> u64 {
        self.tell(|store| {
            store.version += 1;
            store.orders.bookmarks += 1;
            store.version
        })
    }

    /// Ends all watches in good order.
    pub fn end_watches(&self) {
        self.tell(|store| store.orders.ends += 1);
    }

    /// Breaks all watches in the middle of a line.
    pub fn cut_watches(&self) {
        self.tell(|store| store.orders.cuts += 1);
    }

    /// From now on every request is refused with that status, and watches end.
    pub fn refuse(&self, status: Option<u16>) {
        self.tell(|store| {
            store.refusal = status;
            store.orders.ends += 1;
        });
    }

    /// Lists wait until they are let go.
    pub fn hold_lists(&self, hold: bool) {
        self.shared.lists_held.send_replace(hold);
    }

    pub fn asked(&self) -> watch::Receiver<Asked> {
        self.shared.asked.subscribe()
    }

    fn change(&self, make: impl FnOnce(&mut Store, u64) -> Value) -> u64 {
        self.tell(|store| {
            store.version += 1;
            let version = store.version;
            let event = make(store, version);
            store.changes.push((version, event));
            version
        })
    }

    fn tell<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let told = change(&mut self.shared.store.lock().expect("no panic"));
        self.shared.changed.send_replace(());
        told
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// Every connection ends with this future.
async fn serve(mut listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = Listener::accept(&mut listener).await;
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(async move {
            // A client that goes is its own affair.
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
    let refusal = shared.store.lock().expect("no panic").refusal;
    if let Some(status) = refusal {
        shared.asked.send_modify(|asked| asked.refused += 1);
        return failure(status, "endpointslices.discovery.k8s.io is forbidden: User \"toys\" cannot list resource");
    }
    let selected = Selected { namespace, service: selector(&parameters) };
    if parameters.get("watch").map(String::as_str) == Some("true") {
        watch_from(shared, selected, &parameters)
    } else {
        list(&shared, &selected).await
    }
}

fn selector(parameters: &Parameters) -> String {
    let selector = parameters.get("labelSelector").expect("the client selects a service");
    selector.strip_prefix("kubernetes.io/service-name=").expect("the label of services").to_owned()
}

/// What a client wants to see.
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
    shared.asked.send_modify(|asked| asked.lists += 1);
    shared.lists_held.subscribe().wait_for(|held| !held).await.expect("the sender is shared");
    let store = shared.store.lock().expect("no panic");
    let items: Vec<_> = store.slices.values().filter(|slice| selected.takes(slice)).collect();
    let metadata = json!({ "resourceVersion": store.version.to_string() });
    let kind = json!({ "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList", "metadata": metadata, "items": items });
    ([(header::CONTENT_TYPE, "application/json")], kind.to_string()).into_response()
}

fn watch_from(shared: Arc<Shared>, selected: Selected, parameters: &Parameters) -> Response {
    let from = parameters.get("resourceVersion").and_then(|version| version.parse().ok()).expect("a version");
    assert_eq!(parameters.get("allowWatchBookmarks").map(String::as_str), Some("true"), "the client wants bookmarks");
    shared.asked.send_modify(|asked| asked.watches.push(from));
    let (orders, gone, by_status) = {
        let store = shared.store.lock().expect("no panic");
        (store.orders, from < store.forgotten, store.gone_by_status)
    };
    if gone && by_status {
        return failure(410, "too old resource version");
    }
    let changed = shared.changed.subscribe();
    let open = Open { shared, selected, from, orders, gone, changed, last: None };
    let lines = stream::unfold(open, |mut open| async { Some((open.next().await?, open)) });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response()
}

/// A watch that is open.
struct Open {
    shared: Arc<Shared>,
    selected: Selected,
    from: u64,
    orders: Orders,
    gone: bool,
    changed: watch::Receiver<()>,
    last: Option<End>,
}

/// How a watch ends, after what was said last.
#[derive(Clone, Copy)]
enum End {
    InOrder,
    Broken,
}

enum Said {
    Lines(String),
    LastLine(String, End),
    Nothing(End),
}

impl Open {
    async fn next(&mut self) -> Option<io::Result<String>> {
        loop {
            match self.last {
                Some(End::InOrder) => return None,
                // The connection breaks.
                Some(End::Broken) => return Some(Err(io::ErrorKind::ConnectionReset.into())),
                None => {}
            }
            self.changed.borrow_and_update();
            match self.say() {
                Some(Said::Lines(lines)) => return Some(Ok(lines)),
                Some(Said::LastLine(line, end)) => {
                    self.last = Some(end);
                    return Some(Ok(line));
                }
                Some(Said::Nothing(end)) => self.last = Some(end),
                None => self.changed.changed().await.expect("the sender is shared"),
            }
        }
    }

    fn say(&mut self) -> Option<Said> {
        if self.gone {
            let line = json!({ "type": "ERROR", "object": status(410, "too old resource version") });
            return Some(Said::LastLine(format!("{line}\n"), End::InOrder));
        }
        let store = self.shared.store.lock().expect("no panic");
        if store.orders.cuts > self.orders.cuts {
            return Some(Said::LastLine("{\"type\":\"MODIFIED\",\"object\":{\"apiVer".to_owned(), End::Broken));
        }
        let news = store.changes.iter().filter(|(version, _)| *version > self.from);
        let news = news.filter(|(_, change)| self.selected.takes(&change["object"]));
        let lines = news.fold(String::new(), |lines, (_, change)| lines + &change.to_string() + "\n");
        self.from = store.version;
        if !lines.is_empty() {
            return Some(Said::Lines(lines));
        }
        if store.orders.bookmarks > self.orders.bookmarks {
            self.orders.bookmarks = store.orders.bookmarks;
            return Some(Said::Lines(format!("{}\n", bookmark(store.version))));
        }
        (store.orders.ends > self.orders.ends).then_some(Said::Nothing(End::InOrder))
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
