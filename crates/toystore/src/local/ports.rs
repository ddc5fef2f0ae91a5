//! The ports of a local store.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

/// The first well-known port: the REST API. All other ports are at fixed offsets from it.
pub const WELL_KNOWN_BASE: u16 = 1110;

/// The number of ports of a store. The last one marks the block of an ephemeral store as taken.
const SPAN: u16 = 40;

/// The range for ephemeral stores: above the well-known services, and below the range from which
/// Linux assigns the ports of outgoing connections (32768 and up), which could otherwise take a
/// port between its choice and its use.
const EPHEMERAL: std::ops::Range<u16> = 20_000..32_000;

/// The first port of a store's block.
#[derive(Clone, Debug)]
pub struct PortBase {
    base: u16,
    /// Held while the store exists, to keep other ephemeral stores off the block.
    _claim: Option<Arc<TcpListener>>,
}

impl PortBase {
    /// A block chosen by the caller.
    pub fn fixed(base: u16) -> Self {
        Self { base, _claim: None }
    }

    /// A free block that no other ephemeral store uses.
    ///
    /// # Errors
    /// If no free block was found in as many attempts as there are blocks.
    pub fn ephemeral() -> io::Result<Self> {
        let blocks = (EPHEMERAL.end - EPHEMERAL.start) / SPAN;
        for _ in 0..blocks {
            let base = EPHEMERAL.start + rand::random_range(0..blocks) * SPAN;
            if let Ok(claim) = TcpListener::bind((Ipv4Addr::LOCALHOST, base + SPAN - 1))
                && in_use((base..base + SPAN - 1).collect()).is_empty()
            {
                return Ok(Self { base, _claim: Some(Arc::new(claim)) });
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "no free block of ports for another store"))
    }

    pub(super) fn get(&self) -> u16 {
        self.base
    }
}

/// The ports among `ports` on which something already listens.
pub(super) fn in_use(ports: Vec<u16>) -> Vec<u16> {
    ports.into_iter().filter(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_err()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ephemeral_stores_never_share_a_block() {
        let bases: Vec<_> = (0..8).map(|_| PortBase::ephemeral().unwrap()).collect();
        let distinct: std::collections::BTreeSet<_> = bases.iter().map(PortBase::get).collect();
        assert_eq!(distinct.len(), bases.len());
    }

    #[test]
    fn a_port_with_a_listener_is_in_use() {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(in_use(vec![port]), [port]);
    }
}
