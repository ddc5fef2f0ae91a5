//! The public port: the path of every request, from its head to its response.
//!
//! [`PublicApi::call`] finds the [`Route`], checks method and session, and calls the route's
//! function. A response that waits for nothing is given at once: a product in the cache, and the
//! refusal of an order before its body is read. All others are futures, which
//! [`PortMetrics::observe`] surrounds with class, metrics and trace. While traces are on, nothing
//! is given at once, so that every request has a span.

mod classes;
mod cors;
mod route;
mod welcome;

use std::future::ready;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use prometheus::{Histogram, Registry};
use service::health::{self, Readiness};
use service::http::{
    ErrorResponse, PortMetrics, RequestClass, ResponseFuture, ServerMetrics, Service, UNKNOWN_ROUTE,
    method_not_allowed, not_found,
};
use service::trace;
use tokio::time::Instant;
use tracing::Instrument;

use crate::errors::no_such_product;
use crate::openapi::OpenApiDocument;
use crate::orders::OrdersApi;
use crate::products::{self, ProductsApi};
use crate::session::Session;

use classes::Classes;
pub use cors::Origins;
pub(crate) use route::Route;

/// What the public port serves.
pub(crate) struct PublicApi {
    products: ProductsApi,
    orders: OrdersApi,
    document: OpenApiDocument,
    /// Whether health and metrics are served on this port, too.
    admin: bool,
    /// `None` if no page of another origin may call the API.
    origins: Option<Origins>,
    readiness: Readiness,
    all_metrics: health::MetricsEndpoint,
    metrics: PortMetrics,
    classes: Classes,
    /// The latency of products from the cache: looked up once, not for every request.
    hit_latency: Histogram,
}

/// Under which route and since when a request is counted, and its session.
struct RequestContext {
    route: &'static str,
    started: Instant,
    session: Session,
}

impl PublicApi {
    /// `admin`: whether health and metrics are served on this port, too. `origins`: those whose
    /// pages may call the API.
    pub(crate) fn new(
        products: ProductsApi,
        orders: OrdersApi,
        admin: bool,
        origins: Option<Origins>,
        readiness: Readiness,
        registry: Registry,
        requests: &ServerMetrics,
    ) -> Self {
        let metrics = classes::with_classes(requests.port("public"), &orders);
        let hit_latency = metrics.answered(products::ROUTE, "GET", StatusCode::OK);
        let (document, all_metrics) = (OpenApiDocument::new(admin), health::MetricsEndpoint::new(registry));
        let classes = Classes::new(&metrics);
        Self { products, orders, document, admin, origins, readiness, all_metrics, metrics, classes, hit_latency }
    }

    /// Answers the requests of a port.
    pub(crate) fn into_service(self) -> Service {
        let (metrics, api) = (self.metrics.clone(), Arc::new(self));
        Service::handler(metrics, move |request| match &api.origins {
            None => api.call(request),
            Some(origins) => origins.around(request, |request| api.call(request)),
        })
    }

    /// Answers a request.
    fn call(self: &Arc<Self>, request: Request) -> ResponseFuture {
        let mut context = RequestContext { route: UNKNOWN_ROUTE, started: Instant::now(), session: Session::default() };
        let route = match self.check(&request, &mut context) {
            Ok(route) => route,
            Err(_) if welcome::is_wanted(&request) => {
                let class = self.classes.of(Route::Document);
                return self.pending(class, request, context, |_, _| ready(welcome::response()));
            }
            Err(refusal) => return self.pending(None, request, context, |_, _| ready(*refusal)),
        };
        let class = || self.classes.of(route);
        match route {
            Route::Product(name) => {
                let Ok(name) = percent_decode_str(name).decode_utf8() else {
                    return self.pending(None, request, context, |_, _| ready(ErrorResponse::from(no_such_product())));
                };
                // An order switches tasks many times, and waits for the runnable tasks each time.
                // So while one is in flight, a read waits until its class admits it.
                let class = if self.orders.in_flight() > 0 { class() } else { None };
                let cache_first = class.is_none() && *request.method() == Method::GET && !trace::is_on();
                if cache_first && let Some(body) = self.products.cached(&name) {
                    self.hit_latency.observe(context.started.elapsed().as_secs_f64());
                    return ResponseFuture::Ready(context.session.echo(products::json(body)));
                }
                let name = name.into_owned();
                self.pending(class, request, context, move |api, _| async move {
                    // The cache is not asked twice.
                    if cache_first { api.products.get_uncached(&name).await } else { api.products.get(&name).await }
                })
            }
            Route::Products => {
                self.pending(class(), request, context, |api, _| async move { api.products.list().await })
            }
            Route::Orders => {
                if !trace::is_on()
                    && let Err(full) = self.orders.check_limit()
                {
                    let refusal = full.into_response();
                    let latency = self.metrics.answered(context.route, "POST", refusal.status());
                    latency.observe(context.started.elapsed().as_secs_f64());
                    return ResponseFuture::Ready(context.session.echo(refusal));
                }
                self.pending(None, request, context, |api, request| async move { api.orders.handle(request).await })
            }
            Route::Order(number) => {
                let number = percent_decode_str(number).decode_utf8_lossy().into_owned();
                self.pending(class(), request, context, |api, _| async move { api.orders.read(&number).await })
            }
            Route::Document => self.pending(class(), request, context, |api, _| ready(api.document.response())),
            Route::Health => self.pending(class(), request, context, |_, _| ready(health::healthz())),
            Route::Ready => self.pending(class(), request, context, |api, _| ready(health::readyz(&api.readiness))),
            Route::Metrics => {
                self.pending(class(), request, context, |api, _| async move { api.all_metrics.response().await })
            }
        }
    }

    /// The route of a request, or the response if it is refused or only asks what is allowed.
    /// Completes the context.
    fn check<'a>(&self, request: &'a Request, context: &mut RequestContext) -> Result<Route<'a>, Box<Response>> {
        let (path, method) = (request.uri().path(), request.method());
        let refused = |error: ErrorResponse| Box::new(error.into_response());
        let route = Route::parse(path, self.admin).ok_or_else(|| refused(not_found(path)))?;
        context.route = route.template();
        if let Some(preflight) = self.origins.as_ref().and_then(|origins| origins.preflight(request, route.allow())) {
            return Err(Box::new(preflight));
        }
        if !route.allow().contains(method) {
            return Err(Box::new(method_not_allowed(path, method, route.allow())));
        }
        if route.has_session() {
            context.session = Session::of(request.headers()).map_err(refused)?;
        }
        Ok(route)
    }

    /// Answers with what `respond` makes of the request, once `class` admits it.
    fn pending<F: Future<Output: IntoResponse> + Send + 'static>(
        self: &Arc<Self>,
        class: Option<RequestClass>,
        request: Request,
        RequestContext { route, started, session }: RequestContext,
        respond: impl FnOnce(Arc<Self>, Request) -> F + Send + 'static,
    ) -> ResponseFuture {
        let api = Arc::clone(self);
        ResponseFuture::pending(async move {
            let shared = Arc::clone(&api);
            let respond = |request| async {
                let span = session.span();
                session.echo(respond(shared, request).instrument(span).await.into_response())
            };
            api.metrics.observe(route, request, started, class.as_ref(), respond).await
        })
    }
}
