//! Back in time, by keyboard.

use crate::page::Page;
use crate::store::Store;
use crate::webdriver::key;

#[tokio::test]
async fn scrubbing_back_to_before_the_kill_shows_the_old_leader() {
    let store = Store::start().await;
    let page = Page::open(&store.console).await;
    let leader = page.leader().await;
    page.is_healthy().await;
    page.act("kill", &leader).await;
    let successor = page.leader_other_than(&leader).await;
    page.shows("#log li[data-kind=gap]").await;

    page.run("document.getElementById('timeline').focus()").await;
    let old = format!("[data-process={leader}][data-leads]");
    // One frame after the other.
    while page.count(&old).await == 0 {
        let before = page.moment().await;
        page.press(&[key::LEFT]).await;
        page.shows("body[data-view=past]").await;
        page.until(&format!(
            "document.querySelector({}) || document.getElementById('timeline').getAttribute('aria-valuetext') !== {}",
            crate::page::quoted(&old),
            crate::page::quoted(&before)
        ))
        .await;
    }
    page.says("#headline", &format!("{leader} leads the orders")).await;
    page.shows_no("#log li[data-kind=gap]").await;
    // Nothing can be broken in the past.
    page.shows("#controls fieldset:disabled").await;
    page.shows("#inspector [data-action=kill]:disabled").await;

    page.press_button("#live").await;
    page.shows("body[data-view=live]").await;
    assert_eq!(page.leader().await, successor);
    page.is_in_state(&leader, "stopped").await;
    // By a time of the log, and back by a key.
    page.press_button("#log li[data-kind=control] [data-action=scrub]").await;
    page.shows("body[data-view=past]").await;
    page.press(&[key::ESCAPE]).await;
    page.shows("body[data-view=live]").await;
}

#[tokio::test]
async fn a_reload_in_the_past_is_live_and_has_the_past() {
    let store = Store::start().await;
    let page = Page::open(&store.console).await;
    store.order("Tux").await;
    page.says("[data-identical=true]", "Identical up to order 1.").await;
    page.run("document.getElementById('timeline').focus()").await;
    page.press(&[key::HOME]).await;
    page.shows("body[data-view=past]").await;
    page.reload().await;
    page.is_live().await;
    page.says("[data-identical=true]", "Identical up to order 1.").await;
    page.run("document.getElementById('timeline').focus()").await;
    page.press(&[key::HOME]).await;
    page.shows_no("[data-identical=true]").await;
    page.press(&[key::END]).await;
    page.shows("body[data-view=live] [data-identical=true]").await;
}
