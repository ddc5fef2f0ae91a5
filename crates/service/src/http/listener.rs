//! Binding a port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rustix::io::Errno;
use socket2::{Domain, Type};
use tokio::net::TcpListener;

use crate::world::{self, World};

/// A bound port. Nothing is served yet.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: Socket,
    pub(super) address: SocketAddr,
    pub(super) names: Vec<String>,
    /// Whether the port answers only to this machine's names, whatever address it is bound to.
    pub(super) is_local: bool,
}

#[derive(Debug)]
pub(super) enum Socket {
    Os(TcpListener),
    World(Arc<dyn World>),
}

impl Listener {
    /// Binds `port` on the address `host`. `::` means all addresses, IPv6 and IPv4. With port 0 the
    /// operating system picks a port.
    ///
    /// # Errors
    /// If the port cannot be bound. The message names the port.
    pub fn bind(host: IpAddr, port: u16) -> io::Result<Self> {
        let bound = match world::current() {
            Some(world) => world.bind(port).map(|address| (Socket::World(world), address)),
            None => listen(SocketAddr::new(host, port)).and_then(|listener| {
                let address = listener.local_addr()?;
                Ok((Socket::Os(listener), address))
            }),
        };
        bound
            .map(|(socket, address)| Self { socket, address, names: Vec::new(), is_local: false })
            .map_err(|error| io::Error::new(error.kind(), format!("port {port}: {error}")))
    }

    /// Adds a host name by which other processes call this port. On the loopback interface, a port
    /// answers only to these names and to this machine's own.
    #[must_use]
    pub fn with_host_name(mut self, name: &str) -> Self {
        self.names.push(name.to_owned());
        self
    }

    /// Answers only to this machine's names, also if the port is not bound to loopback: it is
    /// reached through a forwarded or published port of the reader's machine.
    #[must_use]
    pub fn for_local_names(mut self) -> Self {
        self.is_local = true;
        self
    }

    /// The address of the port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Listens on `address`. `::` means all addresses of both families, whatever the machine's default
/// is, or all IPv4 addresses on a machine without IPv6.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    if address.ip() != Ipv6Addr::UNSPECIFIED {
        return listen_at(address);
    }
    match listen_at(address) {
        Err(error) if is_without_ipv6(&error) => listen_at((Ipv4Addr::UNSPECIFIED, address.port()).into()),
        bound => bound,
    }
}

/// Whether `error` says that the machine has no IPv6.
pub(super) fn is_without_ipv6(error: &io::Error) -> bool {
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .into_iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restarted process gets its port at once, although old connections are still in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    // The most connections that pile up within one scheduling delay. The kernel caps it at
    // net.core.somaxconn.
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_ipv6_is_recognized() {
        let none =
            [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL, Errno::ADDRINUSE].map(|errno| is_without_ipv6(&errno.into()));
        assert_eq!(none, [true, true, false]);
    }
}
