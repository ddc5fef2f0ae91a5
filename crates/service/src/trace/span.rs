//! Spans: what is measured, and the span on whose behalf a task works.

use std::sync::OnceLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::Instant;

use super::context::TraceContext;
use super::otlp::{SpanData, SpanKind};
use super::queue::SpanQueue;

/// The header of W3C Trace Context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Where this process's spans go; empty if traces are off.
static EXPORT: OnceLock<SpanQueue> = OnceLock::new();

tokio::task_local! {
    /// The span on whose behalf this task works.
    static CURRENT: TraceContext;
}

/// Switches traces on: spans go to `queue` from now on.
///
/// # Panics
/// If traces are on already.
pub(super) fn export_to(queue: SpanQueue) {
    assert!(EXPORT.set(queue).is_ok(), "traces are started once per process");
}

/// A piece of work whose duration is recorded. It ends when it is dropped. Without an outcome it
/// counts as failed.
#[derive(Debug)]
pub struct Span(Box<Recording>);

#[derive(Debug)]
struct Recording {
    data: SpanData,
    queue: &'static SpanQueue,
}

impl Span {
    fn begin(context: TraceContext, parent: Option<u64>, kind: SpanKind, name: String) -> Option<Self> {
        let queue = EXPORT.get().filter(|_| context.sampled)?;
        let (links, attributes, begun) = (Vec::new(), Vec::new(), Instant::now());
        // A span counts as failed until its outcome is known.
        let (status, failed, ended) = (None, true, begun);
        let data = SpanData { context, parent, links, kind, name, attributes, status, failed, begun, ended };
        Some(Self(Box::new(Recording { data, queue })))
    }

    /// The context that this span's children have as their parent.
    pub fn context(&self) -> TraceContext {
        self.0.data.context
    }

    /// The header of a request whose receiver works for this span.
    pub(crate) fn header(&self) -> HeaderValue {
        self.0.data.context.header()
    }

    /// Ends the span of a request that was answered with `status`.
    pub(crate) fn answered(mut self, status: u16) {
        let data = &mut self.0.data;
        // A 4xx is the client's failure, not the server's.
        let failing = if data.kind == SpanKind::Client { 400 } else { 500 };
        (data.status, data.failed) = (Some(status), status >= failing);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.data.ended = Instant::now();
        self.queue.send(&self.data);
    }
}

/// Ends a span as successful.
pub fn done(span: Option<Span>) {
    if let Some(mut span) = span {
        span.0.data.failed = false;
    }
}

/// Whether traces are on.
pub fn is_on() -> bool {
    EXPORT.get().is_some()
}

/// The span on whose behalf this task works, if there is one.
pub fn current() -> Option<TraceContext> {
    if is_on() { CURRENT.try_get().ok() } else { None }
}

/// Runs `work` on behalf of `span`: spans of requests that it sends are children of `span`.
pub async fn within<T>(span: Option<&Span>, work: impl Future<Output = T>) -> T {
    match span {
        Some(span) => CURRENT.scope(span.context(), work).await,
        None => work.await,
    }
}

/// The span of a request that this process serves. `begins`: whether a request without a trace
/// starts one.
pub(crate) fn serve(headers: &HeaderMap, method: &Method, route: &str, begins: bool) -> Option<Span> {
    let parent = headers.get(TRACEPARENT).and_then(|header| TraceContext::parse(header.to_str().ok()?));
    let context = match parent {
        Some(parent) => parent.child(),
        None if begins => TraceContext::root(),
        None => return None,
    };
    let mut span =
        Span::begin(context, parent.map(|parent| parent.span_id), SpanKind::Server, format!("{method} {route}"))?;
    span.0.data.attributes = vec![("http.request.method", method.to_string()), ("http.route", route.to_owned())];
    Some(span)
}

/// The span of a request to another process, if this task works on behalf of a span.
pub(crate) fn call(method: &Method, route: &str, target: &str) -> Option<Span> {
    let parent = current()?;
    let mut span = Span::begin(parent.child(), Some(parent.span_id), SpanKind::Client, format!("{method} {route}"))?;
    span.0.data.attributes = vec![("http.request.method", method.to_string()), ("peer.service", target.to_owned())];
    Some(span)
}

/// The span of work for several spans at once: a child of the first, with links to the others.
pub fn shared(name: &str, on_behalf_of: impl IntoIterator<Item = TraceContext>) -> Option<Span> {
    let mut sampled = on_behalf_of.into_iter().filter(|context| context.sampled);
    let parent = sampled.next()?;
    let mut span = Span::begin(parent.child(), Some(parent.span_id), SpanKind::Internal, name.to_owned())?;
    span.0.data.links = sampled.collect();
    Some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_collector_nothing_is_traced() {
        assert!(!is_on() && current().is_none());
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, TraceContext::root().header());
        assert!(serve(&headers, &Method::GET, "/", true).is_none());
        assert!(shared("reserve", [TraceContext::root()]).is_none());
        assert_eq!(within(None, async { current() }).await, None);
    }
}
