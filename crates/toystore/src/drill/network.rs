//! The network between the members: a small TCP proxy on every link, so that any direction between any two can be cut.
//!
//! Proxies, and not network namespaces: they need no root, work on every Unix, and cut single directions of single pairs. What a cut does:
//!
//! * Bytes of a cut direction are *held*, not thrown away, and go on when the cut is healed. TCP never shows a hole in a
//!   stream: what a kernel's filter drops is sent again, and comes late. So a deposed leader's requests come late, too, which
//!   is the harder case.
//! * A new connection across a cut is accepted by the proxy, and then nothing happens; a kernel would not even accept it.
//!   Callers wait for their answer's time-out instead of the connection's.
//! * Bytes that were held come at once when the cut is healed; a kernel would have doubled its pauses between repetitions meanwhile.
//!
//! While nothing is cut there are two differences to a direct connection: it costs two more hops through the kernel, and a process that
//! is gone shows as a connection that is reset, not as one that is refused. So a proxied store takes a little longer to
//! see that a process has died; time fail-overs without proxies.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::local::{Layout, Link, Member};

/// Connections of one link at a time; more wait in the listener's queue. Callers keep about as many as they have requests under way.
const CONNECTIONS_MAX: usize = 1024;

/// What one direction of a connection holds in memory; a cut fills it, then the kernel's buffers, then the sender waits.
const BUFFER_BYTES: usize = 16 * 1024;

/// After a failed accept: out of open files, most likely, and one is there when a connection ends.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// Whose bytes go to whom.
type Direction = (Member, Member);

/// The proxies of one store. They end when it is dropped.
#[derive(Debug)]
pub(super) struct Network {
    cuts: BTreeMap<Direction, watch::Sender<bool>>,
    _proxies: JoinSet<()>,
}

impl Network {
    /// Puts a proxy on every link of `layout`; gives the layout with the detours through them.
    pub(super) async fn around(mut layout: Layout) -> io::Result<(Layout, Self)> {
        let mut cuts = BTreeMap::new();
        let mut proxies = JoinSet::new();
        for link in layout.links() {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            layout = layout.with_detour(link, listener.local_addr()?.port());
            let mut gate =
                |direction| Gate(cuts.entry(direction).or_insert_with(|| watch::Sender::new(false)).subscribe());
            let (there, back) = (gate((link.from, link.to)), gate((link.to, link.from)));
            proxies.spawn(serve(listener, link, there, back));
        }
        Ok((layout, Self { cuts, _proxies: proxies }))
    }

    /// From now on nothing that `from` sends reaches `to`.
    ///
    /// # Panics
    /// If the two never talk.
    pub(super) fn cut(&self, from: Member, to: Member) {
        let cut = self.cuts.get(&(from, to)).unwrap_or_else(|| panic!("{from} never sends anything to {to}"));
        cut.send_replace(true);
    }

    /// Everything reaches everyone again.
    pub(super) fn heal(&self) {
        for cut in self.cuts.values() {
            cut.send_if_modified(std::mem::take);
        }
    }
}

/// Whether a direction lets bytes through.
#[derive(Clone, Debug)]
struct Gate(watch::Receiver<bool>);

impl Gate {
    async fn open(&mut self) {
        // An error means that the network is gone, and this task with it.
        let _ = self.0.wait_for(|cut| !cut).await;
    }
}

