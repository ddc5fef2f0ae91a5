//! A page that stays open at a high rate of events: its memory, and that of its console.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::page::Page;
use crate::store::Store;

/// How often the figures are taken.
const INTERVAL: Duration = Duration::from_secs(10);

/// How much a figure of the last third of the run may exceed that of the first third.
const GROWTH_MAX: f64 = 1.15;

/// The page and its console keep ten minutes, and grow until they have them. A shorter run says
/// less.
const FILLED_AFTER_MINUTES: f64 = 10.5;

#[derive(Clone, Copy, Debug)]
struct Figures {
    minutes: f64,
    heap_mb: f64,
    nodes: f64,
    console_mb: f64,
    events_per_s: f64,
}

#[allow(clippy::cast_precision_loss, reason = "a mean")]
fn mean(figures: &[Figures], of: impl Fn(&Figures) -> f64) -> f64 {
    figures.iter().map(of).sum::<f64>() / figures.len() as f64
}

/// The resident memory of a process and of its threads, in MB.
fn resident_mb(pid: i32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1000.0
}

async fn figures(page: &Page, store: &Store, begun: Instant) -> Figures {
    page.devtools("HeapProfiler.collectGarbage", json!({})).await;
    let metrics = page.devtools("Performance.getMetrics", json!({})).await;
    let metric = |name: &str| {
        let found = metrics["metrics"].as_array().unwrap().iter().find(|metric| metric["name"] == name);
        found.unwrap()["value"].as_f64().unwrap()
    };
    // Details in frames, and those that were left out of them.
    let rate = page.value("window.soak_events?.rate() ?? 0").await.as_f64().unwrap();
    Figures {
        minutes: begun.elapsed().as_secs_f64() / 60.0,
        heap_mb: metric("JSHeapUsedSize") / 1e6,
        nodes: metric("Nodes"),
        console_mb: resident_mb(store.pid()),
        events_per_s: rate,
    }
}

#[tokio::test]
#[ignore = "takes as long as it is told to: SOAK_MINUTES=30"]
async fn memory_stays_flat_for_as_long_as_it_is_told() {
    let minutes: f64 = std::env::var("SOAK_MINUTES").expect("SOAK_MINUTES").parse().unwrap();
    let store = Store::start_with(&[("RESTOCK_INTERVAL_MS", "200"), ("RESTOCK_LEVEL", "1000000")]).await;
    let page = Page::open(&store.console).await;
    page.devtools("Performance.enable", json!({})).await;
    // A second reader of the feed counts the events.
    page.run(
        "const feed = new EventSource('api/feed'); let events = 0; let since = performance.now(); \
         feed.addEventListener('frame', ({ data }) => { const frame = JSON.parse(data); \
         events += frame.events.length + frame.dropped; }); \
         window.soak_events = { rate() { const now = performance.now(); \
         const rate = events / ((now - since) / 1000); [events, since] = [0, now]; return rate; } };",
    )
    .await;
    // Reads make more events than orders: batches grow with the load.
    page.set_slider("shopper-probability", 1).await;
    page.set_slider("shopper-count", 8).await;
    page.shows("[data-flow=place].moving").await;
    let begun = Instant::now();
    let mut all = Vec::new();
    while begun.elapsed().as_secs_f64() < minutes * 60.0 {
        // What is measured is time.
        tokio::time::sleep(INTERVAL).await;
        let now = figures(&page, &store, begun).await;
        eprintln!(
            "{:5.1} min: heap {:.1} MB, {} nodes, console {:.1} MB, {:.0} events/s",
            now.minutes, now.heap_mb, now.nodes, now.console_mb, now.events_per_s
        );
        all.push(now);
    }
    page.is_live().await;
    if minutes > 2.0 * FILLED_AFTER_MINUTES {
        all.retain(|it| it.minutes > FILLED_AFTER_MINUTES);
    }
    let third = all.len() / 3;
    let (first, last) = (&all[..third], &all[all.len() - third..]);
    for (name, of) in [
        ("heap", (|it| it.heap_mb) as fn(&Figures) -> f64),
        ("nodes", |it| it.nodes),
        ("console", |it| it.console_mb),
        ("events/s", |it| it.events_per_s),
    ] {
        eprintln!("{name}: first third {:.1}, last third {:.1}", mean(first, of), mean(last, of));
    }
    for of in [(|it| it.heap_mb) as fn(&Figures) -> f64, |it| it.nodes, |it| it.console_mb] {
        assert!(mean(last, of) < GROWTH_MAX * mean(first, of), "it grows");
    }
}
