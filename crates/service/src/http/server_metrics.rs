//! Latency per port, route, method and status, as the server sees it.
//!
//! A request whose client gives up before the response is counted, too, under the status 499 and
//! with the time that it had waited. This status is nginx's convention; it is never sent, because
//! no client is left to read it. Without it, an outage would be invisible if the affected clients
//! do not wait for its errors.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};
use tokio::time::Instant;

use super::limits::REFUSALS_PER_SECOND_AND_CORE;
use super::request_class::{ClassLimit, ClassMetrics, ClassRate, Preferred, RequestClass, RequestClasses};
use super::unread_responses::UnreadMetrics;
use crate::health;
use crate::metrics::{LATENCY_BUCKETS_S, registered};
use crate::trace::span;

/// The name of the public port.
const PUBLIC: &str = "public";

/// The route under which requests for unknown paths are counted.
pub const UNKNOWN_ROUTE: &str = "none";

/// The status under which a request is counted if its client gave up.
const CLIENT_GONE: &str = "499";

/// Scrapes per second and core. A scraper asks every few seconds, and a response has many KiB.
const METRICS_PER_SECOND_AND_CORE: u32 = 62;

/// Probes, and errors of clients, per second and core: they may take as much of the machine as
/// refusals.
const SHORT_PER_SECOND_AND_CORE: u32 = REFUSALS_PER_SECOND_AND_CORE;

/// The metrics of all requests that this process serves, on all of its ports.
#[derive(Clone, Debug)]
pub struct ServerMetrics {
    requests: HistogramVec,
    waiting: IntGaugeVec,
    refused: IntCounterVec,
    unread: IntGaugeVec,
    dropped: IntCounterVec,
}

/// The metrics of one port, and its [classes](RequestClass) of requests. Clones share them.
#[derive(Clone, Debug)]
pub struct PortMetrics(Arc<PortState>);

#[derive(Clone, Debug)]
struct PortState {
    process: ServerMetrics,
    name: &'static str,
    classes: RequestClasses,
    preferred: Preferred,
}

/// Measures a request that is being answered. If it is dropped without a response, the request
/// counts as one whose client gave up.
struct ServerRequestTimer<'a> {
    metrics: &'a PortMetrics,
    route: &'a str,
    method: Method,
    started: Instant,
    status: Option<StatusCode>,
}

impl ServerMetrics {
    /// Registers `toystore_http_request_duration_seconds`, `…_class_waiting_requests`,
    /// `…_class_refused_total`, `…_unread_responses_bytes` and `…_unread_responses_dropped_total`.
    pub fn new(registry: &Registry) -> Self {
        let requests = HistogramOpts::new(
            "toystore_http_request_duration_seconds",
            "Time to answer a request; status 499: until its client gave up",
        );
        let requests = requests.buckets(LATENCY_BUCKETS_S.to_vec());
        let gauge = |name, help, labels: &[_]| registered(registry, IntGaugeVec::new(Opts::new(name, help), labels));
        let counter =
            |name, help, labels: &[_]| registered(registry, IntCounterVec::new(Opts::new(name, help), labels));
        Self {
            requests: registered(registry, HistogramVec::new(requests, &["port", "route", "method", "status"])),
            waiting: gauge(
                "toystore_http_class_waiting_requests",
                "Requests that wait because of the limit of their class",
                &["port", "class"],
            ),
            refused: counter(
                "toystore_http_class_refused_total",
                "Requests refused because too many of their class waited",
                &["port", "class"],
            ),
            unread: gauge(
                "toystore_http_unread_responses_bytes",
                "Bytes of long responses that wait for their clients to read them",
                &["port"],
            ),
            dropped: counter(
                "toystore_http_unread_responses_dropped_total",
                "Responses dropped because clients left too many bytes unread",
                &["port"],
            ),
        }
    }

    /// The metrics of a port called `port`, such as `order-replication`. Two services may have the
    /// same route; only `public` shows the latency of clients' requests.
    pub fn port(&self, port: &'static str) -> PortMetrics {
        let class = |name, per_second_and_core: u32| {
            let limit = ClassLimit { at_once: 1, rate: ClassRate::AtMost(per_second_and_core) };
            self.class(port, name, limit, &Preferred::none())
        };
        let mut classes = RequestClasses::new(class("client_errors", SHORT_PER_SECOND_AND_CORE));
        classes.add(None, health::METRICS, class("metrics", METRICS_PER_SECOND_AND_CORE));
        let health = class("health", SHORT_PER_SECOND_AND_CORE);
        classes.add(None, health::HEALTH, health.clone());
        classes.add(None, health::READY, health);
        PortMetrics(Arc::new(PortState { process: self.clone(), name: port, classes, preferred: Preferred::none() }))
    }

    fn class(&self, port: &str, name: &str, limit: ClassLimit, preferred: &Preferred) -> RequestClass {
        let labels = &[port, name];
        let waiting = self.waiting.with_label_values(labels);
        RequestClass::new(limit, preferred, ClassMetrics { waiting, refused: self.refused.with_label_values(labels) })
    }
}