async fn serve(listener: TcpListener, link: Link, there: Gate, back: Gate) {
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, link.port));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        match listener.accept().await {
            Ok((caller, _)) => drop(connections.spawn(carry(caller, target, there.clone(), back.clone()))),
            Err(error) => {
                tracing::warn!(%error, from = %link.from, to = %link.to, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One connection, until one side ends it.
async fn carry(mut caller: TcpStream, target: SocketAddr, mut there: Gate, back: Gate) {
    there.open().await;
    let Ok(mut host) = TcpStream::connect(target).await else {
        reset(&caller);
        return;
    };
    // A failure costs 40 ms of delay at worst, and the connection is broken then in any case.
    let _ = (caller.set_nodelay(true), host.set_nodelay(true));
    let ended = {
        let (from_caller, to_caller) = caller.split();
        let (from_host, to_host) = host.split();
        tokio::try_join!(pump(from_caller, to_host, there), pump(from_host, to_caller, back))
    };
    if ended.is_err() {
        reset(&caller);
        reset(&host);
    }
}

/// Passes bytes on until their source ends, and then tells that, too.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, mut gate: Gate) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        gate.open().await;
        let read = from.read(&mut buffer).await?;
        gate.open().await;
        if read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}

/// Closing it will tell the other side that the connection broke, not that it ended.
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

    const PATIENCE: Duration = Duration::from_secs(30);
    /// For what must not come: it would come within a millisecond.
    const SILENCE: Duration = Duration::from_millis(100);

    /// A leader's connection to the catalog, through its proxy; and the catalog's listener.
    async fn connected() -> (Network, TcpStream, TcpListener) {
        let layout = Layout::new("unused", PortBase::ephemeral().unwrap());
        let of_interest = |link: &Link| (link.from, link.to) == (ORDER, Member::Catalog);
        let link = layout.links().into_iter().find(of_interest).unwrap();
        let catalog = TcpListener::bind((Ipv4Addr::LOCALHOST, link.port)).await.unwrap();
        let (layout, network) = Network::around(layout).await.unwrap();
        let caller = TcpStream::connect((Ipv4Addr::LOCALHOST, layout.detour(link))).await.unwrap();
        (network, caller, catalog)
    }

    const ORDER: Member = Member::Order(Ordinal(1));

    async fn expect(stream: &mut TcpStream, bytes: &[u8]) {
        let mut read = vec![0; bytes.len()];
        timeout(PATIENCE, stream.read_exact(&mut read)).await.unwrap().unwrap();
        assert_eq!(read, bytes);
    }

    #[tokio::test]
    async fn one_direction_is_cut_and_what_was_held_comes_late() {
        let (network, mut caller, catalog) = connected().await;
        let (mut host, _) = timeout(PATIENCE, catalog.accept()).await.unwrap().unwrap();
        caller.write_all(b"one").await.unwrap();
        expect(&mut host, b"one").await;

        network.cut(ORDER, Member::Catalog);
        caller.write_all(b"two").await.unwrap();
        host.write_all(b"back").await.unwrap();
        expect(&mut caller, b"back").await;
        assert!(timeout(SILENCE, host.read_u8()).await.is_err(), "a byte came through a cut");

        caller.write_all(b"three").await.unwrap();
        network.heal();
        expect(&mut host, b"twothree").await;
    }

    #[tokio::test]
    async fn an_end_is_passed_on_and_so_is_a_reset() {
        let (_network, mut caller, catalog) = connected().await;
        let (mut host, _) = timeout(PATIENCE, catalog.accept()).await.unwrap().unwrap();
        caller.write_all(b"last words").await.unwrap();
        caller.shutdown().await.unwrap();
        expect(&mut host, b"last words").await;
        assert_eq!(timeout(PATIENCE, host.read(&mut [0])).await.unwrap().unwrap(), 0);
        host.set_zero_linger().unwrap();
        drop(host);
        let error = timeout(PATIENCE, caller.read(&mut [0])).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn who_is_gone_is_a_connection_that_breaks() {
        let (_network, mut caller, catalog) = connected().await;
        drop(timeout(PATIENCE, catalog.accept()).await.unwrap().unwrap());
        let _ = timeout(PATIENCE, caller.read(&mut [0])).await.unwrap();
        drop(catalog);
        let again = TcpStream::connect(caller.peer_addr().unwrap()).await;
        let ended = timeout(PATIENCE, again.unwrap().read(&mut [0])).await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
