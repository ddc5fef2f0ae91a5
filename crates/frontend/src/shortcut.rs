//! What does not go through the router: plain looks at a product, and plain orders.
//!
//! They are asked for most. Whatever is not plain is routed: a session's id is echoed there, traces are begun, and bodies are read that do not say how
//! long they are.

use api::SESSION_ID_HEADER;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::Histogram;
use service::http::{PortMetrics, Shortcut, Taken};
use service::trace;
use tokio::time::Instant;

use crate::orders::{self, Orders};
use crate::products::{self, Products};
use crate::routes::PUBLIC_BODY_BYTES_MAX;

#[derive(Clone)]
struct Answers {
    products: Products,
    orders: Orders,
    metrics: PortMetrics,
    /// A product from the cache, counted without looking for the series.
    hit: Histogram,
}

/// Answers for products, and places orders. One is refused by its head while there is no room: its body need not even be read.
pub(crate) fn shortcut(products: Products, orders: Orders, metrics: &PortMetrics) -> Shortcut {
    let hit = metrics.answered(products::ROUTE, "GET", StatusCode::OK);
    let answers = Answers { products, orders, metrics: metrics.clone(), hit };
    Shortcut::new(move |request| answers.take(request))
}

impl Answers {
    fn take(&self, request: Request) -> Taken {
        let begun = Instant::now();
        if request.headers().contains_key(SESSION_ID_HEADER) || trace::is_on() {
            return Taken::Not(request);
        }
        match *request.method() {
            Method::GET => self.look(request, begun),
            Method::POST if request.uri().path() == orders::PATH => self.order(request, begun),
            _ => Taken::Not(request),
        }
    }

    fn look(&self, request: Request, begun: Instant) -> Taken {
        let Some(name) = products::asked_for(request.uri()) else { return Taken::Not(request) };
        if let Some(body) = self.products.hit(&name) {
            self.hit.observe(begun.elapsed().as_secs_f64());
            return Taken::Answered(products::json(body));
        }
        let (answers, name) = (self.clone(), name.into_owned());
        Taken::under_way(async move {
            let response = answers.products.look(&name).await.into_response();
            answers.counted(products::ROUTE, "GET", begun, response)
        })
    }

    fn order(&self, request: Request, begun: Instant) -> Taken {
        if let Err(full) = self.orders.look_for_place() {
            return Taken::Answered(self.counted(orders::PATH, "POST", begun, full.into_response()));
        }
        if !is_short(request.headers()) {
            return Taken::Not(request);
        }
        let answers = self.clone();
        Taken::under_way(async move {
            let response = orders::place(State(answers.orders.clone()), request).await;
            answers.counted(orders::PATH, "POST", begun, response)
        })
    }

    fn counted(&self, route: &str, method: &str, begun: Instant, response: Response) -> Response {
        self.metrics.answered(route, method, response.status()).observe(begun.elapsed().as_secs_f64());
        response
    }
}

/// Whether a body says that it is no longer than the router's bound.
fn is_short(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.is_some_and(|length: usize| length <= PUBLIC_BODY_BYTES_MAX)
}