impl PortMetrics {
    /// Makes the port prefer some requests, of which `in_flight` returns the number. Classes that
    /// are added after this with [`ClassRate::BesidePreferred`] give way to them.
    #[must_use]
    pub fn prefer(mut self, in_flight: impl Fn() -> u32 + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).preferred = Preferred::new(in_flight);
        self
    }

    /// Makes `routes` a class called `name`. Its requests are limited, so that they do not keep
    /// other requests from being answered. See [`RequestClass`].
    #[must_use]
    pub fn with_class(mut self, name: &'static str, limit: ClassLimit, routes: &[(Method, &'static str)]) -> Self {
        let port = Arc::make_mut(&mut self.0);
        let class = port.process.class(port.name, name, limit, &port.preferred);
        for (method, route) in routes {
            port.classes.add(Some(method.clone()), route, class.clone());
        }
        self
    }

    /// The class of requests for `route`, if it has one.
    pub fn class(&self, method: &Method, route: &str) -> Option<RequestClass> {
        self.0.classes.of_request(method, route).cloned()
    }

    /// The histogram, in seconds, of requests with this response; for requests that are answered
    /// at once, without [`observe`](Self::observe).
    pub fn answered(&self, route: &str, method: &str, status: StatusCode) -> Histogram {
        self.ended(route, method, status.as_str())
    }

    /// Answers a request with what `respond` makes of it: within its class, if it has one, and
    /// within its span if traces are on. The request arrived at `started` and is counted under
    /// `route`, a template, so that a label has only as many values as there are routes.
    ///
    /// Counting costs 0.1 µs, two thirds of it for finding the series (`with_label_values`,
    /// measured in a loop). A response from the cache takes about a hundred times as long.
    pub async fn observe<F: Future<Output = Response>>(
        &self,
        route: &str,
        request: Request,
        started: Instant,
        class: Option<&RequestClass>,
        respond: impl FnOnce(Request) -> F,
    ) -> Response {
        let timer =
            ServerRequestTimer { metrics: self, route, method: request.method().clone(), started, status: None };
        if let Some(class) = class
            && let Err(refused) = class.admit().await
        {
            return timer.finished(refused.into_response()).await;
        }
        let response = if span::is_on() {
            Box::pin(traced(self.0.name == PUBLIC, route, request, respond)).await
        } else {
            respond(request).await
        };
        timer.finished(response).await
    }

    fn ended(&self, route: &str, method: &str, status: &str) -> Histogram {
        self.0.process.requests.with_label_values(&[self.0.name, route, method_label(method), status])
    }

    pub(super) fn unread(&self) -> UnreadMetrics {
        let PortState { process, name: port, .. } = &*self.0;
        UnreadMetrics {
            bytes: process.unread.with_label_values(&[port]),
            dropped: process.dropped.with_label_values(&[port]),
        }
    }
}

impl ServerRequestTimer<'_> {
    /// The request is answered, once the class of the response admits it.
    async fn finished(mut self, response: Response) -> Response {
        if let Some(class) = self.metrics.0.classes.of_response(response.status()) {
            // A response that has waited for too long is sent anyway.
            let _ = class.admit().await;
        }
        self.status = Some(response.status());
        response
    }
}

impl Drop for ServerRequestTimer<'_> {
    fn drop(&mut self) {
        let status = self.status.as_ref().map_or(CLIENT_GONE, StatusCode::as_str);
        let histogram = self.metrics.ended(self.route, self.method.as_str(), status);
        histogram.observe(self.started.elapsed().as_secs_f64());
    }
}

/// Middleware that [observes](PortMetrics::observe) the requests of a router.
pub(super) async fn count(State(metrics): State<PortMetrics>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(UNKNOWN_ROUTE, MatchedPath::as_str);
    let class = metrics.0.classes.of_request(request.method(), route);
    metrics.observe(route, request, Instant::now(), class, |request| next.run(request)).await
}

/// Responds within the request's span. Requests on the public port start a trace; others only
/// continue one.
async fn traced<F: Future<Output = Response>>(
    begins: bool,
    route: &str,
    request: Request,
    respond: impl FnOnce(Request) -> F,
) -> Response {
    let span = span::serve(request.headers(), request.method(), route, begins);
    let response = span::within(span.as_ref(), respond(request)).await;
    if let Some(span) = span {
        span.answered(response.status().as_u16());
    }
    response
}

/// The label of a method. A client may send any word as its method, which must not become a label.
fn method_label(method: &str) -> &str {
    match method {
        "GET" | "POST" | "DELETE" | "HEAD" | "PUT" | "PATCH" | "OPTIONS" => method,
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::http::port::harden;

    fn counted(metrics: &PortMetrics, route: &str, status: &str) -> (u64, f64) {
        let histogram = metrics.ended(route, "GET", status);
        (histogram.get_sample_count(), histogram.get_sample_sum())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_gives_up_is_counted_with_the_time_that_it_waited() {
        let metrics = ServerMetrics::new(&Registry::new()).port("test");
        let inner = Router::new().route("/slow/{n}", get(std::future::pending::<()>)).route("/", get(async || ()));
        let router = harden(inner, metrics.clone());
        let ask = |path| router.router().clone().oneshot(Request::get(path).body(Body::empty()).unwrap());
        ask("/").await.unwrap();
        assert!(tokio::time::timeout(Duration::from_secs(3), ask("/slow/7")).await.is_err());
        assert_eq!(counted(&metrics, "/slow/{n}", "499"), (1, 3.0));
        assert_eq!((counted(&metrics, "/", "200").0, counted(&metrics, "/", "499").0), (1, 0));

        let request = Request::get("/direct").body(Body::empty()).unwrap();
        let direct = metrics.observe("/direct", request, Instant::now(), None, |_| std::future::pending());
        assert!(tokio::time::timeout(Duration::from_secs(2), direct).await.is_err());
        assert_eq!(counted(&metrics, "/direct", "499"), (1, 2.0));
    }
}
