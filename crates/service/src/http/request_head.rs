//! Checks of a request's head (RFC 9110, RFC 9112).
//!
//! hyper refuses what it cannot parse: a request that is not HTTP, a header without a name,
//! contradictory lengths, a transfer coding that does not end in `chunked`. It closes the
//! connection after a request with both a length and a transfer coding. This module refuses what
//! hyper lets through although a server must refuse it.

use std::sync::OnceLock;

use api::ErrorCode;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};

use super::json_response::ErrorResponse;

/// The only expectation that HTTP defines (RFC 9110 §10.1.1).
const CONTINUE: &str = "100-continue";

/// A head that is valid.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValidHead {
    /// Whether the client may wait for an interim response before it sends the body.
    pub(super) expects_continue: bool,
}

/// The first `Host` of a connection that was accepted. Clients hardly ever change it, so the
/// requests that follow are only compared with it.
#[derive(Debug, Default)]
pub(super) struct KnownHost(OnceLock<HeaderValue>);

impl KnownHost {
    /// Whether the request names this host, and no other in its URL.
    pub(super) fn is_host_of<B>(&self, request: &Request<B>) -> bool {
        let Some(known) = self.0.get() else { return false };
        request.uri().authority().is_none() && request.headers().get(header::HOST) == Some(known)
    }

    /// The request's `Host` was accepted.
    pub(super) fn accept<B>(&self, request: &Request<B>) {
        if let Some(host) = request.headers().get(header::HOST).filter(|_| request.uri().authority().is_none()) {
            self.0.get_or_init(|| host.clone());
        }
    }
}

/// Refuses an invalid head. The connection must be closed after a refusal, because the next request
/// may not begin where it seems to. `is_host_known`: the first `Host` need not be checked.
pub(super) fn check<B>(request: &Request<B>, is_host_known: bool) -> Result<ValidHead, ErrorResponse> {
    check_target(request.method(), request.uri())?;
    check_host(request.version(), request.headers(), is_host_known)?;
    check_codings(request.headers())?;
    let expects_continue = request.headers().contains_key(header::EXPECT);
    if expects_continue && request.version() >= Version::HTTP_11 {
        check_expectation(request.headers())?;
    }
    Ok(ValidHead { expects_continue })
}

fn bad(what: &'static str) -> ErrorResponse {
    ErrorResponse::new(ErrorCode::BadRequest, what)
}

/// The target must be a path, or a URL as sent to proxies (RFC 9112 §3.2).
fn check_target(method: &Method, target: &Uri) -> Result<(), ErrorResponse> {
    if *method == Method::CONNECT {
        return Err(ErrorResponse::new(
            ErrorCode::NotImplemented,
            "this server is not a proxy and does not support CONNECT",
        ));
    }
    match (target.scheme_str(), target.authority()) {
        (None, None) if target.path().starts_with('/') => Ok(()),
        (None, None) if target.path() == "*" && *method == Method::OPTIONS => Ok(()),
        (Some("http" | "https"), Some(authority)) if is_host(authority.as_str().as_bytes()) => Ok(()),
        (Some("http" | "https"), _) => Err(bad("the URL in the request line has no valid host")),
        _ => Err(bad("the request line must name a path, or a URL that begins with http:// or https://")),
    }
}

/// A request must have exactly one `Host` (RFC 9112 §3.2); in HTTP/1.0 it is optional.
fn check_host(version: Version, headers: &HeaderMap, is_known: bool) -> Result<(), ErrorResponse> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version < Version::HTTP_11 => Ok(()),
        (None, _) => Err(bad("the Host header is missing; HTTP/1.1 requires it")),
        (Some(_), Some(_)) => Err(bad("the request has more than one Host header")),
        (Some(host), None) if is_known || host.is_empty() || is_host(host.as_bytes()) => Ok(()),
        (Some(_), None) => Err(bad("the Host header must be a host name or an address, optionally with a port")),
    }
}

/// The only transfer coding is `chunked`. The server would mistake any other coding for the body
/// (RFC 9112 §6.1).
fn check_codings(headers: &HeaderMap) -> Result<(), ErrorResponse> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |coding: &HeaderValue| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if is_chunked(coding) => Ok(()),
        _ => Err(ErrorResponse::new(ErrorCode::NotImplemented, "the only supported Transfer-Encoding is chunked")),
    }
}

fn check_expectation(headers: &HeaderMap) -> Result<(), ErrorResponse> {
    let met = headers.get_all(header::EXPECT).iter().all(|expected| {
        expected
            .to_str()
            .is_ok_and(|expected| expected.split(',').all(|member| member.trim().eq_ignore_ascii_case(CONTINUE)))
    });
    let unmet = || ErrorResponse::new(ErrorCode::ExpectationFailed, "the only supported Expect is 100-continue");
    met.then_some(()).ok_or_else(unmet)
}

/// The host that the client asked for, without its port: that of the URL in the request line, if
/// it has one (RFC 9112 §3.2.2), or of the `Host` header. `None` if neither names one.
pub(super) fn host<B>(request: &Request<B>) -> Option<&str> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.host());
    }
    let text = request.headers().get(header::HOST)?.to_str().ok()?;
    let (host, _) = text.split_at(host_bytes(text.as_bytes()));
    (!host.is_empty()).then_some(host)
}

/// The length of the host in a text that is one, optionally with a port.
fn host_bytes(text: &[u8]) -> usize {
    match text.iter().position(|byte| *byte == b']') {
        Some(end) => end + 1,
        None => text.iter().position(|byte| *byte == b':').unwrap_or(text.len()),
    }
}

/// `uri-host [":" port]` of RFC 3986 §3.2: not empty, and without user name and password.
fn is_host(text: &[u8]) -> bool {
    let (host, port) = text.split_at(host_bytes(text));
    let is_host = match host {
        [b'[', address @ .., b']'] => !address.is_empty() && address.iter().all(|byte| is_address(*byte)),
        name => !name.is_empty() && is_name(name),
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_host && is_port
}

/// A character of an IPv6 address or of a future address format.
fn is_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b":.".contains(&byte)
}

/// `reg-name` of RFC 3986: unreserved or percent-encoded characters and sub-delimiters.
fn is_name(name: &[u8]) -> bool {
    let mut rest = name;
    while let [byte, after @ ..] = rest {
        rest = match (byte, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => after,
            (byte, after) if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte) => after,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_host;

    #[test]
    fn hosts() {
        for good in ["localhost", "127.0.0.1:1110", "[::1]", "[::1]:80", "toystore.shop.svc.", "a_b", "x:", "gr%C3%BCn"]
        {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":80", "a b", "a/b", "a@b", "a:b", "a:123456", "a:1:2", "::1", "[::1", "[]", "[x]y", "a,b c", "ü",
            "%zz", "<a>",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
