//! Verifies that a new lease holder is at the address that it claims.
//!
//! The catalog calls whatever address a lease names, and every change waits for that holder. So the
//! first lease of a holder requires that:
//!
//! * the address belongs to the machine that the request came from;
//! * the process that answers there says that it is this holder.
//!
//! So no client can make the catalog call a third party, and a holder that cannot be reached delays
//! no change. Renewals are not verified again: a holder that does not confirm an invalidation gets
//! no renewal.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use api::catalog::LeaseRequest;
use api::frontend::{INVALIDATION_PATH, Invalidate};
use api::{Address, ApiError, ErrorCode};
use serde::de::IgnoredAny;
use service::json_client::JsonClient;
use tokio::time::timeout;

/// For one question. A frontend answers from memory, and its own timeout for a lease request is
/// 400 ms.
const TIMEOUT: Duration = Duration::from_millis(300);

/// Where a request came from; `None` in a simulated world, whose network has no addresses.
pub(crate) type RequestSource = Option<IpAddr>;

/// Asks new holders, and knows what loopback means here.
#[derive(Clone, Debug)]
pub(crate) struct HolderVerifier {
    pub(crate) client: JsonClient,
    /// Whether everything that arrives over loopback is a process of this machine. In a cluster it
    /// may be the proxy of a service mesh, which forwards for others.
    pub(crate) loopback_is_this_machine: bool,
}

impl HolderVerifier {
    /// Fails if the holder is not at its address.
    pub(crate) async fn verify(&self, request: &LeaseRequest, source: RequestSource) -> Result<(), ApiError> {
        let LeaseRequest { holder, address } = request;
        if let Some(source) = source.map(|source| source.to_canonical())
            && !self.is_own(address, source, TIMEOUT).await
        {
            let what = format!(
                "a lease is granted only to the process that requests it: {address} is not an address of {source}, \
                 where the request came from (check FRONT_HOST)"
            );
            return Err(ApiError::new(ErrorCode::BadRequest, what));
        }
        let question = Invalidate { holder: *holder, products: Vec::new() };
        let asked = self.client.delete::<_, IgnoredAny>(address, INVALIDATION_PATH, Some(&question), TIMEOUT).await;
        asked.map(drop).map_err(|error| {
            ApiError::new(
                ErrorCode::BadRequest,
                format!("the holder does not answer at {address} (check FRONT_HOST): {error}"),
            )
        })
    }

    /// Whether the address belongs to the machine `source`. A name must be resolved `within` that
    /// time.
    async fn is_own(&self, address: &Address, source: IpAddr, within: Duration) -> bool {
        if source.is_loopback() && !self.loopback_is_this_machine {
            return true;
        }
        let fits = |at: IpAddr| {
            let at = at.to_canonical();
            // A process that connects over loopback may name any address of this machine: one that
            // can be bound.
            at == source || (source.is_loopback() && (at.is_loopback() || UdpSocket::bind((at, 0)).is_ok()))
        };
        if let Ok(at) = address.host().parse::<IpAddr>() {
            return fits(at);
        }
        let found = timeout(within, tokio::net::lookup_host((address.host(), 0))).await;
        found.is_ok_and(|found| found.is_ok_and(|mut found| found.any(|at| fits(at.ip()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_holder_must_name_its_own_address() {
        let verifier = HolderVerifier { client: JsonClient::new(None), loopback_is_this_machine: true };
        // Far longer than it takes to resolve the name of this machine.
        let long = Duration::from_mins(1);
        let is_own = async |host: &str, source: &str| {
            verifier.is_own(&Address::new(host, 1111), source.parse().unwrap(), long).await
        };
        for (host, source) in [
            ("127.0.0.1", "127.0.0.1"),
            ("localhost", "127.0.0.1"),
            ("::1", "127.0.0.1"),
            ("10.0.0.7", "10.0.0.7"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
        ] {
            assert!(is_own(host, source).await, "{host} from {source}");
        }
        for (host, source) in [
            ("192.0.2.1", "127.0.0.1"),
            ("10.0.0.8", "10.0.0.7"),
            ("127.0.0.1", "10.0.0.7"),
            ("localhost", "10.0.0.7"),
            ("no-such-host.invalid", "127.0.0.1"),
        ] {
            assert!(!is_own(host, source).await, "{host} from {source}");
        }
        let with_a_mesh = HolderVerifier { loopback_is_this_machine: false, ..verifier };
        assert!(with_a_mesh.is_own(&Address::new("10.0.0.8", 1), "127.0.0.6".parse().unwrap(), TIMEOUT).await);
    }
}
