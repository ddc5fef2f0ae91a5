//! `GET /` of a person who follows the store's address in a browser: a page that says what this is.
//!
//! Only a request that prefers HTML gets it. To programs, `/` is a path that does not exist, as
//! before, so it is not in the [document](crate::openapi).

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};

const PAGE: &str = include_str!("welcome.html");

/// The page loads nothing, and no other page may frame it.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// Whether a request is that of a browser for `/`.
pub(super) fn is_wanted(request: &Request) -> bool {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    is_read && request.uri().path() == "/" && prefers_html(request.headers())
}

/// The page.
pub(super) fn response() -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::VARY, HeaderValue::from_static("accept")),
    ];
    (headers, PAGE).into_response()
}

/// Whether `Accept` (RFC 9110 §12.5.1) has a higher weight for HTML than for JSON.
fn prefers_html(headers: &HeaderMap) -> bool {
    let ranges: Vec<_> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(media_range)
        .collect();
    // The most specific range counts.
    let weight = |names: [&str; 3]| {
        let of = |name: &str| ranges.iter().find(|(range, _)| range.eq_ignore_ascii_case(name)).map(|(_, q)| *q);
        names.into_iter().find_map(of).unwrap_or(0.0)
    };
    weight(["text/html", "text/*", "*/*"]) > weight(["application/json", "application/*", "*/*"])
}

/// A media range and its weight. One that cannot be read has no weight.
fn media_range(text: &str) -> (&str, f32) {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().unwrap_or_default();
    let q = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    (range, q.map_or(1.0, |q| q.parse().unwrap_or(0.0)))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn wanted(method: Method, path: &str, accept: &str) -> bool {
        let request = Request::builder().method(method).uri(path).header("accept", accept).body(Body::empty());
        is_wanted(&request.unwrap())
    }

    #[test]
    fn only_a_browser_that_follows_the_address_gets_the_page() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        assert!(wanted(Method::GET, "/", browser) && wanted(Method::HEAD, "/", "Text/HTML"));
        assert!(wanted(Method::GET, "/", "application/json;q=0.5, text/*"));
        for accept in
            ["*/*", "", "application/json", "text/html;q=0.5, application/json", "text/html;q=0, */*", "text/html;q=x"]
        {
            assert!(!wanted(Method::GET, "/", accept), "{accept}");
        }
        assert!(!wanted(Method::POST, "/", browser) && !wanted(Method::GET, "/orders", browser));
        let without = Request::get("/").body(Body::empty()).unwrap();
        assert!(!is_wanted(&without));
    }
}
