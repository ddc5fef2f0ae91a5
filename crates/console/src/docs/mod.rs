//! The documents that the page's explanations lead to, as pages of the console's own port: they
//! are in the binary, so the links work without a network, and fit the version that runs.
//!
//! The document in `docs/architecture.md` is served at `/docs/architecture`, so that relative links
//! between documents need no more than their extension removed. The other documents are for people
//! who have the repository: links to them become text that names the file.

mod frame;
mod markdown;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use service::http::{PathParam, not_found};

use markdown::Rendered;

/// A document.
#[derive(Clone, Copy, Debug)]
struct Document {
    /// Its path in `docs`, without its extension.
    name: &'static str,
    markdown: &'static str,
}

macro_rules! documents {
    ($($name:literal),* $(,)?) => {
        &[$(Document {
            name: $name,
            markdown: include_str!(concat!("../../../../docs/", $name, ".md")),
        }),*]
    };
}

/// All documents, in the order of the list on their pages.
const DOCUMENTS: &[Document] = documents![
    "architecture",
    "glossary",
    "operations",
    "lessons/README",
    "lessons/1-cache-and-leases",
    "lessons/2-invalidation-races",
    "lessons/3-elections",
    "lessons/4-split-brain-and-fencing",
    "lessons/5-exactly-once",
    "lessons/6-crash-recovery",
    "lessons/7-quorum-and-membership",
    "lessons/8-overload",
];

/// The document whose terms can be linked to, one by one.
const GLOSSARY: &str = "glossary";

fn find(name: &str) -> Option<&'static Document> {
    DOCUMENTS.iter().find(|document| document.name == name)
}

impl Document {
    fn render(&self) -> Rendered {
        markdown::render(self.name, self.markdown, self.name == GLOSSARY, |name| find(name).is_some())
    }
}

/// Handles `GET /docs/{name}`.
pub(crate) async fn document(PathParam(name): PathParam<String>) -> Response {
    let Some(document) = find(&name) else { return not_found(&format!("/docs/{name}")).into_response() };
    let page = frame::page(document.name, &document.render(), DOCUMENTS.iter().map(|it| (it.name, it.markdown)));
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        // Another version of the store may be at this address the next time.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, page).into_response()
}

#[cfg(test)]
mod tests;
