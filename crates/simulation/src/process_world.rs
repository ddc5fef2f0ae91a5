//! The environment as one process sees it: the implementation of [`World`].

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use api::Address;
use api::event::Event;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use service::lifecycle::{DRAIN_TIMEOUT, ExitCode};
use service::world::{self, ConnectionError, World, disk};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::disk::{Mount, ProcessLife, SimulatedDisk};
use crate::environment::SimulatedEnvironment;
use crate::network::{CallId, CallResult, MachineId};
use crate::random::Random;
use crate::trace::Millis;
use crate::trace::TraceEvent;

/// How a process has ended itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessExit {
    pub(crate) code: u8,
    pub(crate) what: String,
}

/// A port that a process listens on.
#[derive(Debug, Default)]
struct ListeningPort {
    router: Option<Router>,
    /// Requests that the kernel has accepted, but not yet the process.
    waiting: Vec<(CallId, Request<Bytes>)>,
}

/// The requests in flight on one port.
#[derive(Debug, Default)]
struct InFlight {
    requests: AtomicUsize,
    less: Notify,
}

/// How slow a machine's disk is. Shared by the machine's processes.
#[derive(Clone, Debug)]
pub(crate) struct DiskDelay {
    ms_max: Arc<AtomicU64>,
    varies: bool,
}

impl DiskDelay {
    /// A piece of blocking work takes up to the duration that is set; a few ms, if none is set.
    pub(crate) fn varying() -> Self {
        Self { ms_max: Arc::default(), varies: true }
    }

    /// Each piece of blocking work takes exactly the duration that is set; no time, if none is set.
    pub(crate) fn exact() -> Self {
        Self { ms_max: Arc::default(), varies: false }
    }

    /// Sets the duration of a piece of blocking work.
    pub(crate) fn set(&self, ms_max: Millis) {
        self.ms_max.store(ms_max, Ordering::Relaxed);
    }

    fn draw(&self, random: &mut Random) -> Millis {
        let slowest = self.ms_max.load(Ordering::Relaxed);
        if !self.varies {
            slowest
        } else if slowest > 0 {
            random.within(slowest / 2..=slowest)
        } else if random.per_mille(800) {
            0
        } else {
            random.within(1..=2)
        }
    }
}

/// The world of one process.
pub(crate) struct ProcessWorld {
    environment: SimulatedEnvironment,
    machine: MachineId,
    life: ProcessLife,
    mount: Mount,
    disk_delay: DiskDelay,
    random: Mutex<Random>,
    ports: Mutex<BTreeMap<u16, ListeningPort>>,
    process_exit: Mutex<Option<ProcessExit>>,
}

impl fmt::Debug for ProcessWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessWorld").field("machine", &self.machine).finish_non_exhaustive()
    }
}

thread_local! {
    /// For the panic hook and the logs, which have no reference to a world.
    static CURRENT: RefCell<Option<Arc<ProcessWorld>>> = const { RefCell::new(None) };
}

/// While this exists, the thread runs the process.
pub(crate) struct CurrentGuard {
    _entered: world::Entered,
}

impl Drop for CurrentGuard {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// The payload of a task that unwinds because its process has ended itself, which is not a panic.
struct Exited;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ProcessWorld {
    pub(crate) fn new(
        environment: SimulatedEnvironment,
        machine: MachineId,
        life: ProcessLife,
        disk: SimulatedDisk,
        disk_delay: DiskDelay,
        random: Random,
    ) -> Arc<Self> {
        let mount = Mount::new(disk, life.clone());
        let (random, ports, process_exit) = (Mutex::new(random), Mutex::default(), Mutex::default());
        Arc::new(Self { environment, machine, life, mount, disk_delay, random, ports, process_exit })
    }

    /// Makes this thread run the process.
    pub(crate) fn enter(self: &Arc<Self>) -> CurrentGuard {
        CURRENT.set(Some(Arc::clone(self)));
        CurrentGuard { _entered: world::enter(Arc::clone(self) as Arc<dyn World>) }
    }

    /// The world of the process that this thread runs.
    pub(crate) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    pub(crate) fn environment(&self) -> &SimulatedEnvironment {
        &self.environment
    }

    pub(crate) fn machine(&self) -> MachineId {
        self.machine
    }

    pub(crate) fn life(&self) -> &ProcessLife {
        &self.life
    }

    /// How the process has ended, if it has ended itself.
    pub(crate) fn process_exit(&self) -> Option<ProcessExit> {
        lock(&self.process_exit).clone()
    }

    /// Ends the process. The first call decides the exit code.
    pub(crate) fn end(&self, code: ExitCode, what: String) {
        lock(&self.process_exit).get_or_insert(ProcessExit { code: code as u8, what });
        self.life.end();
    }

    /// Drops the routers. They hold everything of the process, which in turn holds this world.
    pub(crate) fn close_ports(&self) {
        let ports = std::mem::take(&mut *lock(&self.ports));
        drop(ports);
    }

