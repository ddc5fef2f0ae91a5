//! A console that only watches, and that ends and comes back under an open page.

use crate::page::Page;
use crate::store::{Store, WatchingConsole, free_port};
use crate::webdriver::Browser;

fn order_replicas(store: &Store) -> Vec<String> {
    (1..=3).map(|n| store.internal(&format!("order-{n}"))).collect()
}

/// A page that was opened before its console answers.
async fn open(port: u16) -> Page {
    let browser = Browser::start().await;
    let url = format!("http://localhost:{port}");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    // It begins to listen when it has read its settings.
    crate::store::until("the console answers", async || client.get(&url).send().await.is_ok()).await;
    Page::of(browser, &url).await
}

#[tokio::test]
async fn a_page_outlives_its_console() {
    let store = Store::start().await;
    let (port, orders) = (free_port(), order_replicas(&store));
    let console = WatchingConsole::start(&store, port, &orders);
    let page = open(port).await;
    store.order("Tux").await;
    page.says("[data-identical=true]", "Identical up to order 1.").await;
    page.is_healthy().await;

    console.kill().await;
    page.shows("body[data-connection=reconnecting]").await;
    page.says("#connection", "Reconnecting").await;
    let _console = WatchingConsole::start(&store, port, &orders);
    store.order("Fox").await;
    page.is_live().await;
    page.says("[data-identical=true]", "Identical up to order 2.").await;
    page.is_healthy().await;
    // Events that both consoles read are in the log once.
    let lines = "[...document.querySelectorAll('#log li')].map(it => it.textContent)";
    page.until(&format!("{lines}.length > 5")).await;
    let lines: Vec<String> = serde_json::from_value(page.value(lines).await).unwrap();
    let different: std::collections::BTreeSet<_> = lines.iter().collect();
    assert_eq!(different.len(), lines.len(), "{lines:#?}");
}

#[tokio::test]
async fn a_console_that_owns_no_process_offers_no_controls_and_says_why() {
    let store = Store::start().await;
    let port = free_port();
    let _console = WatchingConsole::start(&store, port, &order_replicas(&store));
    let page = open(port).await;
    page.says("[data-read-only]", "It does not own the processes").await;
    let breaking =
        "#heal-all:not([hidden]), #controls button, #controls input, #inspector .actions, [data-action=kill]";
    assert_eq!(page.count(breaking).await, 0);
    let refused = "return fetch('api/control', { method: 'POST', body: '{\"action\":\"kill_all\"}', headers: \
                   { 'Content-Type': 'application/json', 'X-Toystore-Console': '1' } }).then(it => it.status)";
    assert_eq!(page.run(refused).await, 404);
    assert_eq!(page.count("[data-process][data-state=up]").await, 5);
}
