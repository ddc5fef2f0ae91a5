//! A frontend that is told to stop while load balancers still send requests to it.

mod store;

use std::time::Duration;

use api::Product;
use reqwest::{Client, StatusCode};
use store::{Store, body, eventually};
use tokio::time::Instant;

/// A client that opens a new connection for each request, as a load balancer may.
fn new_client() -> Client {
    Client::builder().pool_max_idle_per_host(0).build().expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_frontend_is_unready_at_once_and_accepts_connections() {
    // Longer than the test takes, which does not wait for the end of the delay.
    let mut store = Store::start_with(|config| config.shutdown_delay = Duration::from_hours(1)).await;
    let (ready, product) = (format!("{}/readyz", store.internal), format!("{}/products/Tux", store.public));
    let served = async {
        let reason = eventually("it is unready", async || {
            let answer = new_client().get(&ready).send().await.expect("it serves");
            (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
        })
        .await;
        assert!(reason.text().await.unwrap().contains("stopping"));
        let served: Product = body(new_client().get(&product).send().await.expect("it serves")).await;
        assert_eq!(served.name.as_str(), "Tux");
    };
    tokio::select! {
        () = served => {}
        () = store.stop_frontend() => panic!("it does not wait until load balancers have noticed"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_frontend_refuses_connections_when_the_delay_is_over() {
    const SHUTDOWN_DELAY: Duration = Duration::from_millis(200);
    let mut store = Store::start_with(|config| config.shutdown_delay = SHUTDOWN_DELAY).await;
    let begun = Instant::now();
    store.stop_frontend().await;
    assert!(begun.elapsed() >= SHUTDOWN_DELAY, "it ended after {:?}", begun.elapsed());
    let refused = new_client().get(format!("{}/products/Tux", store.public)).send().await.unwrap_err();
    assert!(refused.is_connect(), "{refused}");
}