    /// Delivers a request to a port. The process handles it when it runs.
    pub(crate) fn deliver(self: &Arc<Self>, runtime: &Handle, port: u16, call: CallId, request: Request<Bytes>) {
        match lock(&self.ports).get_mut(&port) {
            None => self.respond(call, Err(ConnectionError::Refused)),
            Some(ListeningPort { router: None, waiting }) => waiting.push((call, request)),
            Some(ListeningPort { router: Some(router), .. }) => self.handle(runtime, router.clone(), call, request),
        }
    }

    fn handle(self: &Arc<Self>, runtime: &Handle, router: Router, call: CallId, request: Request<Bytes>) {
        let world = Arc::clone(self);
        let handler = runtime.spawn(async move {
            let Ok(response) = router.oneshot(request.map(Body::from)).await;
            let (parts, body) = response.into_parts();
            let outcome = match body.collect().await {
                Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
                Err(_) => Err(ConnectionError::Reset),
            };
            world.respond(call, outcome);
        });
        self.environment.lock().network.add_handler(call, self.life.id, handler.abort_handle());
    }

    fn respond(&self, call: CallId, outcome: CallResult) {
        if !self.life.is_over() {
            self.environment.lock().respond(call, self.machine, outcome);
        }
    }
}

/// Installs a panic hook, once: a panic ends the process that this thread runs, and is reported
/// only to the simulation.
pub(crate) fn catch_panics() {
    static INSTALLED: std::sync::Once = std::sync::Once::new();
    INSTALLED.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match ProcessWorld::current() {
            // A panic in a task is one of the process. Outside of tasks, it is one of the
            // simulation.
            Some(world) if tokio::task::try_id().is_some() => {
                world.end(ExitCode::Software, format!("panicked: {panic}"));
            }
            _ => report(panic),
        }));
    });
}

impl World for ProcessWorld {
    fn random(&self) -> u64 {
        lock(&self.random).next()
    }

    fn exit(&self, code: ExitCode, what: String) -> Box<dyn Any + Send> {
        self.end(code, what);
        Box::new(Exited)
    }

    fn bind(&self, port: u16) -> io::Result<SocketAddr> {
        let mut ports = lock(&self.ports);
        let port = if port == 0 {
            (32_768..u16::MAX).find(|port| !ports.contains_key(port)).expect("a free port")
        } else {
            port
        };
        if ports.contains_key(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        ports.insert(port, ListeningPort::default());
        Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
    }

    fn serve(&self, at: SocketAddr, router: Router, stop: CancellationToken) -> BoxFuture<'static, ()> {
        let world = Self::current().expect("a process serves while it runs");
        async move {
            let in_flight = Arc::new(InFlight::default());
            let router = router.layer(axum::middleware::from_fn_with_state(Arc::clone(&in_flight), count));
            let waiting = {
                let mut ports = lock(&world.ports);
                let port = ports.get_mut(&at.port()).expect("it was bound");
                port.router = Some(router.clone());
                std::mem::take(&mut port.waiting)
            };
            for (call, request) in waiting {
                world.handle(&Handle::current(), router.clone(), call, request);
            }
            stop.cancelled().await;
            lock(&world.ports).remove(&at.port());
            let drained = async {
                while in_flight.requests.load(Ordering::Relaxed) > 0 {
                    in_flight.less.notified().await;
                }
            };
            // Requests that are not finished by then are cut off, as in the real server.
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, drained).await;
        }
        .boxed()
    }

    fn send(&self, to: Address, request: Request<Bytes>) -> BoxFuture<'static, CallResult> {
        if self.life.is_over() {
            return std::future::pending().boxed();
        }
        let (call, response) = self.environment.lock().send_request((self.machine, self.life.id), &to, request);
        PendingCall { call, response, environment: self.environment.clone(), life: self.life.clone(), done: false }
            .boxed()
    }

    fn disk(&self) -> &dyn disk::FileSystem {
        &self.mount
    }

    fn event(&self, event: Event) {
        self.environment.note(self.machine, &TraceEvent::Protocol { event });
    }

    fn blocking_delay(&self) -> BoxFuture<'static, ()> {
        let ms = self.disk_delay.draw(&mut lock(&self.random));
        async move {
            if ms > 0 {
                tokio::time::sleep(Duration::from_millis(ms)).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
        .boxed()
    }
}

/// Counts the requests in flight of a port.
async fn count(
    axum::extract::State(in_flight): axum::extract::State<Arc<InFlight>>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    struct One(Arc<InFlight>);
    impl Drop for One {
        fn drop(&mut self) {
            self.0.requests.fetch_sub(1, Ordering::Relaxed);
            self.0.less.notify_one();
        }
    }
    in_flight.requests.fetch_add(1, Ordering::Relaxed);
    let _one = One(in_flight);
    next.run(request).await
}

/// Waits for a response. Cancels the call if it is dropped before.
struct PendingCall {
    call: CallId,
    response: oneshot::Receiver<CallResult>,
    environment: SimulatedEnvironment,
    life: ProcessLife,
    done: bool,
}

impl Future for PendingCall {
    type Output = CallResult;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<CallResult> {
        match self.response.poll_unpin(context) {
            Poll::Ready(Ok(outcome)) => {
                self.done = true;
                Poll::Ready(outcome)
            }
            // The message was lost: the caller is never notified.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        if !self.done && !self.life.is_over() {
            self.environment.lock().cancel(self.call);
        }
    }
}
