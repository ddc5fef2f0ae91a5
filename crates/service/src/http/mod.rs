//! Serving HTTP with bounds: connections, header and body sizes, time for each.
//!
//! [`serve`] runs an axum router over an accept loop of our own, because the bounds live below axum. [`Body`] and
//! [`Reply`] are JSON in and out; every failure is a [`Failure`], so that no path answers with anything but the
//! store's own error format. [`harden`] puts on a router what every port needs.

mod body;
mod calls;
mod client;
mod connections;
mod linger;
mod pace;
mod reply;
mod server;
mod shortcut;
mod stall;
mod stream;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod track;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use api::{ErrorCode, INTERNAL_TOKEN_HEADER};

pub use body::{BODY_BYTES_MAX, Body, PathParam, QueryParams, RawBody};
pub use calls::CallMetrics;
pub use client::{Client, ClientOptions, Outgoing, Payload, SendError};
pub use reply::{Failure, Reply, data};
pub use server::{Limits, Listener, serve};
pub use shortcut::{Answering, Service, Shortcut, Taken};
pub use track::{PortMetrics, RequestMetrics};

use crate::Token;

/// What every port of the store has: the body bound, errors in the store's format for unknown paths and methods, and request metrics.
pub fn harden(routes: Router, metrics: PortMetrics) -> Router {
    routes
        .fallback(async |request: Request| {
            Failure::new(ErrorCode::NotFound, format!("there is no {}", request.uri().path()))
        })
        .method_not_allowed_fallback(method_not_allowed)
        // In one: each layer boxes every request's way once more.
        .layer((middleware::from_fn_with_state(metrics, track::track), DefaultBodyLimit::max(BODY_BYTES_MAX)))
}

/// Lets only requests with the token pass, if there is one. For internal ports; health and metrics stay outside.
pub fn guard(routes: Router, token: Option<Token>) -> Router {
    match token {
        // A stranger is not even told which methods there are: that answer, too, must be there before the layer around it.
        Some(token) => routes
            .method_not_allowed_fallback(method_not_allowed)
            .layer(middleware::from_fn_with_state(token, check_token)),
        None => routes,
    }
}

async fn method_not_allowed(request: Request) -> Failure {
    let what = format!("{} does not take {}", request.uri().path(), request.method());
    Failure::new(ErrorCode::MethodNotAllowed, what)
}

async fn check_token(State(token): State<Token>, request: Request, next: Next) -> Response {
    match request.headers().get(INTERNAL_TOKEN_HEADER) {
        Some(offered) if token.matches(offered.as_bytes()) => next.run(request).await,
        _ => Failure::new(ErrorCode::Unauthorized, "this port wants the internal token").into_response(),
    }
}
