//! What every port has around its routes: limits, errors in the store's format, metrics, and the
//! internal token.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use api::{ErrorCode, INTERNAL_TOKEN_HEADER};

use super::body::{BODY_BYTES_MAX, body_limit};
use super::json_response::ErrorResponse;
use super::server_metrics::{self, PortMetrics};
use super::service::Service;
use crate::Token;

/// Adds what every port of the store has: the limit of body sizes, errors in the store's format for
/// unknown paths and methods, request metrics, and limits for the classes of requests that could
/// keep others from being answered.
pub fn harden(routes: Router, metrics: PortMetrics) -> Service {
    // In one layer, because each layer boxes the future of every request once more.
    let layers = (middleware::from_fn_with_state(metrics.clone(), server_metrics::count), body_limit(BODY_BYTES_MAX));
    let unknown = async |request: Request| not_found(request.uri().path());
    let hardened = routes.fallback(unknown).method_not_allowed_fallback(wrong_method).layer(layers);
    Service::counted(hardened, metrics)
}

/// Refuses requests without the token, if there is one. For internal ports; the health and metrics
/// paths are merged afterwards and stay open.
pub fn guard(routes: Router, token: Option<Token>) -> Router {
    match token {
        // A client without the token must not even learn the methods of a path, so this fallback is
        // added before the layer that checks the token.
        Some(token) => {
            routes.method_not_allowed_fallback(wrong_method).layer(middleware::from_fn_with_state(token, check_token))
        }
        None => routes,
    }
}

/// The failure of a request for an unknown path.
pub fn not_found(path: &str) -> ErrorResponse {
    ErrorResponse::new(ErrorCode::NotFound, format!("there is no {path}"))
}

/// The response to a method that the path does not support; `allow` are those that it supports.
pub fn method_not_allowed(path: &str, method: &Method, allow: &[Method]) -> Response {
    let allow: Vec<_> = allow.iter().map(Method::as_str).collect();
    let allow = HeaderValue::try_from(allow.join(",")).expect("a method is visible ASCII");
    ([(header::ALLOW, allow)], method_failure(path, method)).into_response()
}

fn method_failure(path: &str, method: &Method) -> ErrorResponse {
    ErrorResponse::new(ErrorCode::MethodNotAllowed, format!("{path} does not support {method}"))
}

/// The same for a router, which adds `Allow` by itself.
async fn wrong_method(request: Request) -> ErrorResponse {
    method_failure(request.uri().path(), request.method())
}

async fn check_token(State(token): State<Token>, request: Request, next: Next) -> Response {
    match request.headers().get(INTERNAL_TOKEN_HEADER) {
        Some(offered) if token.matches(offered.as_bytes()) => next.run(request).await,
        _ => ErrorResponse::new(ErrorCode::Unauthorized, "this port requires the internal token").into_response(),
    }
}
