//! Which `Host` names a port on the loopback interface answers to.
//!
//! A browser lets a page talk to the host it came from. With *DNS rebinding*, the name of this host
//! gets the address 127.0.0.1 afterwards, and the page talks to whatever listens on the reader's
//! own machine: it could read `/status`, place orders or remove members. The `Host` header still
//! has the page's name, which gives the attack away. So a port on the loopback interface answers
//! only to names that no page can have.
//!
//! A port on any other address is meant for other machines, which use names that this process
//! cannot know. An exception is the console: it is for a person's own machine, even where it is
//! bound to all addresses of a container.

use std::net::IpAddr;

use api::{ApiError, ErrorCode};
use axum::extract::Request;

use super::request_head;

/// The check of one port.
#[derive(Clone, Debug, Default)]
pub(super) struct HostCheck {
    /// The names that the port answers to in addition to this machine's own; `None` if it answers
    /// to all names.
    names: Option<Vec<String>>,
}

impl HostCheck {
    /// The check of a port that other processes call by `names`. `is_local`: it is for clients that
    /// use names of this machine.
    pub(super) fn new(is_local: bool, names: Vec<String>) -> Self {
        Self { names: is_local.then_some(names) }
    }

    /// Why the request is refused, if it is. A request without a `Host` does not come from a
    /// browser.
    pub(super) fn refuse(&self, request: &Request) -> Option<ApiError> {
        let names = self.names.as_ref()?;
        let host = request_head::host(request)?;
        if is_this_machine(host) || names.iter().any(|name| name.eq_ignore_ascii_case(host)) {
            return None;
        }
        let what = format!("this port answers to localhost, not to {host:?}");
        Some(ApiError::new(ErrorCode::WrongHost, what))
    }
}

/// Whether the host is a loopback address or `localhost`. No page can have such a host: browsers
/// never look `localhost` up.
fn is_this_machine(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().map_or_else(
        |_| host.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
        |address| address.to_canonical().is_loopback(),
    )
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn refused(bound: &str, host: &str) -> bool {
        let is_local = bound.parse::<IpAddr>().unwrap().to_canonical().is_loopback();
        let check = HostCheck::new(is_local, vec!["shop.local".to_owned()]);
        let direct = Request::get("/").header("host", host).body(Body::empty()).unwrap();
        let proxied = Request::get(format!("http://{host}/")).header("host", "localhost").body(Body::empty()).unwrap();
        let refusals = [direct, proxied].map(|request| check.refuse(&request).is_some());
        assert_eq!(refusals[0], refusals[1], "{host}");
        refusals[0]
    }

    #[test]
    fn a_loopback_port_answers_only_to_names_of_this_machine() {
        for own in ["localhost", "LOCALHOST:1110", "127.0.0.1:1110", "127.1.2.3", "[::1]:1110", "shop.local:1110"] {
            assert!(!refused("127.0.0.1", own), "{own}");
            assert!(!refused("::1", own), "{own}");
        }
        for other in
            ["evil.example", "evil.example:1110", "localhost.evil.example", "192.0.2.1:1110", "127.0.0.1.nip.io"]
        {
            assert!(refused("127.0.0.1", other), "{other}");
            assert!(refused("::1", other), "{other}");
            assert!(!refused("0.0.0.0", other) && !refused("::", other), "{other}: other machines use this port");
        }
        let without = Request::get("/").body(Body::empty()).unwrap();
        assert_eq!(HostCheck::new(true, Vec::new()).refuse(&without), None);
    }
}
