//! Every control of the page, and its end.

use crate::page::Page;
use crate::store::Store;

#[tokio::test]
async fn a_frozen_leader_is_replaced_and_resumes() {
    let store = Store::start().await;
    let page = Page::open(&store.console).await;
    let leader = page.leader().await;
    page.act("freeze", &leader).await;
    page.is_in_state(&leader, "frozen").await;
    page.leader_other_than(&leader).await;
    page.act("resume", &leader).await;
    page.shows(&format!("[data-process={leader}][data-state=up][data-role=follower]")).await;
    page.is_healthy().await;
}

#[tokio::test]
async fn a_partition_is_drawn_and_healed() {
    let store = Store::start().await;
    let page = Page::open(&store.console).await;
    let leader = page.leader().await;
    // By the lists.
    let choose = |id: &str, name: &str| {
        format!(
            "const list = document.getElementById('{id}'); list.value = '{name}'; \
             list.dispatchEvent(new Event('input', {{ bubbles: true }}))"
        )
    };
    page.run(&choose("cut-from", "frontend")).await;
    page.run(&choose("cut-to", "catalog")).await;
    page.press_button("[data-action=partition]").await;
    page.shows("[data-cut]").await;
    page.says("#headline", "catalog and frontend cannot reach each other").await;
    page.says("#headline", "has no lease").await;
    page.press_button("[data-action=heal]").await;
    page.shows_no("[data-cut]").await;
    page.is_healthy().await;

    // In the diagram, and with a leader that nobody reaches.
    for other in Page::others(&leader).into_iter().chain(["frontend".to_owned()]) {
        page.press_button("[data-action=pick]").await;
        page.press_button(&format!("[data-process={leader}] .name")).await;
        page.press_button(&format!("[data-process={other}] .name")).await;
        page.says("#status", &format!("{leader} and {other} are cut off")).await;
    }
    page.leader_other_than(&leader).await;
    page.heal_all().await;
    page.shows_no("[data-cut]").await;
    assert_eq!(page.count("[data-process][data-state=up]").await, 5);
}

#[tokio::test]
async fn disks_are_slow_full_and_wiped() {
    let store = Store::start().await;
    let page = Page::open(&store.console).await;
    store.order("Tux").await;
    let leader = page.leader().await;
    let follower = Page::others(&leader).swap_remove(0);
    page.act("slow_disk", &follower).await;
    page.says(&format!("[data-process={follower}] .fault"), "slow disk").await;
    page.act("slow_disk", &follower).await;
    page.shows_no(&format!("[data-process={follower}] .fault")).await;

    page.act("full_disk", &leader).await;
    page.says(&format!("[data-process={leader}] .fault"), "full disk").await;
    let successor = page.leader_other_than(&leader).await;
    page.heal_all().await;

    page.act("wipe_disk", &leader).await;
    page.shows("#log li[data-kind=replica_joined]").await;
    page.says(&format!("[data-ledger={leader}] .size"), "1 order").await;
    page.is_healthy().await;
    assert_eq!(page.leader().await, successor);
}

#[tokio::test]
async fn shoppers_come_and_leave_and_the_cache_is_switched() {
    let store = Store::start().await;
    let page = Page::open(&store.console).await;
    page.set_slider("shopper-probability", 4).await;
    page.set_slider("shopper-count", 3).await;
    for kind in ["order", "read", "reserve", "settle", "place"] {
        page.shows(&format!("[data-flow={kind}].moving")).await;
    }
    page.says("[data-number=orders]", "a second").await;
    page.until("parseFloat(document.querySelector('[data-number=orders]').textContent.replace(/\\D*/, '')) > 0").await;
    page.says("#diagram", "4 shoppers").await;

    page.press_button("[data-action=cache]").await;
    page.says("#headline", "The caches are off.").await;
    page.shows("[data-flow=fill].moving").await;
    page.press_button("[data-action=cache]").await;
    page.says("#headline", "serves from its cache").await;
    page.shows("[data-flow=invalidate].moving").await;

    page.set_slider("shopper-count", 0).await;
    page.says("#diagram", "0 shoppers").await;
    page.shows_no("[data-flow].moving").await;
}

#[tokio::test]
async fn the_end_of_everything_loses_no_order() {
    let store = Store::start().await;
    let page = Page::open(&store.console).await;
    for _ in 0..3 {
        store.order("Tux").await;
    }
    page.says("[data-identical=true]", "Identical up to order 3.").await;
    page.press_button("[data-action=kill_all]").await;
    page.until("document.querySelectorAll('[data-process][data-state=stopped]').length === 5").await;
    page.shows("#headline[data-level=down]").await;
    page.press_button("#controls [data-action=restart_all]").await;
    page.is_healthy().await;
    page.says("[data-ledger=order-1] .size", "3 orders").await;
}
