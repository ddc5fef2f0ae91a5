//! What `toystore up` prints to standard output once the store runs.

use std::time::Duration;

use service::json_client::JsonClient;
use tokio::time::{Instant, sleep};

use crate::local::run_file::RunFile;
use crate::local::token;
use crate::local::{self, LocalStore, StoreLayout};
use crate::output::print;
use crate::status;

/// A store that is ready has a leader, unless an election is under way.
const LEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the order leader is queried.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// An election takes some milliseconds. After this time without a leader the user is told.
const LEADERLESS_REPORTED_AFTER: Duration = Duration::from_secs(1);

/// Timeout for the list of products.
const PRODUCTS_TIMEOUT: Duration = Duration::from_secs(5);

/// Prints a table of the processes, and commands to try. A generated token is read from its file in
/// these commands.
pub(super) async fn show(store: &mut LocalStore, token_is_generated: bool) {
    let _ = store.leader_other_than(None, LEADER_TIMEOUT).await;
    let (layout, file) = (store.layout().clone(), RunFile::of(store));
    let seen = status::query(&file.processes, store.json_client()).await;
    print(format_args!("\nThe store is open.\n\n{}", status::table(&seen)));
    let url = layout.public(1).url("");
    let data = layout.data().display();
    let token =
        if token_is_generated { format!("$(cat {data}/{})", token::FILE) } else { "$INTERNAL_TOKEN".to_owned() };
    let ledgers: Vec<_> = layout.ordinals().map(|n| layout.ledger(n).display().to_string()).collect();
    let leader = seen.iter().find_map(status::Observed::order_leader).map_or_else(String::new, |leader| {
        format!("  kill -9 {:<29} # the leader: watch another replica take over\n", leader.pid)
    });
    let product = product(&layout).await;
    let path = percent_encoding::utf8_percent_encode(&product, percent_encoding::NON_ALPHANUMERIC);
    let order = serde_json::json!({"name": product, "quantity": 1}).to_string().replace('\'', "'\\''");
    print(format_args!(
        "
Try:
  curl {url}/products/{path}
  curl {url}/orders -H 'Content-Type: application/json' -d '{order}'
  curl {url}/orders/1
  toystore status --data-dir {data:<16} # the leader, log positions, cache contents
  curl -H \"x-internal-token: {token}\" {inside}/cache      # the products in the frontend's cache
{leader}  head {ledgers}

Ctrl-C stops everything.
",
        inside = layout.internal(local::StoreMember::Frontend(1)).url(""),
        ledgers = ledgers.join(" "),
    ));
}

/// The name of a product that the store sells.
async fn product(layout: &StoreLayout) -> String {
    let products = async {
        let store = workload::StoreClient::new(workload::base_url(&layout.public(1)).ok()?, PRODUCTS_TIMEOUT);
        let products = store.products().await.ok()?;
        let usual = products.iter().find(|product| product.name.to_string() == "Tux");
        usual.or(products.first()).map(|product| product.name.to_string())
    };
    products.await.unwrap_or_else(|| "Tux".to_owned())
}

/// Prints every change of the order leader, and its absence. Never returns.
pub(super) async fn report_leaders(layout: &StoreLayout, client: &JsonClient) {
    let mut last = local::leader(layout, client).await;
    let (mut seen_at, mut missing_reported) = (Instant::now(), false);
    loop {
        sleep(POLL_INTERVAL).await;
        let now = local::leader(layout, client).await;
        if let Some((term, leader)) = now {
            if now != last || missing_reported {
                print(format_args!("order-{leader} is now the order leader, in term {term}"));
            }
            (last, seen_at, missing_reported) = (now, Instant::now(), false);
        } else if !missing_reported && seen_at.elapsed() >= LEADERLESS_REPORTED_AFTER {
            print("there is no order leader: orders get 503 until a majority of the replicas is back");
            missing_reported = true;
        }
    }
}
