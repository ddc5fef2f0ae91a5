//! An order that passes through three processes is one trace.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use reqwest::Method;
use serde_json::{Value, json};
use service::http::{Limits, Listener, serve};
use service::lifecycle::Task;
use uuid::Uuid;

use crate::harness::{TestStore, awaited, eventually};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SHOPPER: &str = "00f067aa0ba902b7";

/// A collector that keeps all spans.
struct Collector {
    url: String,
    spans: Spans,
    _served: Task,
}

/// Every received span, with the service that sent it.
type Spans = Arc<Mutex<Vec<(String, Value)>>>;

type SpansByName = BTreeMap<String, (String, Value)>;

async fn take(State(spans): State<Spans>, Json(export): Json<Value>) {
    for resource in export["resourceSpans"].as_array().unwrap() {
        let service = &resource["resource"]["attributes"][0]["value"]["stringValue"];
        for span in resource["scopeSpans"][0]["spans"].as_array().unwrap() {
            spans.lock().unwrap().push((service.as_str().unwrap().to_owned(), span.clone()));
        }
    }
}

impl Collector {
    fn start() -> Self {
        let spans = Spans::default();
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let url = format!("http://{}", listener.address());
        let routes = Router::new().route("/v1/traces", post(take)).layer(DefaultBodyLimit::max(16 << 20));
        let served = serve(listener, routes.with_state(spans.clone()), Limits::default());
        Self { url, spans, _served: served }
    }

    /// The spans of the trace by their ids.
    fn trace(&self) -> SpansByName {
        let spans = self.spans.lock().unwrap();
        let of_trace = spans.iter().filter(|(_, span)| span["traceId"] == TRACE);
        of_trace
            .map(|(service, span)| (span["spanId"].as_str().unwrap().to_owned(), (service.clone(), span.clone())))
            .collect()
    }
}

/// The service, name and kind of a span.
type SpanType<'a> = (&'a str, &'a str, u64);

fn span_type((service, span): &(String, Value)) -> SpanType<'_> {
    (service, span["name"].as_str().unwrap(), span["kind"].as_u64().unwrap())
}

fn parent((_, span): &(String, Value)) -> &str {
    span["parentSpanId"].as_str().unwrap()
}

/// The spans of an order. A call that is slow is sent again, so that there may be several of each.
const KNOWN: [SpanType<'_>; 7] = [
    ("toystore-frontend", "POST /orders", 2),
    ("toystore-frontend", "POST /orders", 3),
    ("toystore-order", "POST /orders", 2),
    ("toystore-order", "reserve", 1),
    ("toystore-order", "POST /reservations", 3),
    ("toystore-catalog", "POST /reservations", 2),
    ("toystore-order", "place", 1),
];

/// Whether the trace has a successful span of each type, and the parent of every span.
fn is_whole(trace: &SpansByName) -> bool {
    let done: BTreeSet<_> = trace.values().filter(|(_, span)| span["status"]["code"] == 0).map(span_type).collect();
    let has_parent = |span| parent(span) == SHOPPER || trace.contains_key(parent(span));
    KNOWN.iter().all(|known| done.contains(known)) && trace.values().all(has_parent)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_one_trace_over_three_processes() {
    let collector = Collector::start();
    let store =
        TestStore::start_with(|layout| layout.with_variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)).await;
    let (rest, key) = (store.rest(), Uuid::new_v4().to_string());
    eventually("the order is placed", || async {
        let order = rest.request(Method::POST, "/orders").header("Idempotency-Key", &key);
        let order = order.header("traceparent", format!("00-{TRACE}-{SHOPPER}-01"));
        let answer = order.json(&json!({"name": "Tux", "quantity": 1})).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    let whole = async || Some(collector.trace()).filter(is_whole);
    let trace = awaited("all spans have arrived", whole).await;

    for span in trace.values() {
        assert!(KNOWN.contains(&span_type(span)), "{span:?}");
        if parent(span) == SHOPPER {
            assert_eq!(span_type(span), KNOWN[0], "the shopper is the only parent outside the store");
            continue;
        }
        let begun = |(_, span): &(String, Value)| span["startTimeUnixNano"].as_str().unwrap().parse::<u64>().unwrap();
        // All processes use the same clock; a millisecond allows for the order in which they read
        // it.
        assert!(begun(span) + 1_000_000 >= begun(&trace[parent(span)]), "{span:?} begins before its parent");
    }
    // There are no other spans: probes, leases and elections are not traced.
    let spans = collector.spans.lock().unwrap();
    let others: Vec<_> = spans.iter().filter(|(_, span)| span["traceId"] != TRACE).collect();
    assert!(others.is_empty(), "{others:?}");
}
