//! The network between the members: a TCP proxy on every link, so that each direction of each link
//! can be cut.
//!
//! Proxies are used instead of network namespaces because they need no root privileges, work on
//! every Unix, and can cut single directions. The effect of a cut:
//!
//! * Bytes in a cut direction are *held*, not dropped, and are delivered when the cut is healed.
//!   TCP never shows a gap in a stream: packets that a kernel filter drops are retransmitted and
//!   arrive late. So requests of a deposed leader also arrive late, which is the harder case.
//! * The proxy accepts a new connection across a cut, and then nothing happens; with a kernel
//!   filter the connection would not even be accepted. Callers therefore wait for the timeout of
//!   the request instead of the timeout of the connection.
//! * Held bytes are delivered at once when the cut is healed; a kernel would have doubled its
//!   retransmission interval in the meantime. What the sender did after them, such as closing the
//!   connection because it gave up, is forwarded a moment later, as if a kernel first waited for
//!   the bytes to be acknowledged.
//!
//! Without a cut, a proxied link differs from a direct one in two ways: it costs two more hops
//! through the kernel, and a dead process shows as a reset connection instead of a refused one. A
//! proxied store therefore takes a little longer to detect a dead process. Measure failovers
//! without proxies.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::local::{Link, StoreLayout, StoreMember};

/// Maximum concurrent connections per link; more wait in the listener's backlog. Callers keep about
/// as many connections as they have requests in flight.
const CONNECTIONS_MAX: usize = 1024;

/// Buffer per direction of a connection. A cut fills it, then the kernel's buffers, then the sender
/// blocks.
const BUFFER_BYTES: usize = 16 * 1024;

/// Delay after a failed accept. The usual cause is a lack of file descriptors, until a connection
/// ends.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// Delay between held bytes and what follows them: many round trips on one machine.
const ACKNOWLEDGE_DELAY: std::time::Duration = std::time::Duration::from_millis(20);

/// Sender and receiver.
type Direction = (StoreMember, StoreMember);

/// The proxies of one store. They stop when it is dropped.
#[derive(Debug)]
pub struct ProxyNetwork {
    cuts: BTreeMap<Direction, watch::Sender<bool>>,
    _proxies: JoinSet<()>,
}

impl ProxyNetwork {
    /// Puts a proxy on every link of `layout`, and returns the layout that redirects the links to
    /// the proxies.
    pub async fn proxying(mut layout: StoreLayout) -> io::Result<(StoreLayout, Self)> {
        let mut cuts = BTreeMap::new();
        let mut proxies = JoinSet::new();
        for link in layout.links() {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            layout = layout.with_redirect(link, listener.local_addr()?.port());
            let mut subscribe =
                |direction| CutWatch(cuts.entry(direction).or_insert_with(|| watch::Sender::new(false)).subscribe());
            let (outbound, inbound) = (subscribe((link.from, link.to)), subscribe((link.to, link.from)));
            proxies.spawn(serve(listener, link, outbound, inbound));
        }
        Ok((layout, Self { cuts, _proxies: proxies }))
    }

    /// Cuts one direction: from now on nothing that `from` sends reaches `to`.
    ///
    /// # Panics
    /// If there is no link between the two.
    pub fn cut(&self, from: StoreMember, to: StoreMember) {
        let cut = self.cuts.get(&(from, to)).unwrap_or_else(|| panic!("{from} never sends anything to {to}"));
        cut.send_replace(true);
    }

    /// Heals all cuts.
    pub fn heal(&self) {
        for cut in self.cuts.values() {
            cut.send_if_modified(std::mem::take);
        }
    }
}

/// Tells a proxy whether a direction is cut.
#[derive(Clone, Debug)]
struct CutWatch(watch::Receiver<bool>);

impl CutWatch {
    fn is_cut(&self) -> bool {
        *self.0.borrow()
    }

    async fn until_healed(&mut self) {
        // An error means that the network was dropped, and this task with it.
        let _ = self.0.wait_for(|cut| !cut).await;
    }
}

