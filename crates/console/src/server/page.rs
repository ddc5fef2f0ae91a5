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
    let Some(file) = PAGE.get_file(name).filter(|_| !name.contains('/')) else {
        return not_found(path).into_response();
    };
    let content_type = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    };
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        // Another version of the store may be at this address the next time.
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, file.contents()).into_response()
}
