//! One order's way through three processes is one trace.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use service::http::{Limits, Listener, serve};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::harness::{TestStore, eventually};

/// Of each try.
const TRACES: [&str; 5] = [
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "4bf92f3577b34da6a3ce929d0e0e4737",
    "4bf92f3577b34da6a3ce929d0e0e4738",
    "4bf92f3577b34da6a3ce929d0e0e4739",
    "4bf92f3577b34da6a3ce929d0e0e473a",
];
const SHOPPER: &str = "00f067aa0ba902b7";

/// A collector that keeps what it gets.
struct Collector {
    url: String,
    spans: Spans,
    _stop: DropGuard,
}

/// Every span that came, with the service that sent it.
type Spans = Arc<Mutex<Vec<(String, Value)>>>;

type Trace = BTreeMap<String, (String, Value)>;

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
        let (spans, stop) = (Spans::default(), CancellationToken::new());
        let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().route("/v1/traces", post(take)).layer(DefaultBodyLimit::max(16 << 20));
        tokio::spawn(serve(listener, routes.with_state(spans.clone()), Limits::default(), stop.clone()));
        Self { url, spans, _stop: stop.drop_guard() }
    }

    /// A trace's spans by their ids.
    fn trace(&self, id: &str) -> Trace {
        let spans = self.spans.lock().unwrap();
        let of_trace = spans.iter().filter(|(_, span)| span["traceId"] == id);
        of_trace
            .map(|(service, span)| (span["spanId"].as_str().unwrap().to_owned(), (service.clone(), span.clone())))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_one_trace_over_three_processes() {
    let collector = Collector::start();
    let store =
        TestStore::start_with(|layout| layout.with_variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)).await;
    let mut known = [
        ("toystore-frontend", "POST /orders", 2),
        ("toystore-frontend", "POST /orders", 3),
        ("toystore-order", "POST /orders", 2),
        ("toystore-order", "reserve", 1),
        ("toystore-order", "POST /reservations", 3),
        ("toystore-catalog", "POST /reservations", 2),
        ("toystore-order", "place", 1),
    ];
    known.sort_unstable();
    let mut trace = Trace::new();
    for id in TRACES {
        let answer = reqwest::Client::new()
            .post(store.store.layout().public(1).url("/orders"))
            .header("traceparent", format!("00-{id}-{SHOPPER}-01"))
            .header("content-type", "application/json")
            .body(r#"{"name":"Tux","quantity":1}"#)
            .send();
        assert!(answer.await.unwrap().status().is_success());
        eventually("all spans have come", || async { collector.trace(id).len() >= known.len() }).await;
        trace = collector.trace(id);
        // More are there if a call was repeated, since somebody was slow to answer: then another order shows what there is without that.
        if kinds(&trace) == known && trace.values().all(|(_, span)| span["status"]["code"] == 0) {
            break;
        }
    }
    assert_eq!(kinds(&trace), known);

    for (service, span) in trace.values() {
        let (name, parent) = (&span["name"], span["parentSpanId"].as_str().unwrap());
        assert_eq!(span["status"]["code"], 0, "{service} {name}");
        if parent == SHOPPER {
            assert_eq!(service, "toystore-frontend", "the shopper's is the only parent outside");
            continue;
        }
        let (_, parent) = trace.get(parent).unwrap_or_else(|| panic!("{service} {name} has no parent"));
        let begun = |span: &Value| span["startTimeUnixNano"].as_str().unwrap().parse::<u64>().unwrap();
        // Clocks of one machine: a millisecond for what they were read apart.
        assert!(begun(span) + 1_000_000 >= begun(parent), "{service} {name} begins after its parent");
    }
    // Nobody asked for more: probes, leases and elections are no traces.
    let spans = collector.spans.lock().unwrap();
    let others = spans.iter().filter(|(_, span)| !TRACES.contains(&span["traceId"].as_str().unwrap())).count();
    assert_eq!(others, 0);
}

/// Each span's service, name and kind.
fn kinds(trace: &Trace) -> Vec<(&str, &str, u64)> {
    let spans = trace.values();
    let mut kinds: Vec<_> = spans
        .map(|(service, span)| (&**service, span["name"].as_str().unwrap(), span["kind"].as_u64().unwrap()))
        .collect();
    kinds.sort_unstable();
    kinds
}
