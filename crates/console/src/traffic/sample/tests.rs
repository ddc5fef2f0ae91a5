use super::*;
use crate::traffic::Window;

fn histogram(labels: &str, buckets: &[(&str, u64)], sum: f64) -> String {
    let bucket = |(le, count): &(&str, u64)| format!("{REQUESTS}_bucket{{{labels},le=\"{le}\"}} {count}\n");
    let text: String = buckets.iter().map(bucket).collect();
    let total = buckets.last().map_or(0, |(_, count)| *count);
    text + &format!("{REQUESTS}_sum{{{labels}}} {sum}\n{REQUESTS}_count{{{labels}}} {total}\n")
}

fn metrics(placed: u64, sold_out: u64, failed: u64, refused: u64, hits: u64, misses: u64) -> String {
    let order = |status| format!("method=\"POST\",port=\"public\",route=\"/orders\",status=\"{status}\"");
    [
        histogram(&order(200), &[("0.001", placed / 2), ("0.002", placed), ("+Inf", placed)], 0.001),
        histogram(&order(409), &[("+Inf", sold_out)], 0.0),
        histogram(&order(503), &[("+Inf", failed)], 0.0),
        histogram(&order(200).replace("public", "frontend"), &[("+Inf", 1_000_000)], 0.0),
        format!("toystore_cache_hits_total {hits}\ntoystore_cache_misses_total {misses}\n"),
        format!("toystore_frontend_refused_total{{kind=\"order\"}} {refused}\n"),
    ]
    .concat()
}

#[test]
fn rates_come_from_the_difference_of_two_samples() {
    let before = Sample::read(&metrics(100, 5, 10, 3, 10, 90));
    let after = Sample::read(&metrics(300, 6, 15, 7, 40, 100));
    let news = after.since(&before);
    assert_eq!((news.orders.count, news.errors(), news.refusals()), (200, 1, 5));
    assert_eq!(news.hit_ratio(), Some(0.75));
    assert_eq!(after.since(&after).hit_ratio(), None);
    let restarted = Sample::read(&metrics(7, 0, 0, 0, 0, 0));
    assert_eq!(restarted.since(&after).orders.count, 7, "a restarted process counts from 0");
}

#[test]
fn quantiles_are_interpolated_within_a_bucket() {
    let latencies = |buckets: &[(f64, u64)]| Latencies { buckets: buckets.to_vec(), count: 0, sum_s: 0.0 };
    let quantile =
        |buckets: &[(f64, u64)], q| latencies(buckets).quantile_ms(q).map(|ms| (ms * 1000.0).round() / 1000.0);
    let even = [(0.010, 50), (0.020, 100), (f64::INFINITY, 100)];
    assert_eq!(quantile(&even, 0.5), Some(10.0));
    assert_eq!(quantile(&even, 0.75), Some(15.0));
    assert_eq!(quantile(&even, 0.99), Some(19.8));
    assert_eq!(quantile(&[(0.010, 0), (f64::INFINITY, 4)], 0.5), Some(10.0), "beyond the last bound");
    assert_eq!(quantile(&[(f64::INFINITY, 4), (0.010, 4)], 1.0), Some(10.0), "buckets in any order");
    assert_eq!(quantile(&[(0.010, 0), (f64::INFINITY, 0)], 0.5), None);
    assert_eq!(quantile(&[], 0.5), None);
}

#[test]
fn the_latencies_of_several_frontends_are_added() {
    let mut both = Sample::read(&metrics(10, 0, 0, 0, 1, 1));
    both.add(&Sample::read(&metrics(30, 0, 0, 0, 1, 1)));
    assert_eq!(both.orders.count, 40);
    assert_eq!(both.orders.quantile_ms(0.5), Some(1.0));
}

#[test]
fn a_window_has_the_last_second() {
    let sample = |placed| Sample::read(&metrics(placed, 0, 0, 0, 0, 0));
    let mut window = Window::default();
    assert_eq!(window.add(0, sample(10)), None);
    assert_eq!(window.recent(0), None);
    for (at, placed) in [(250_000, 20), (500_000, 30), (750_000, 40), (1_000_000, 50), (1_250_000, 60)] {
        assert_eq!(window.add(at, sample(placed)).unwrap().orders.count, 10);
    }
    let (recent, seconds) = window.recent(1_300_000).unwrap();
    assert_eq!((recent.orders.count, seconds), (40, 1.0));
    assert_eq!(window.recent(10_000_000), None, "the frontend no longer answers");
}

#[test]
fn requests_that_wait_are_counted_and_timed() {
    let sample = |in_flight: u64, answered: u64| {
        let reads = "method=\"GET\",port=\"public\",route=\"/products/{name}\",status=\"200\"";
        let gauge = |kind, number| format!("toystore_frontend_in_flight_requests{{kind=\"{kind}\"}} {number}\n");
        let gauges = gauge("order", 0) + &gauge("read", in_flight) + &gauge("list", 1);
        Sample::read(&(gauges + &histogram(reads, &[("+Inf", answered)], 0.0)))
    };
    let mut window = Window::default();
    for (at_ms, in_flight, answered, waited_ms) in
        [(0, 4, 10, 0), (250, 4, 20, 0), (500, 3, 20, 250), (1750, 7, 20, 1500), (2000, 7, 21, 0), (2250, 7, 21, 250)]
    {
        window.add(at_ms * 1000, sample(in_flight, answered));
        assert_eq!(window.waited_us(), waited_ms * 1000, "at {at_ms} ms");
    }
    assert_eq!(window.recent(2_250_000).unwrap().0.in_flight(), 8, "with the list");
}
