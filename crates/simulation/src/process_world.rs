//! The outside as one process has it: the implementation of [`World`].

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
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use http_body_util::BodyExt;
use service::lifecycle::{DRAIN_TIMEOUT, ExitCode};
use service::world::{self, Lost, World, disk};
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::disk::{Disk, Mount, ProcessLife};
use crate::network::{CallId, MachineId, Outcome};
use crate::outside::Outside;
use crate::random::Random;
use crate::trace::Millis;

/// How a process has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) code: u8,
    pub(crate) what: String,
}

/// A port that a process has taken.
#[derive(Debug, Default)]
struct Port {
    router: Option<Router>,
    /// Accepted by the kernel, not yet by the process.
    waiting: Vec<(CallId, Request<Bytes>)>,
}

/// Requests that are being answered on one port.
#[derive(Debug, Default)]
struct Busy {
    requests: AtomicUsize,
    less: Notify,
}

/// How slow a machine's disk is. Shared by its processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slowness(Arc<AtomicU64>);

impl Slowness {
    /// A piece of blocking work takes up to so long.
    pub(crate) fn set(&self, ms_max: Millis) {
        self.0.store(ms_max, Ordering::Relaxed);
    }
}

/// One process's world.
pub(crate) struct ProcessWorld {
    outside: Outside,
    machine: MachineId,
    life: ProcessLife,
    mount: Mount,
    slowness: Slowness,
    random: Mutex<Random>,
    ports: Mutex<BTreeMap<u16, Port>>,
    ending: Mutex<Option<Ending>>,
}

impl fmt::Debug for ProcessWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessWorld").field("machine", &self.machine).finish_non_exhaustive()
    }
}

thread_local! {
    /// For the panic hook and the log, which know nothing of worlds.
    static CURRENT: RefCell<Option<Arc<ProcessWorld>>> = const { RefCell::new(None) };
}

/// Until it is dropped, this thread is in a process.
pub(crate) struct Inside {
    _entered: world::Entered,
}

impl Drop for Inside {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// What an unwinding task carries when its process has ended itself: no panic.
struct Exited;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ProcessWorld {
    pub(crate) fn new(
        outside: Outside,
        machine: MachineId,
        life: ProcessLife,
        disk: Disk,
        slowness: Slowness,
        random: Random,
    ) -> Arc<Self> {
        let mount = Mount::new(disk, life.clone());
        let (random, ports, ending) = (Mutex::new(random), Mutex::default(), Mutex::default());
        Arc::new(Self { outside, machine, life, mount, slowness, random, ports, ending })
    }

    /// This thread runs the process now.
    pub(crate) fn enter(self: &Arc<Self>) -> Inside {
        CURRENT.set(Some(Arc::clone(self)));
        Inside { _entered: world::enter(Arc::clone(self) as Arc<dyn World>) }
    }

    /// The process that this thread runs.
    pub(crate) fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    pub(crate) fn outside(&self) -> &Outside {
        &self.outside
    }

    pub(crate) fn machine(&self) -> MachineId {
        self.machine
    }

    pub(crate) fn life(&self) -> &ProcessLife {
        &self.life
    }

    /// How the process has ended, if it has ended itself.
    pub(crate) fn ending(&self) -> Option<Ending> {
        lock(&self.ending).clone()
    }

    /// The process ends here. The first word counts.
    pub(crate) fn end(&self, code: ExitCode, what: String) {
        lock(&self.ending).get_or_insert(Ending { code: code as u8, what });
        self.life.end();
    }

    /// Lets go of the routers: they hold all that the process had, and that holds this world.
    pub(crate) fn close_ports(&self) {
        let ports = std::mem::take(&mut *lock(&self.ports));
        drop(ports);
    }

