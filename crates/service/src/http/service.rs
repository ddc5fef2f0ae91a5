//! The service of a port, which answers its requests: a router, or one function.
//!
//! Routing a request and passing it through the middleware costs more than looking up a cached
//! product: half of the time that the frontend needed for a cached product (`bench`, P1;
//! some forty allocations, two of them of 12 KiB). So the public port has one function instead of a
//! router. It may answer at once, without a future.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use futures::future::BoxFuture;

use super::server_metrics::{PortMetrics, UNKNOWN_ROUTE};
use super::unread_responses::UnreadResponses;

/// The response to a request, which may be ready at once.
pub enum ResponseFuture {
    /// The response.
    Ready(Response),
    /// A response that is still being computed.
    Pending(BoxFuture<'static, Response>),
}

impl ResponseFuture {
    /// The output of `response`.
    pub fn pending(response: impl Future<Output = Response> + Send + 'static) -> Self {
        Self::Pending(Box::pin(response))
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(response) => f.debug_tuple("Ready").field(response).finish(),
            Self::Pending(_) => f.write_str("Pending"),
        }
    }
}

/// Answers all requests of a port.
pub(super) type Handler = dyn Fn(Request) -> ResponseFuture + Send + Sync;

/// Answers the requests of a port. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    /// With a handler, this router only calls it.
    router: Router,
    handler: Option<Arc<Handler>>,
    metrics: Option<PortMetrics>,
}

impl From<Router> for Service {
    /// Without metrics of its own.
    fn from(router: Router) -> Self {
        Self { router, handler: None, metrics: None }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("router", &self.router).field("metrics", &self.metrics).finish_non_exhaustive()
    }
}

impl Service {
    /// A router that counts its own requests in `metrics`. Requests that are refused before routing
    /// are counted there, too.
    pub(super) fn counted(router: Router, metrics: PortMetrics) -> Self {
        Self { router, handler: None, metrics: Some(metrics) }
    }

    /// A function that answers all requests and counts them in `metrics`, see
    /// [`PortMetrics::observe`]. It must not block. Requests that are refused before it sees them
    /// are counted there, too.
    pub fn handler(metrics: PortMetrics, handler: impl Fn(Request) -> ResponseFuture + Send + Sync + 'static) -> Self {
        let handler: Arc<Handler> = Arc::new(handler);
        let called = Arc::clone(&handler);
        let router = Router::new().fallback(move |request: Request| {
            let response = called(request);
            async move {
                match response {
                    ResponseFuture::Ready(response) => response,
                    ResponseFuture::Pending(response) => response.await,
                }
            }
        });
        Self { router, handler: Some(handler), metrics: Some(metrics) }
    }

    /// A router that answers all requests.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// The function to call instead of the router, if there is one.
    pub(super) fn direct(&self) -> Option<&Handler> {
        self.handler.as_deref()
    }

    /// Counts a request that was refused before it was routed.
    pub(super) fn refused<B>(&self, request: &axum::http::Request<B>, refusal: &Response) {
        if let Some(metrics) = &self.metrics {
            metrics.answered(UNKNOWN_ROUTE, request.method().as_str(), refusal.status()).observe(0.0);
        }
    }

    /// The responses of this port that wait for their clients to read them.
    pub(super) fn unread(&self, bytes_max: usize) -> UnreadResponses {
        UnreadResponses::new(bytes_max, self.metrics.as_ref().map(PortMetrics::unread))
    }
}
