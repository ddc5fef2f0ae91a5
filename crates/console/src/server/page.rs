//! The page's files, which are in the binary.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use include_dir::{Dir, include_dir};
use service::http::{PathParam, not_found};

static PAGE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/page");

/// Handles `GET /`.
pub(super) async fn index() -> Response {
    file("index.html", "/")
}

/// Handles `GET /assets/{file}`. Files in directories, such as tests, are not served.
pub(super) async fn asset(PathParam(name): PathParam<String>) -> Response {
    file(&name, &format!("/assets/{name}"))
}

fn file(name: &str, path: &str) -> Response {
    let content_type = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => Some("text/html; charset=utf-8"),
        Some("js") => Some("text/javascript; charset=utf-8"),
        Some("css") => Some("text/css; charset=utf-8"),
        Some("svg") => Some("image/svg+xml"),
        // Others are for people who work on the page.
        _ => None,
    };
    let found = PAGE.get_file(name).filter(|_| !name.contains('/'));
    let Some((file, content_type)) = found.zip(content_type) else {
        return not_found(path).into_response();
    };
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        // Another version of the store may be at this address the next time.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, file.contents()).into_response()
}
