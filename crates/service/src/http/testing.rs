//! The routes of a router, for tests that go through all of them: a route that is added is then
//! tested, too.

use std::collections::BTreeSet;

use api::INTERNAL_TOKEN_HEADER;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use tower::ServiceExt;

use crate::Token;

/// Every path of `router`, as it was defined. axum shows them only in its debug format.
///
/// # Panics
/// If axum shows them differently; otherwise the tests would silently go through nothing.
pub fn paths(router: &Router) -> BTreeSet<String> {
    let debug = format!("{router:?}");
    let own = debug.split("fallback_router").next().unwrap_or_default();
    let found = own.split("RouteId(").filter_map(|rest| {
        let (number, rest) = rest.split_once("): \"")?;
        number.parse::<u32>().ok()?;
        rest.split_once('"').map(|(path, _)| path.to_owned())
    });
    let paths: BTreeSet<_> = found.collect();
    assert!(!paths.is_empty(), "no path was found in {debug}");
    paths
}

/// The paths of `router` that are open without `token`; these should be the health paths and no
/// others.
///
/// Tries every path with every method, without a token and with several wrong ones, and once with
/// the right one.
///
/// # Panics
/// If a path refuses the right token.
pub async fn open_without_token(router: &Router, token: &Token) -> BTreeSet<String> {
    let right = token.secret();
    let longer = format!("{right}x");
    let wrong = [None, Some(""), Some("x"), Some(&right[..right.len() - 1]), Some(&longer)];
    let mut open = BTreeSet::new();
    for path in paths(router) {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            for offered in wrong {
                if status(router, method, &path, offered).await != StatusCode::UNAUTHORIZED {
                    open.insert(path.clone());
                }
            }
        }
        // No handler supports this method, so the request has no effect.
        assert_ne!(status(router, "BREW", &path, Some(right)).await, StatusCode::UNAUTHORIZED, "{path}");
    }
    open
}

async fn status(router: &Router, method: &str, path: &str, token: Option<&str>) -> StatusCode {
    let request = Request::builder().method(method).uri(concrete(path));
    let request = token.into_iter().fold(request, |request, token| request.header(INTERNAL_TOKEN_HEADER, token));
    let request = request.body(Body::empty()).expect("a path is a URI, and a token is visible ASCII");
    router.clone().oneshot(request).await.expect("a router is infallible").status()
}

/// A path with a value for each of its parameters.
fn concrete(path: &str) -> String {
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { "1" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};

    use super::*;
    use crate::http::{ServerMetrics, guard, harden};

    #[test]
    fn every_path_is_found() {
        let inner = Router::new().route("/a", get(async || ()).post(async || ())).route("/a/{b}", post(async || ()));
        let router = harden(inner, ServerMetrics::new(&prometheus::Registry::new()).port("test"));
        assert_eq!(paths(router.router()), ["/a", "/a/{b}"].map(str::to_owned).into());
    }

    #[tokio::test]
    async fn an_unguarded_path_is_found() {
        let token = Token::new("a-long-secret").unwrap();
        let guarded = guard(Router::new().route("/a", get(async || ())), Some(token.clone()));
        let router = guarded.merge(Router::new().route("/b/{c}", post(async || ())));
        let router = harden(router, ServerMetrics::new(&prometheus::Registry::new()).port("test"));
        assert_eq!(open_without_token(router.router(), &token).await, BTreeSet::from(["/b/{c}".to_owned()]));
    }
}
