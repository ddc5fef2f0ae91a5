//! A frontend that is told to stop while load balancers still send requests to it.

mod store;

use std::time::Duration;

use api::Product;
use reqwest::{Client, StatusCode};
use store::{Store, body, eventually};
use tokio::time::Instant;

/// Long enough for some requests on a machine that has much else to do.
const SHUTDOWN_DELAY: Duration = Duration::from_secs(20);

/// A client that opens a new connection for each request, as a load balancer may.
fn new_client() -> Client {
    Client::builder().pool_max_idle_per_host(0).build().expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_frontend_is_unready_at_once_and_accepts_connections_until_the_delay_is_over() {
    let mut store = Store::start_with(|config| config.shutdown_delay = SHUTDOWN_DELAY).await;
    let (ready, product) = (format!("{}/readyz", store.internal), format!("{}/products/Tux", store.public));
    let begun = Instant::now();
    let served = async {
        let reason = eventually("it is unready", async || {
            let answer = new_client().get(&ready).send().await.expect("it serves");
            (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
        })
        .await;
        assert!(reason.text().await.unwrap().contains("stopping"));
        let unready_after = begun.elapsed();
        assert!(unready_after < SHUTDOWN_DELAY, "it was unready only after {unready_after:?}");
        let served: Product = body(new_client().get(&product).send().await.expect("it serves")).await;
        assert_eq!(served.name.as_str(), "Tux");
    };
    tokio::join!(store.stop_frontend(), served);
    assert!(begun.elapsed() >= SHUTDOWN_DELAY, "it ended after {:?}", begun.elapsed());
    let refused = new_client().get(&product).send().await.unwrap_err();
    assert!(refused.is_connect(), "{refused}");
}
