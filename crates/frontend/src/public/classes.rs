//! Limits of requests on the public port, so that they do not delay orders (see [`RequestClass`]).

use axum::http::Method;
use service::http::{ClassLimit, ClassRate, PortMetrics, RequestClass};

use super::route::Route;
use crate::orders::{self, OrdersApi};
use crate::{openapi, products};

/// Product reads. Four at a time keep the processor busy, and are few compared with the orders in
/// flight. The rate is never reached while there are only a few orders; with 50 in flight, it
/// leaves orders 84 % of their throughput on two cores (`cargo run --release --example fairness`).
const PRODUCT_READS: ClassLimit = ClassLimit { at_once: 4, rate: ClassRate::BesidePreferred(160_000) };

/// Responses of many KiB, sent one at a time.
const LONG_RESPONSES: ClassLimit = ClassLimit { at_once: 1, rate: ClassRate::BesidePreferred(10_000) };

/// Order reads. Each takes work in two processes.
const ORDER_READS: ClassLimit = ClassLimit { at_once: 1, rate: ClassRate::BesidePreferred(60_000) };

/// Documents, which no client needs often.
const DOCUMENTS: ClassLimit = ClassLimit { at_once: 1, rate: ClassRate::AtMost(50) };

/// Adds the classes of the public port.
pub(super) fn with_classes(port: PortMetrics, orders: &OrdersApi) -> PortMetrics {
    let orders = orders.clone();
    port.prefer(move || orders.in_flight())
        .with_class("products", PRODUCT_READS, &[(Method::GET, products::ROUTE)])
        .with_class("lists", LONG_RESPONSES, &[(Method::GET, products::LIST_ROUTE)])
        .with_class("orders_read", ORDER_READS, &[(Method::GET, orders::ROUTE)])
        .with_class("documents", DOCUMENTS, &[(Method::GET, openapi::PATH)])
}

/// The class of each route; `None` for orders.
#[derive(Debug)]
pub(super) struct Classes {
    products: Option<RequestClass>,
    product: Option<RequestClass>,
    order: Option<RequestClass>,
    document: Option<RequestClass>,
    health: Option<RequestClass>,
    metrics: Option<RequestClass>,
}

impl Classes {
    /// Looks the classes up once, not for every request.
    pub(super) fn new(port: &PortMetrics) -> Self {
        let class = |route: Route<'_>| port.class(&Method::GET, route.template());
        Self {
            products: class(Route::Products),
            product: class(Route::Product("")),
            order: class(Route::Order("")),
            document: class(Route::Document),
            health: class(Route::Health),
            metrics: class(Route::Metrics),
        }
    }

    pub(super) fn of(&self, route: Route<'_>) -> Option<RequestClass> {
        let class = match route {
            Route::Products => &self.products,
            Route::Product(_) => &self.product,
            Route::Orders => return None,
            Route::Order(_) => &self.order,
            Route::Document => &self.document,
            Route::Health | Route::Ready => &self.health,
            Route::Metrics => &self.metrics,
        };
        class.clone()
    }
}
