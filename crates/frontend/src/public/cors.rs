//! Cross-origin requests (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>): which pages
//! of other origins may call the REST API from a browser. None by default.
//!
//! The API has no cookies or other credentials, so an origin is allowed to do what any program can
//! do. The list is there because a browser may reach a store that other programs cannot reach.

use std::str::FromStr;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use service::http::ResponseFuture;

/// Request headers that a page may set. The others that the API knows need no permission.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static("content-type, idempotency-key, session-id, traceparent");

/// Response headers that a page may read.
const EXPOSED_HEADERS: HeaderValue = HeaderValue::from_static("idempotency-key, session-id, retry-after");

/// How long a browser may remember a preflight response, in seconds. Two hours is the most that
/// Chromium accepts.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("7200");

const ANY: &str = "*";

/// The most origins of a list. They are compared one by one for each request with an `Origin`.
const ORIGINS_MAX: usize = 32;

/// The origins whose pages may call the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// `*`.
    Any,
    /// Such as `https://shop.example`, each as browsers send it.
    Listed(Vec<HeaderValue>),
}

impl FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == ANY {
            return Ok(Self::Any);
        }
        let origins = text.split(',').map(|origin| {
            let origin = origin.trim();
            let is_valid = canonical_origin(origin).is_some_and(|canonical| canonical == origin);
            let value = is_valid.then(|| HeaderValue::from_str(origin).ok()).flatten();
            value.ok_or_else(|| {
                format!(
                    "{origin:?} is not an origin: * for all, or a list of http:// or https:// and a host in lower case, \
                     with a port if it is not the default one, such as https://shop.example,http://localhost:3000"
                )
            })
        });
        let origins = origins.collect::<Result<Vec<_>, _>>()?;
        if origins.len() > ORIGINS_MAX {
            return Err(format!("it has {} origins; at most {ORIGINS_MAX} are allowed", origins.len()));
        }
        Ok(Self::Listed(origins))
    }
}

/// The origin of a URL as browsers send it, if it has one.
fn canonical_origin(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (is_bare && matches!(url.scheme(), "http" | "https")).then(|| url.origin().ascii_serialization())
}

impl Origins {
    /// What the response to a request with these headers says, if its origin is allowed.
    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        match self {
            Self::Any => Some(HeaderValue::from_static(ANY)),
            Self::Listed(origins) => origins.contains(origin).then(|| origin.clone()),
        }
    }

    /// The response to a browser that asks whether a page may send a request. `methods` are those
    /// of the path.
    ///
    /// A page that may not gets the same response without permission, as the specification wants.
    pub(super) fn preflight(&self, request: &Request, methods: &[Method]) -> Option<Response> {
        let headers = request.headers();
        let asks = request.method() == Method::OPTIONS
            && headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !asks {
            return None;
        }
        let mut response = StatusCode::NO_CONTENT.into_response();
        if self.allowed(headers).is_some() {
            let methods = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            let methods = HeaderValue::try_from(methods).expect("methods are visible ASCII");
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
            response.headers_mut().insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
        }
        Some(response)
    }

    /// Adds to the response of a request that its page may read it, if that is so.
    pub(super) fn around(&self, request: Request, call: impl FnOnce(Request) -> ResponseFuture) -> ResponseFuture {
        let allowed = self.allowed(request.headers());
        let is_listed = matches!(self, Self::Listed(_));
        let add = move |mut response: Response| {
            let headers = response.headers_mut();
            if let Some(origin) = allowed {
                headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
            }
            if is_listed {
                headers.append(header::VARY, HeaderValue::from_static("origin"));
            }
            response
        };
        match call(request) {
            ResponseFuture::Ready(response) => ResponseFuture::Ready(add(response)),
            ResponseFuture::Pending(response) => ResponseFuture::pending(async move { add(response.await) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        let listed = |origins: &[&'static str]| {
            Origins::Listed(origins.iter().map(|origin| HeaderValue::from_static(origin)).collect())
        };
        assert_eq!(Origins::from_str(" * "), Ok(Origins::Any));
        let two = Origins::from_str("https://shop.example, http://localhost:3000");
        assert_eq!(two, Ok(listed(&["https://shop.example", "http://localhost:3000"])));
        assert_eq!(Origins::from_str("http://[::1]:8080"), Ok(listed(&["http://[::1]:8080"])));
        for wrong in [
            "",
            "shop.example",
            "https://shop.example/",
            "https://Shop.example",
            "https://shop.example:443",
            "https://shop.example/path",
            "ftp://shop.example",
            "null",
            "*, https://shop.example",
            "https://a.example,",
            "https://user@a.example",
        ] {
            assert!(Origins::from_str(wrong).is_err(), "{wrong:?}");
        }
        assert!(Origins::from_str(&vec!["https://a.example"; ORIGINS_MAX + 1].join(",")).is_err());
    }
}
