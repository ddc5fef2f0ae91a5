//! What keeps other pages away from the console.
//!
//! A browser sends requests to this port for any page that asks for it, and tells where they come
//! from. The port answers the API only to its own page, or to a program that is no browser:
//! * `Host`: the port answers only to this machine's names, on whatever address it is
//!   (`service::http`), so that a page whose name was rebound to this port's address gets nothing.
//! * `Sec-Fetch-Site` must be `same-origin` or `none`, if it is present. (A page on another port of
//!   this machine is `same-site`.)
//! * `Origin` must be this port's own, if it is present.
//! * A control also needs a header that a form cannot send, and that a page of another origin can
//!   send only if this port allows it, which it never does.
//!
//! The page itself may load nothing from elsewhere, and no other page may frame it.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A control needs this header, with the value 1.
const CONTROL_HEADER: &str = "x-toystore-console";

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                                       connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Adds the headers that every response has.
pub(super) async fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses a request that a browser sends for another page.
pub(super) async fn only_this_page(request: Request, next: Next) -> Response {
    match foreign(request.headers(), request.uri()) {
        Some(what) => refusal(what),
        None => next.run(request).await,
    }
}

fn foreign(headers: &HeaderMap, uri: &Uri) -> Option<&'static str> {
    if headers.get("sec-fetch-site").is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none")) {
        return Some("this request comes from another page (Sec-Fetch-Site); open the console itself");
    }
    let origin = headers.get(header::ORIGIN)?;
    let host = uri.authority().map(|it| it.as_str().as_bytes());
    let host = host.or_else(|| headers.get(header::HOST).map(HeaderValue::as_bytes));
    let is_own = origin.as_bytes().strip_prefix(b"http://").is_some_and(|origin| Some(origin) == host);
    (!is_own).then_some("this request comes from another page (Origin); open the console itself")
}

/// Why a request may not control anything, if so. [`only_this_page`] comes before.
pub(super) fn refuse_control(headers: &HeaderMap) -> Option<Response> {
    if headers.get(CONTROL_HEADER).is_none_or(|value| value != "1") {
        return Some(refusal("a control needs the header X-Toystore-Console: 1, which only the console's page sends"));
    }
    let is_json = |value: &HeaderValue| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
    };
    if !headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
        let what = "a control must be JSON: send Content-Type: application/json";
        return Some(failure(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", what));
    }
    None
}

fn refusal(what: &str) -> Response {
    failure(StatusCode::FORBIDDEN, "forbidden", what)
}

/// A failure in the store's format. Its codes are the console's own: they are in no other API.
pub(super) fn failure(status: StatusCode, code: &str, message: &str) -> Response {
    (status, Json(json!({ "error": { "code": code, "message": message } }))).into_response()
}
