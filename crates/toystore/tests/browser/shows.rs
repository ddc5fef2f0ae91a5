//! What the page shows of a store at work.

use crate::page::Page;
use crate::store::Store;

#[tokio::test]
async fn the_page_shows_the_processes_and_an_order_from_the_api() {
    let store = Store::start().await;
    let page = Page::open(&store.console).await;
    let leader = page.leader().await;
    page.is_healthy().await;
    assert_eq!(page.count("[data-process]").await, 5);
    page.shows(&format!("[data-process={leader}][data-role=leader][data-state=up]")).await;
    for follower in Page::others(&leader) {
        page.shows(&format!("[data-process={follower}][data-role=follower][data-state=up]")).await;
    }
    page.shows("[data-process=catalog][data-role=leader][data-state=up]").await;
    page.shows("[data-process=frontend][data-state=up]:not([data-role])").await;

    store.look_up("Tux").await;
    page.shows("[data-process=frontend] [data-cache-entry=Tux]").await;
    store.order("Tux").await;
    page.shows_no("[data-cache-entry=Tux]").await;
    page.shows("[data-cache-dropped~=Tux], [data-cache-dropped*='Tux']").await;
    for replica in 1..=3 {
        let ledger = format!("[data-ledger=order-{replica}]");
        page.says(&format!("{ledger} .size"), "1 order").await;
        page.says(&format!("{ledger} .lines li .product"), "Tux").await;
    }
    page.says("[data-identical=true]", "Identical up to order 1.").await;
    page.says("#diagram", "1 order").await;
}

#[tokio::test]
async fn two_tabs_show_the_same_and_a_reload_loses_nothing() {
    let store = Store::start().await;
    let page = Page::open(&store.console).await;
    let first = page.tab().await;
    page.new_tab().await;
    page.run(&format!("location.href = '{}'", store.console)).await;
    page.is_live().await;
    let second = page.tab().await;

    let leader = page.leader().await;
    page.act("kill", &leader).await;
    let successor = page.leader_other_than(&leader).await;
    page.shows("#log li[data-kind=gap]").await;
    page.switch_to(&first).await;
    assert_eq!(page.leader_other_than(&leader).await, successor);
    page.is_in_state(&leader, "stopped").await;
    page.shows("#log li[data-kind=gap]").await;
    let seen = page.sentences("gap").await;
    page.switch_to(&second).await;
    assert_eq!(page.sentences("gap").await, seen);

    page.reload().await;
    page.is_live().await;
    page.is_in_state(&leader, "stopped").await;
    assert_eq!(page.leader().await, successor);
    assert_eq!(page.sentences("gap").await, seen);
    assert_eq!(page.sentences("control").await.len(), 1);
    page.act("restart", &leader).await;
    page.is_healthy().await;
}
