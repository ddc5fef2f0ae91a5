//! The console's port: the page, its data, and the controls.
//!
//! | request | response |
//! |---|---|
//! | `GET /` | the page |
//! | `GET /assets/{file}` | its modules, styles and icon, which are in the binary |
//! | `GET /docs/{name}` | the documents that it links to, which are in the binary, too |
//! | `GET /api/about` | what the page needs to know once |
//! | `GET /api/history` | the frames of the last ten minutes; the first one is complete |
//! | `GET /api/feed?after=N` | Server-Sent Events: the frames after number `N`, then each new one |
//! | `POST /api/control` | does what a person clicked; only for a page from this port on loopback |
//! | `GET /healthz`, `/readyz`, `/metrics` | as on every port |
//!
//! The port needs no token: it is on loopback unless `BIND_HOST` says otherwise, and changes
//! nothing unless its process owns the store. See [`security`] for what keeps other pages out.

mod controls;
mod desk;
mod feed;
mod page;
mod security;
mod state;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use futures::stream;
use serde::Serialize;
use service::health::{self, Readiness};
use service::http::{Limits, ServerMetrics, Service, harden};

use crate::docs;
use crate::history::KEPT_MS;
use crate::hub::FRAME_INTERVAL;
pub(crate) use desk::ControlDesk;
pub(crate) use state::ConsoleServer;

/// The most open connections: a page has a few.
const CONNECTIONS_MAX: usize = 128;

/// The answer of `GET /api/about`.
#[derive(Debug, Serialize)]
struct About {
    version: &'static str,
    controls: bool,
    products: Vec<String>,
    store: Option<String>,
    keep_s: u64,
    frame_ms: u64,
}

impl ConsoleServer {
    /// The limits of the port.
    pub(crate) fn limits() -> Limits {
        Limits { connections_max: CONNECTIONS_MAX, ..Limits::default() }
    }

    /// Answers all requests of the port.
    pub(crate) fn into_service(self) -> Service {
        let registry = service::metrics::registry("console");
        let readiness = Readiness::not_yet("starting");
        readiness.ready();
        let port = ServerMetrics::new(&registry).port("console");
        let api = Router::new()
            .route("/api/about", get(about))
            .route("/api/history", get(history))
            .route("/api/feed", get(feed::feed))
            .route("/api/control", post(controls::control))
            .layer(middleware::from_fn(security::only_this_page))
            .with_state(self);
        let pages = Router::new()
            .route("/", get(page::index))
            .route("/assets/{file}", get(page::asset))
            .route("/docs/{*name}", get(docs::document));
        let service = harden(api.merge(pages).merge(health::routes(readiness, registry)), port);
        // Outside of everything else, so that failures have the headers, too.
        service.router().clone().layer(middleware::map_response(security::with_headers)).into()
    }
}

async fn about(State(server): State<ConsoleServer>) -> Response {
    let products = {
        let history = server.frames.history();
        let stock = history.current().processes.iter().find_map(|process| process.stock.clone());
        stock.unwrap_or_default().into_iter().map(|line| line.name).collect()
    };
    axum::Json(About {
        version: env!("CARGO_PKG_VERSION"),
        controls: server.controls.is_some(),
        products,
        store: server.store_url,
        keep_s: KEPT_MS / 1000,
        frame_ms: u64::try_from(FRAME_INTERVAL.as_millis()).expect("it is short"),
    })
    .into_response()
}

async fn history(State(server): State<ConsoleServer>) -> Response {
    let frames = server.frames.history().all();
    // The frames are not copied: all pages share their bytes.
    let mut pieces = Vec::with_capacity(2 * frames.len() + 2);
    pieces.push(Bytes::from_static(b"{\"frames\":["));
    for (n, frame) in frames.into_iter().enumerate() {
        if n > 0 {
            pieces.push(Bytes::from_static(b","));
        }
        pieces.push(frame);
    }
    pieces.push(Bytes::from_static(b"]}"));
    let body = Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, std::convert::Infallible>)));
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

#[cfg(test)]
mod tests;