    /// A request has arrived at a port; the process works on it in its own time.
    pub(crate) fn deliver(self: &Arc<Self>, runtime: &Handle, port: u16, call: CallId, request: Request<Bytes>) {
        match lock(&self.ports).get_mut(&port) {
            None => self.answer(call, Err(Lost::Refused)),
            Some(Port { router: None, waiting }) => waiting.push((call, request)),
            Some(Port { router: Some(router), .. }) => self.handle(runtime, router.clone(), call, request),
        }
    }

    fn handle(self: &Arc<Self>, runtime: &Handle, router: Router, call: CallId, request: Request<Bytes>) {
        let world = Arc::clone(self);
        let handler = runtime.spawn(async move {
            let Ok(response) = router.oneshot(request.map(Body::from)).await;
            let (parts, body) = response.into_parts();
            let outcome = match body.collect().await {
                Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
                Err(_) => Err(Lost::Reset),
            };
            world.answer(call, outcome);
        });
        self.outside.lock().network.handled(call, self.life.id, handler.abort_handle());
    }

    fn answer(&self, call: CallId, outcome: Outcome) {
        if !self.life.is_over() {
            self.outside.lock().answer(call, self.machine, outcome);
        }
    }
}

/// Ends the process that this thread runs if it panics, and says so to nobody but the simulation. Installed once.
pub(crate) fn catch_panics() {
    static INSTALLED: std::sync::Once = std::sync::Once::new();
    INSTALLED.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| match ProcessWorld::current() {
            // A task of the process; what is no task is the simulation itself.
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
        ports.insert(port, Port::default());
        Ok(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
    }

    fn serve(&self, at: SocketAddr, router: Router, stop: CancellationToken) -> BoxFuture<'static, ()> {
        let world = Self::current().expect("a process serves while it runs");
        async move {
            let busy = Arc::new(Busy::default());
            let router = router.layer(axum::middleware::from_fn_with_state(Arc::clone(&busy), count));
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
                while busy.requests.load(Ordering::Relaxed) > 0 {
                    busy.less.notified().await;
                }
            };
            // Who is not done by then is cut off, as by the real server.
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, drained).await;
        }
        .boxed()
    }

    fn carry(&self, to: Address, request: Request<Bytes>) -> BoxFuture<'static, Outcome> {
        if self.life.is_over() {
            return std::future::pending().boxed();
        }
        let (call, answer) = self.outside.lock().ask((self.machine, self.life.id), &to, request);
        Carried { call, answer, outside: self.outside.clone(), life: self.life.clone(), done: false }.boxed()
    }

    fn disk(&self) -> &dyn disk::FileSystem {
        &self.mount
    }

    fn work(&self) -> BoxFuture<'static, ()> {
        let slowest = self.slowness.0.load(Ordering::Relaxed);
        let mut random = lock(&self.random);
        let ms = if slowest > 0 {
            random.within(slowest / 2..=slowest)
        } else if random.per_mille(800) {
            0
        } else {
            random.within(1..=2)
        };
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

/// Counts the requests that a port works on.
async fn count(
    axum::extract::State(busy): axum::extract::State<Arc<Busy>>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    struct One(Arc<Busy>);
    impl Drop for One {
        fn drop(&mut self) {
            self.0.requests.fetch_sub(1, Ordering::Relaxed);
            self.0.less.notify_one();
        }
    }
    busy.requests.fetch_add(1, Ordering::Relaxed);
    let _one = One(busy);
    next.run(request).await
}

/// Waits for an answer; hangs up when it is dropped before.
struct Carried {
    call: CallId,
    answer: oneshot::Receiver<Outcome>,
    outside: Outside,
    life: ProcessLife,
    done: bool,
}

impl Future for Carried {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        match self.answer.poll_unpin(context) {
            Poll::Ready(Ok(outcome)) => {
                self.done = true;
                Poll::Ready(outcome)
            }
            // Lost: the caller is never told.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        if !self.done && !self.life.is_over() {
            self.outside.lock().hang_up(self.call);
        }
    }
}
