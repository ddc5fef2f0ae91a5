//! The short way: requests that need not go through the router.
//!
//! To route a request, and to lead it through its middleware, costs more than to look up what was asked a moment ago: half of what an
//! answer from the frontend's cache took (`loadtest/bench`, P1; some forty allocations, two of them of 12 KiB). So a port may have one
//! function that sees each request first, and takes those that are plain. What it does not take goes on as if it had not been there.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use futures::future::BoxFuture;

/// What becomes of a request.
#[derive(Debug)]
pub enum Taken {
    /// Its answer is at hand.
    Answered(Response),
    /// It is being answered.
    UnderWay(Answering),
    /// It goes through the router.
    Not(Request),
}

/// An answer to come.
pub struct Answering(BoxFuture<'static, Response>);

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answering")
    }
}

impl Taken {
    /// `answer` will be its answer.
    pub fn under_way(answer: impl Future<Output = Response> + Send + 'static) -> Self {
        Self::UnderWay(Answering(Box::pin(answer)))
    }
}

impl Answering {
    pub(super) fn into_future(self) -> BoxFuture<'static, Response> {
        self.0
    }
}

type Take = dyn Fn(Request) -> Taken + Send + Sync;

/// Takes some requests. Clones are the same.
#[derive(Clone)]
pub struct Shortcut(Arc<Take>);

impl Shortcut {
    /// `take` must not block, and counts the requests that it takes itself (see [`PortMetrics::answered`](super::PortMetrics::answered)).
    pub fn new(take: impl Fn(Request) -> Taken + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    pub(super) fn take(&self, request: Request) -> Taken {
        (self.0)(request)
    }
}

impl fmt::Debug for Shortcut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shortcut")
    }
}

/// What answers the requests of a port.
#[derive(Clone, Debug)]
pub struct Service {
    pub(super) router: Router,
    pub(super) shortcut: Option<Shortcut>,
}

impl From<Router> for Service {
    fn from(router: Router) -> Self {
        Self { router, shortcut: None }
    }
}

impl Service {
    /// A router with a shortcut past it.
    pub fn with_shortcut(router: Router, shortcut: Shortcut) -> Self {
        Self { router, shortcut: Some(shortcut) }
    }

    /// What becomes of a request on the short way.
    pub(super) fn take(&self, request: Request) -> Taken {
        match &self.shortcut {
            Some(shortcut) => shortcut.take(request),
            None => Taken::Not(request),
        }
    }

    /// The same as a router alone.
    pub(super) fn into_router(self) -> Router {
        let Some(shortcut) = self.shortcut else { return self.router };
        self.router.layer(from_fn(move |request: Request, next: Next| {
            let taken = shortcut.take(request);
            async move {
                match taken {
                    Taken::Answered(answer) => answer,
                    Taken::UnderWay(answer) => answer.into_future().await,
                    Taken::Not(request) => next.run(request).await,
                }
            }
        }))
    }
}
