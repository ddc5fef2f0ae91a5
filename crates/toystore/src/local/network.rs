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
//! Without a cut, a proxied link differs from a direct one in this: it costs two more hops through
//! the kernel, and a caller that connects to a process in the moment of its death may see a reset
//! connection instead of a refused one (`proxy.rs`). Measure failovers without proxies.

use std::collections::BTreeMap;
use std::io;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::layout::{StoreLayout, StoreMember};
use super::proxy::{CutWatch, ProxyPort, serve};

/// Sender and receiver.
pub type Direction = (StoreMember, StoreMember);

/// The proxies of one store. They stop when it is dropped.
#[derive(Debug)]
pub struct ProxyNetwork {
    cuts: BTreeMap<Direction, watch::Sender<bool>>,
    _proxies: JoinSet<()>,
}

impl ProxyNetwork {
    /// Puts a proxy on every link of `layout`, and returns the layout that redirects the links to
    /// the proxies.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn proxying(mut layout: StoreLayout) -> io::Result<(StoreLayout, Self)> {
        let mut cuts = BTreeMap::new();
        let mut proxies = JoinSet::new();
        for link in layout.links() {
            let mut port = ProxyPort::reserve()?;
            let listener = port.open()?;
            layout = layout.with_redirect(link, port.number());
            let mut subscribe =
                |direction| CutWatch(cuts.entry(direction).or_insert_with(|| watch::Sender::new(false)).subscribe());
            let ways = [subscribe((link.from, link.to)), subscribe((link.to, link.from))];
            proxies.spawn(serve(port, listener, link, ways));
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

    /// The directions that are cut.
    pub fn cuts(&self) -> Vec<Direction> {
        self.cuts.iter().filter(|(_, cut)| *cut.borrow()).map(|(direction, _)| *direction).collect()
    }

    /// Heals both directions between two members, if they are cut.
    pub fn heal_between(&self, one: StoreMember, other: StoreMember) {
        for cut in [(one, other), (other, one)].iter().filter_map(|direction| self.cuts.get(direction)) {
            cut.send_if_modified(std::mem::take);
        }
    }

    /// Heals all cuts.
    pub fn heal(&self) {
        for cut in self.cuts.values() {
            cut.send_if_modified(std::mem::take);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    use api::Ordinal;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;
    use crate::local::{Link, PortBase};

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
        let (layout, network) = ProxyNetwork::proxying(layout).unwrap();
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

    /// Connects until it is refused, or until it is not.
    async fn connect_until(proxy: SocketAddr, is_refused: bool) -> io::Result<TcpStream> {
        let connected = async {
            loop {
                let connected = TcpStream::connect(proxy).await;
                if connected.is_err() == is_refused {
                    return connected;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(TIMEOUT, connected).await.expect("the proxy notices")
    }

    #[tokio::test]
    async fn a_caller_of_a_dead_process_is_refused_until_it_is_back() {
        let (_network, mut caller, catalog) = connected().await;
        let (address, proxy) = (catalog.local_addr().unwrap(), caller.peer_addr().unwrap());
        let (host, _) = timeout(TIMEOUT, catalog.accept()).await.unwrap().unwrap();
        drop((catalog, host));
        assert_eq!(timeout(TIMEOUT, caller.read(&mut [0])).await.unwrap().unwrap(), 0);
        let refused = connect_until(proxy, true).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

        let catalog = TcpListener::bind(address).await.unwrap();
        let mut caller = connect_until(proxy, false).await.unwrap();
        caller.write_all(b"again").await.unwrap();
        // The proxy's own attempts to connect end without a byte.
        let heard = async {
            loop {
                let (mut host, _) = catalog.accept().await.unwrap();
                let mut bytes = Vec::new();
                if timeout(SILENCE, host.read_buf(&mut bytes)).await.is_ok_and(|read| read.unwrap() > 0) {
                    return bytes;
                }
            }
        };
        assert_eq!(timeout(TIMEOUT, heard).await.unwrap(), b"again");
    }

    #[tokio::test]
    async fn a_caller_behind_a_cut_does_not_notice_that_a_process_is_dead() {
        let (network, mut caller, catalog) = connected().await;
        let proxy = caller.peer_addr().unwrap();
        let (host, _) = timeout(TIMEOUT, catalog.accept()).await.unwrap().unwrap();
        network.cut(ORDER, StoreMember::Catalog);
        drop((catalog, host));
        assert_eq!(timeout(TIMEOUT, caller.read(&mut [0])).await.unwrap().unwrap(), 0);
        let mut silent = connect_until(proxy, false).await.unwrap();
        assert!(timeout(SILENCE, silent.read(&mut [0])).await.is_err(), "it heard something through a cut");
        network.heal();
        let ended = timeout(TIMEOUT, silent.read(&mut [0])).await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
