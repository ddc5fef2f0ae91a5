//! What a router answers to, for tests that go through all of its routes: so a route that is added is tested, too.

use std::collections::{BTreeMap, BTreeSet};

use api::INTERNAL_TOKEN_HEADER;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use tower::ServiceExt;

use crate::Token;

/// Every path of `router`, as it was given, and the methods that it takes.
///
/// axum tells the paths in its debug format alone, and the methods of a path in answer to one that it does not take.
///
/// # Panics
/// If axum tells them in another way: the tests would go through nothing.
pub async fn routes(router: &Router) -> BTreeMap<String, BTreeSet<Method>> {
    let mut found = BTreeMap::new();
    for path in paths(router) {
        let request = Request::builder().method("BREW").uri(concrete(&path)).body(Body::empty());
        let answer = router.clone().oneshot(request.expect("a path is a URI")).await.expect("a router is infallible");
        let allowed = answer.headers().get(header::ALLOW).and_then(|allowed| allowed.to_str().ok());
        let methods = allowed.unwrap_or_default().split(',').filter_map(|method| method.trim().parse().ok()).collect();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert!(allowed.is_some_and(|allowed| !allowed.is_empty()), "{path} does not say which methods it takes");
        found.insert(path, methods);
    }
    found
}

/// Every path of `router`.
///
/// # Panics
/// See [`routes`].
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

/// The paths of `router` that answer to someone who does not have `token`: the health paths, it is hoped, and no others.
///
/// Tries every path with every method, without a token and with several wrong ones; and once with the right one.
///
/// # Panics
/// If a path refuses the right token.
pub async fn open_to_strangers(router: &Router, token: &Token) -> BTreeSet<String> {
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
        // No handler takes this method, so nothing comes of it.
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

/// A path with something for each of its parameters.
pub fn concrete(path: &str) -> String {
    let segments = path.split('/').map(|segment| if segment.starts_with('{') { "1" } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};

    use super::*;
    use crate::http::{RequestMetrics, guard, harden};

    #[tokio::test]
    async fn every_path_and_method_is_found() {
        let inner = Router::new().route("/a", get(async || ()).post(async || ())).route("/a/{b}", post(async || ()));
        let router = harden(inner, RequestMetrics::new(&prometheus::Registry::new()).port("test"));
        let found = routes(&router).await;
        assert_eq!(found.keys().collect::<Vec<_>>(), ["/a", "/a/{b}"]);
        assert_eq!(found["/a"], BTreeSet::from([Method::GET, Method::HEAD, Method::POST]));
        assert_eq!(found["/a/{b}"], BTreeSet::from([Method::POST]));
    }
    #[tokio::test]
    async fn an_unguarded_path_is_found() {
        let token = Token::new("a-long-secret").unwrap();
        let guarded = guard(Router::new().route("/a", get(async || ())), Some(token.clone()));
        let router = guarded.merge(Router::new().route("/b/{c}", post(async || ())));
        let router = harden(router, RequestMetrics::new(&prometheus::Registry::new()).port("test"));
        assert_eq!(open_to_strangers(&router, &token).await, BTreeSet::from(["/b/{c}".to_owned()]));
    }
}
