//! The page for everybody: without a mouse, without motion, and as axe-core judges it.

use serde_json::Value;

use crate::page::Page;
use crate::store::Store;
use crate::webdriver::{Browser, key};

/// More than the page has stops for the Tab key.
const STOPS_MAX: usize = 200;

#[tokio::test]
async fn the_leader_is_killed_by_keyboard_alone() {
    let store = Store::start().await;
    let page = Page::open(&store.console).await;
    let leader = page.leader().await;
    let focused = format!("document.activeElement.matches('[data-action=kill][data-target={leader}]')");
    let mut stops = 0;
    while page.value(&focused).await == false {
        stops += 1;
        assert!(stops < STOPS_MAX, "the Tab key does not reach the button");
        page.press(&[key::TAB]).await;
    }
    let outline = "getComputedStyle(document.activeElement).outlineStyle !== 'none'";
    assert_eq!(page.value(outline).await, true, "the focus is visible");
    page.press(&[key::ENTER]).await;
    page.is_in_state(&leader, "stopped").await;
    page.leader_other_than(&leader).await;

    // A box of the diagram is a button, too.
    page.run(&format!("document.querySelector('[data-process={leader}]').focus()")).await;
    page.press(&[key::ENTER]).await;
    page.shows(&format!("[data-process={leader}][aria-pressed=true]")).await;
}

#[tokio::test]
async fn nothing_moves_for_those_who_asked_for_that() {
    let store = Store::start().await;
    let page = Page::open(&store.console).await;
    page.prefer(&[("prefers-reduced-motion", "reduce")]).await;
    page.reload().await;
    page.is_live().await;
    page.set_slider("shopper-count", 3).await;
    // Dots would have started with the first frame that has a flow.
    let moved = "(window.frames_moved = (window.frames_moved ?? new Set()).add(document.querySelector(\
                 '#timeline').getAttribute('aria-valuemin'))).size > 3";
    page.shows("[data-flow=order].moving").await;
    page.until(moved).await;
    assert_eq!(page.count("[data-dots] *").await, 0);
    assert!(!page.says("#legend", "per second").await.contains("dots"));
    let animations = "document.getAnimations().filter(it => it.playState === 'running' \
                      && it.effect.getComputedTiming().duration > 1).length";
    assert_eq!(page.value(animations).await, 0);

    page.prefer(&[("prefers-reduced-motion", "no-preference")]).await;
    page.reload().await;
    page.is_live().await;
    page.shows("[data-dots] *").await;
}

/// `AXE` names the file `axe.min.js`. `ci/browser` says so if it is not there.
#[tokio::test]
#[ignore = "needs axe-core: AXE=axe.min.js"]
async fn axe_finds_nothing() {
    let axe = axe();
    let store = Store::start().await;
    let page = Page::open(&store.console).await;
    page.set_slider("shopper-count", 2).await;
    page.shows("[data-flow=order].moving").await;
    page.act("kill", &page.leader().await).await;
    page.shows("#log li[data-kind=gap]").await;
    page.run(&axe).await;
    for theme in THEMES {
        page.prefer(&[("prefers-color-scheme", theme), ("prefers-reduced-motion", "reduce")]).await;
        if page.value("document.documentElement.dataset.theme").await != theme {
            page.press_button("#theme").await;
        }
        page.shows(&format!("html[data-theme={theme}]")).await;
        for (width, height) in [(390, 844), (1280, 800), (1920, 1080)] {
            page.resize(width, height).await;
            page.until(&format!("document.querySelector('#diagram svg').clientWidth < {width}")).await;
            judge(&page, &format!("{theme}, {width} px")).await;
        }
    }
}

/// The longest documents, the one that is a table, and lessons.
#[tokio::test]
#[ignore = "needs axe-core: AXE=axe.min.js"]
async fn axe_finds_nothing_in_documents() {
    let axe = axe();
    let store = Store::start().await;
    let page = Page::open(&store.console).await;
    for theme in THEMES {
        // No theme was chosen on this page, so it is the preferred one.
        page.prefer(&[("prefers-color-scheme", theme)]).await;
        for document in ["architecture", "glossary", "operations", "lessons/README", "lessons/1-cache-and-leases"] {
            Browser::open(&page, &format!("{}/docs/{document}", store.console)).await;
            page.shows(&format!("html[data-theme={theme}]")).await;
            page.run(&axe).await;
            for (width, height) in [(390, 844), (1280, 800)] {
                page.resize(width, height).await;
                judge(&page, &format!("{document}, {theme}, {width} px")).await;
            }
        }
    }
}

const THEMES: [&str; 2] = ["light", "dark"];

fn axe() -> String {
    let file = std::env::var("AXE").expect("AXE names the file axe.min.js");
    std::fs::read_to_string(file).unwrap()
}

/// axe-core has been run in this page. It judges what is shown now.
async fn judge(page: &Page, what: &str) {
    assert_eq!(page.value("document.documentElement.scrollWidth <= innerWidth").await, true, "{what}");
    // What it has judged, so that a script that does nothing does not pass.
    let rules = page.run("return axe.run().then(it => it.passes.length)").await;
    assert!(rules.as_u64() > Some(20), "{what}: {rules}");
    let judge = "return axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', \
                 'best-practice'] }).then(it => it.violations.map(one => one.id + ': ' + \
                 one.nodes.slice(0, 3).map(node => node.html + ' ' + node.failureSummary).join('; ')))";
    assert_eq!(page.run(judge).await, Value::Array(Vec::new()), "{what}");
}
