//! A frontend that is told to stop, while load balancers do not know it yet.

mod store;

use std::time::Duration;

use api::Product;
use reqwest::{Client, StatusCode};
use store::{Store, body, eventually};
use tokio::time::Instant;

/// Long enough for some requests on a machine that has much else to do.
const SHUTDOWN_DELAY: Duration = Duration::from_secs(6);

/// A client without connections: each stands for one that a load balancer has just sent.
fn newcomer() -> Client {
    Client::builder().pool_max_idle_per_host(0).build().expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_it_is_unready_at_once_and_serves_newcomers_until_the_delay_is_over() {
    let mut store = Store::start_with(|config| config.shutdown_delay = SHUTDOWN_DELAY).await;
    let (ready, product) = (format!("{}/readyz", store.internal), format!("{}/products/Tux", store.public));
    let begun = Instant::now();
    let served = async {
        let reason = eventually("it is unready", async || {
            let answer = newcomer().get(&ready).send().await.expect("it serves");
            (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
        })
        .await;
        assert!(reason.text().await.unwrap().contains("stopping"));
        let unready_after = begun.elapsed();
        assert!(unready_after < SHUTDOWN_DELAY, "told only after {unready_after:?}");
        let served: Product = body(newcomer().get(&product).send().await.expect("it serves")).await;
        assert_eq!(served.name.as_str(), "Tux");
    };
    tokio::join!(store.stop_frontend(), served);
    assert!(begun.elapsed() >= SHUTDOWN_DELAY, "it ended after {:?}", begun.elapsed());
    let refused = newcomer().get(&product).send().await.unwrap_err();
    assert!(refused.is_connect(), "{refused}");
}
