//! The proxy on one link between two members.
//!
//! It listens only while its target does. So a caller of a dead process is refused, as without a
//! proxy, and knows that the process has not seen its request.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::layout::Link;

/// Maximum concurrent connections per link; more wait in the listener's backlog. Callers keep about
/// as many connections as they have requests in flight.
const CONNECTIONS_MAX: usize = 1024;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// Buffer per direction of a connection. A cut fills it, then the kernel's buffers, then the sender
/// blocks.
const BUFFER_BYTES: usize = 16 * 1024;

/// Delay after a failed accept. The usual cause is a lack of file descriptors, until a connection
/// ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// Delay between held bytes and the end of their stream. A server drops a request whose connection
/// ends, and a reset discards what it has not read yet; so the end waits until even a busy machine
/// has answered. Nobody waits for it.
const END_AFTER_HELD_DELAY: Duration = Duration::from_millis(500);

/// How often a target that refused a connection is tried. This much later than the target itself
/// the proxy listens again.
const PROBE_INTERVAL: Duration = Duration::from_millis(10);

/// The port of a proxy, which is closed and opened again.
#[derive(Debug)]
pub(super) struct ProxyPort {
    address: SocketAddr,
    /// Keeps others off the port while nothing listens on it. Not all systems allow a listener
    /// beside it.
    reservation: Option<TcpSocket>,
}

impl ProxyPort {
    /// A free port.
    pub(super) fn reserve() -> io::Result<Self> {
        let reservation = TcpSocket::new_v4()?;
        reservation.set_reuseaddr(true)?;
        reservation.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { address: reservation.local_addr()?, reservation: Some(reservation) })
    }

    pub(super) fn number(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn open(&mut self) -> io::Result<TcpListener> {
        self.listen().or_else(|error| if self.reservation.take().is_some() { self.listen() } else { Err(error) })
    }

    fn listen(&self) -> io::Result<TcpListener> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        socket.listen(BACKLOG)
    }
}

/// Tells a proxy whether a direction is cut.
#[derive(Clone, Debug)]
pub(super) struct CutWatch(pub(super) watch::Receiver<bool>);

impl CutWatch {
    fn is_cut(&self) -> bool {
        *self.0.borrow()
    }

    async fn until_healed(&mut self) {
        // An error means that the network was dropped, and this task with it.
        let _ = self.0.wait_for(|cut| !cut).await;
    }
}

/// Where a proxy forwards its connections, and whether nothing listens there.
#[derive(Clone, Debug)]
struct Target {
    address: SocketAddr,
    is_gone: watch::Sender<bool>,
}

impl Target {
    /// Opens a connection. A refused one shows that the target is gone.
    async fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(self.address).await.inspect_err(|error| {
            if error.kind() == io::ErrorKind::ConnectionRefused {
                self.is_gone.send_replace(true);
            }
        })
    }

    /// Waits until the target is gone.
    async fn gone(&self) {
        // It does not fail: this is a sender.
        let _ = self.is_gone.subscribe().wait_for(|is_gone| *is_gone).await;
    }

    /// Waits until something listens again, or nobody could see that nothing does: a caller behind
    /// a cut is not refused.
    async fn back(&self, outbound: &CutWatch) {
        while !outbound.is_cut() && TcpStream::connect(self.address).await.is_err() {
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
        self.is_gone.send_replace(false);
    }
}

/// Forwards the connections of one link.
pub(super) async fn serve(mut port: ProxyPort, mut listener: TcpListener, link: Link, ways: [CutWatch; 2]) {
    let [outbound, inbound] = ways;
    let target =
        Target { address: SocketAddr::from((Ipv4Addr::LOCALHOST, link.port)), is_gone: watch::Sender::new(false) };
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        let accepted = tokio::select! {
            biased;
            () = target.gone() => None,
            accepted = listener.accept() => Some(accepted),
        };
        match accepted {
            Some(Ok((caller, _))) => {
                connections.spawn(carry(caller, target.clone(), outbound.clone(), inbound.clone()));
            }
            Some(Err(error)) => {
                tracing::warn!(%error, from = %link.from, to = %link.to, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None => {
                drop(listener);
                target.back(&outbound).await;
                listener = reopened(&mut port, link).await;
            }
        }
    }
}

async fn reopened(port: &mut ProxyPort, link: Link) -> TcpListener {
    loop {
        match port.open() {
            Ok(listener) => return listener,
            Err(error) => {
                tracing::warn!(%error, from = %link.from, to = %link.to, "cannot listen again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Forwards one connection until one side ends it.
async fn carry(mut caller: TcpStream, target: Target, mut outbound: CutWatch, inbound: CutWatch) {
    let held = outbound.is_cut();
    outbound.until_healed().await;
    let Ok(mut host) = target.connect().await else {
        reset(&caller);
        return;
    };
    // Without it, messages are delayed by up to 40 ms; if it fails, the connection is broken
    // anyway.
    let _ = (caller.set_nodelay(true), host.set_nodelay(true));
    let ended = {
        let (from_caller, to_caller) = caller.split();
        let (from_host, to_host) = host.split();
        let (there, back) = (Pump::new(outbound, held), Pump::new(inbound, false).watching(&target));
        tokio::try_join!(there.run(from_caller, to_host), back.run(from_host, to_caller))
    };
    if ended.is_err() {
        reset(&caller);
        reset(&host);
    }
}

/// Forwards the bytes of one direction.
struct Pump<'a> {
    cut: CutWatch,
    /// Whether the next bytes were held by a cut.
    held: bool,
    /// The source, if it is the target: it may be gone when its stream ends.
    target: Option<&'a Target>,
}

impl<'a> Pump<'a> {
    fn new(cut: CutWatch, held: bool) -> Self {
        Self { cut, held, target: None }
    }

    fn watching(self, target: &'a Target) -> Self {
        Self { target: Some(target), ..self }
    }

    /// Forwards bytes until their source ends, and then forwards the end.
    async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        // Whether the bytes that were forwarded last were held by a cut.
        let mut forwarded_held = false;
        loop {
            self.held |= self.cut.is_cut();
            self.cut.until_healed().await;
            let read = from.read(&mut buffer).await;
            self.held |= self.cut.is_cut();
            self.cut.until_healed().await;
            if matches!(read, Ok(0) | Err(_)) {
                if let Some(target) = self.target {
                    // Before the caller sees the end and connects again.
                    let _ = target.connect().await;
                }
                if forwarded_held {
                    tokio::time::sleep(END_AFTER_HELD_DELAY).await;
                }
            }
            let read = read?;
            if read == 0 {
                return to.shutdown().await;
            }
            to.write_all(&buffer[..read]).await?;
            forwarded_held = std::mem::take(&mut self.held);
        }
    }
}

/// Makes closing the stream a reset instead of an orderly end.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}