async fn serve(listener: TcpListener, link: Link, outbound: CutWatch, inbound: CutWatch) {
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, link.port));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((caller, _)) => drop(connections.spawn(carry(caller, target, outbound.clone(), inbound.clone()))),
            Err(error) => {
                tracing::warn!(%error, from = %link.from, to = %link.to, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Forwards one connection until one side ends it.
async fn carry(mut caller: TcpStream, target: SocketAddr, mut outbound: CutWatch, inbound: CutWatch) {
    let held = outbound.is_cut();
    outbound.until_healed().await;
    let Ok(mut host) = TcpStream::connect(target).await else {
        reset(&caller);
        return;
    };
    // Without it, messages are delayed by up to 40 ms; if it fails, the connection is broken
    // anyway.
    let _ = (caller.set_nodelay(true), host.set_nodelay(true));
    let ended = {
        let (from_caller, to_caller) = caller.split();
        let (from_host, to_host) = host.split();
        tokio::try_join!(pump(from_caller, to_host, outbound, held), pump(from_host, to_caller, inbound, false))
    };
    if ended.is_err() {
        reset(&caller);
        reset(&host);
    }
}

/// Forwards bytes until their source ends, and then forwards the end. The first bytes may already
/// have been `held`.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut cut: CutWatch, mut held: bool) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        held |= cut.is_cut();
        cut.until_healed().await;
        let read = from.read(&mut buffer).await?;
        held |= cut.is_cut();
        cut.until_healed().await;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
        if std::mem::take(&mut held) {
            tokio::time::sleep(ACKNOWLEDGE_DELAY).await;
        }
    }
}

/// Makes closing the stream a reset instead of an orderly end.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use api::Ordinal;
    use tokio::time::timeout;

    use super::*;
    use crate::local::PortBase;

    const TIMEOUT: Duration = Duration::from_secs(30);
    /// How long to wait for bytes that must not arrive. They would arrive within a millisecond.
    const SILENCE: Duration = Duration::from_millis(100);

    /// A connection from an order replica to the catalog, through its proxy; and the catalog's
    /// listener.
    async fn connected() -> (ProxyNetwork, TcpStream, TcpListener) {
        let layout = StoreLayout::new("unused", PortBase::ephemeral().unwrap());
        let to_catalog = |link: &Link| (link.from, link.to) == (ORDER, StoreMember::Catalog);
        let link = layout.links().into_iter().find(to_catalog).unwrap();
        let catalog = TcpListener::bind((Ipv4Addr::LOCALHOST, link.port)).await.unwrap();
        let (layout, network) = ProxyNetwork::proxying(layout).await.unwrap();
        let caller = TcpStream::connect((Ipv4Addr::LOCALHOST, layout.caller_port(link))).await.unwrap();
        (network, caller, catalog)
    }

    const ORDER: StoreMember = StoreMember::Order(Ordinal(1));

    async fn expect(stream: &mut TcpStream, bytes: &[u8]) {
        let mut read = vec![0; bytes.len()];
        timeout(TIMEOUT, stream.read_exact(&mut read)).await.unwrap().unwrap();
        assert_eq!(read, bytes);
    }

    #[tokio::test]
    async fn one_direction_is_cut_and_held_bytes_arrive_late() {
        let (network, mut caller, catalog) = connected().await;
        let (mut host, _) = timeout(TIMEOUT, catalog.accept()).await.unwrap().unwrap();
        caller.write_all(b"one").await.unwrap();
        expect(&mut host, b"one").await;

        network.cut(ORDER, StoreMember::Catalog);
        caller.write_all(b"two").await.unwrap();
        host.write_all(b"back").await.unwrap();
        expect(&mut caller, b"back").await;
        assert!(timeout(SILENCE, host.read_u8()).await.is_err(), "a byte came through a cut");

        caller.write_all(b"three").await.unwrap();
        network.heal();
        expect(&mut host, b"twothree").await;
    }

    #[tokio::test]
    async fn the_end_of_a_stream_and_a_reset_are_forwarded() {
        let (_network, mut caller, catalog) = connected().await;
        let (mut host, _) = timeout(TIMEOUT, catalog.accept()).await.unwrap().unwrap();
        caller.write_all(b"last words").await.unwrap();
        caller.shutdown().await.unwrap();
        expect(&mut host, b"last words").await;
        assert_eq!(timeout(TIMEOUT, host.read(&mut [0])).await.unwrap().unwrap(), 0);
        host.set_zero_linger().unwrap();
        drop(host);
        let error = timeout(TIMEOUT, caller.read(&mut [0])).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_connection_to_a_dead_process_is_reset() {
        let (_network, mut caller, catalog) = connected().await;
        drop(timeout(TIMEOUT, catalog.accept()).await.unwrap().unwrap());
        let _ = timeout(TIMEOUT, caller.read(&mut [0])).await.unwrap();
        drop(catalog);
        let again = TcpStream::connect(caller.peer_addr().unwrap()).await;
        let ended = timeout(TIMEOUT, again.unwrap().read(&mut [0])).await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
