//! The list of processes changes while a page is open.
//!
//! In operation a list changes on Kubernetes only; `discovery`'s static lists never do. So one test
//! runs the console itself, with a list that it changes, and the other restarts a `toystore
//! console` with other settings. `crates/console/src/discovered.rs` tests how lists are followed.

use std::net::Ipv4Addr;

use api::{Address, Ordinal};
use service::Token;
use service::http::Listener;
use service::json_client::JsonClient;
use store_console::{ConsoleConfig, ProcessAddress, ServiceKind};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::page::Page;
use crate::store::{Store, WatchingConsole, free_port};

/// The store's processes, with so many order replicas. Those beyond three do not run.
fn processes(store: &Store, orders: u8) -> Vec<ProcessAddress> {
    let process = |name: String, service, ordinal, internal: Option<String>| ProcessAddress {
        internal: Address::try_from(internal.unwrap_or_else(|| format!("127.0.0.1:{}", free_port()))).unwrap(),
        name,
        service,
        ordinal: Ordinal(ordinal),
        known_as: Vec::new(),
    };
    let running = |name: &str| Some(store.internal(name));
    let mut all = vec![
        process("frontend".to_owned(), ServiceKind::Frontend, 1, running("frontend")),
        process("catalog".to_owned(), ServiceKind::Catalog, 1, running("catalog")),
    ];
    all.extend((1..=orders).map(|n| {
        let name = format!("order-{n}");
        let internal = if n <= 3 { running(&name) } else { None };
        process(name, ServiceKind::Order, n, internal)
    }));
    all
}

/// Waits until the page shows that many order replicas, the last ones unreachable.
async fn shows_replicas(page: &Page, orders: u64) {
    let replicas = "[data-process^=order]";
    page.until(&format!("document.querySelectorAll('{replicas}').length === {orders}")).await;
    page.until(&format!("document.querySelectorAll('{replicas}[data-state=up]').length === 3")).await;
    assert_eq!(page.count("[data-ledger]").await, orders);
    let width = "document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(page.value(width).await, true, "the page does not scroll sideways");
}

#[tokio::test]
async fn replicas_appear_and_disappear_on_an_open_page() {
    let store = Store::start().await;
    let list = watch::Sender::new(processes(&store, 3));
    let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), 0).unwrap();
    let url = format!("http://localhost:{}", listener.address().port());
    let token = std::fs::read_to_string(store.token_file()).unwrap();
    let token = Token::new(token.trim()).unwrap();
    let console =
        ConsoleConfig { listener, sources: list.subscribe(), client: JsonClient::new(Some(&token)), store_url: None };
    tokio::spawn(store_console::run(console, None, CancellationToken::new()));
    let page = Page::open(&url).await;
    shows_replicas(&page, 3).await;
    list.send_replace(processes(&store, 5));
    shows_replicas(&page, 5).await;
    page.resize(390, 844).await;
    shows_replicas(&page, 5).await;
    list.send_replace(processes(&store, 3));
    shows_replicas(&page, 3).await;
    page.is_healthy().await;
}

#[tokio::test]
async fn a_console_that_was_restarted_with_another_list_shows_that_list() {
    let store = Store::start().await;
    let port = free_port();
    let addresses = |orders: u8| -> Vec<String> {
        let orders = processes(&store, orders).into_iter().filter(|it| it.service == ServiceKind::Order);
        orders.map(|it| it.internal.to_string()).collect()
    };
    let mut console = WatchingConsole::start(&store, port, &addresses(3));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://localhost:{port}");
    crate::store::until("the console answers", async || client.get(&url).send().await.is_ok()).await;
    let page = Page::open(&url).await;
    for orders in [5, 3] {
        console.kill().await;
        page.shows("body[data-connection=reconnecting]").await;
        console = WatchingConsole::start(&store, port, &addresses(orders));
        page.is_live().await;
        shows_replicas(&page, u64::from(orders)).await;
    }
    page.is_healthy().await;
    drop(console);
}
