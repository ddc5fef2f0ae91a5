//! The console's page in a browser. Its README lists the attributes that tests may rely on.

use std::ops::Deref;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use crate::store::TIMEOUT;
use crate::webdriver::{Browser, key};

/// How often a condition is looked at. The page itself changes every 250 ms.
const POLL_INTERVAL: Duration = Duration::from_millis(40);

/// A browser that shows a console.
#[derive(Debug)]
pub(crate) struct Page(Browser);

impl Deref for Page {
    type Target = Browser;

    fn deref(&self) -> &Browser {
        &self.0
    }
}

impl Page {
    /// Opens a console, and waits until it shows a leader.
    pub(crate) async fn open(url: &str) -> Self {
        Self::of(Browser::start().await, url).await
    }

    /// The same in a browser that has been started.
    pub(crate) async fn of(browser: Browser, url: &str) -> Self {
        browser.open(url).await;
        let this = Self(browser);
        this.is_live().await;
        this
    }

    /// Waits until the page is connected, and shows an order leader.
    pub(crate) async fn is_live(&self) {
        self.shows("body[data-connection=live][data-view=live]").await;
        self.leader().await;
    }

    /// Waits until an expression in JavaScript is true, and returns its value.
    pub(crate) async fn until(&self, expression: &str) -> Value {
        let begun = Instant::now();
        loop {
            let value = self.run(&format!("return {expression}")).await;
            if ![Value::Null, Value::Bool(false), Value::from(""), Value::from(0)].contains(&value) {
                return value;
            }
            if begun.elapsed() > TIMEOUT {
                let state = "return [document.body.dataset.connection, document.body.dataset.view, \
                             document.getElementById('headline')?.textContent, \
                             document.getElementById('status')?.textContent].join(' | ')";
                panic!("it was never so: {expression}\n{}", self.run(state).await);
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until an element is there.
    pub(crate) async fn shows(&self, selector: &str) {
        self.until(&format!("document.querySelector({}) !== null", quoted(selector))).await;
    }

    /// Waits until an element is not there.
    pub(crate) async fn shows_no(&self, selector: &str) {
        self.until(&format!("document.querySelector({}) === null", quoted(selector))).await;
    }

    /// Waits until an element's text has a part, and returns the text.
    pub(crate) async fn says(&self, selector: &str, part: &str) -> String {
        let (selector, part) = (quoted(selector), quoted(part));
        let text = format!("document.querySelector({selector})?.textContent ?? ''");
        let found = self.until(&format!("({text}).includes({part}) && ({text})")).await;
        found.as_str().unwrap().to_owned()
    }

    /// The value of an expression in JavaScript.
    pub(crate) async fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression}")).await
    }

    /// How many elements there are.
    pub(crate) async fn count(&self, selector: &str) -> u64 {
        self.value(&format!("document.querySelectorAll({}).length", quoted(selector))).await.as_u64().unwrap()
    }

    /// Waits until there is an order leader, and returns its name.
    pub(crate) async fn leader(&self) -> String {
        self.leader_other_than("").await
    }

    /// Waits until there is another order leader, and returns its name.
    pub(crate) async fn leader_other_than(&self, not: &str) -> String {
        let leader = "document.querySelector('[data-process^=order][data-leads]')?.dataset.process";
        let name = self.until(&format!("({leader} ?? {0}) !== {0} && {leader}", quoted(not))).await;
        name.as_str().unwrap().to_owned()
    }

    /// The names of the order replicas other than one.
    pub(crate) fn others(leader: &str) -> Vec<String> {
        (1..=3).map(|n| format!("order-{n}")).filter(|name| name != leader).collect()
    }

    /// Clicks an element once it is there and nothing covers it.
    pub(crate) async fn press_button(&self, selector: &str) {
        let begun = Instant::now();
        // An element may be replaced between the search for it and the click.
        while let Err(error) = self.click(selector).await {
            assert!(begun.elapsed() < TIMEOUT, "{selector} cannot be clicked: {error}");
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Selects a process in the diagram, and clicks a button of its panel.
    pub(crate) async fn act(&self, action: &str, process: &str) {
        self.press_button(&format!("[data-choice='{process}']")).await;
        self.press_button(&format!("#inspector [data-action={action}][data-target='{process}']")).await;
        self.shows("#status[data-kind=done]").await;
    }

    /// Waits until a process is in a state.
    pub(crate) async fn is_in_state(&self, process: &str, state: &str) {
        self.shows(&format!("[data-process='{process}'][data-state={state}]")).await;
    }

    /// Clicks *Heal all*, and waits until everything works.
    pub(crate) async fn heal_all(&self) {
        self.press_button("#heal-all").await;
        self.is_healthy().await;
    }

    /// Waits until everything works.
    pub(crate) async fn is_healthy(&self) {
        self.shows("#headline[data-level=ok]").await;
    }

    /// Sets a slider by its keys: its first position, then some steps to the right.
    pub(crate) async fn set_slider(&self, id: &str, steps: usize) {
        self.run(&format!("document.getElementById({}).focus()", quoted(id))).await;
        self.press(&[key::HOME]).await;
        self.press(&vec![key::RIGHT; steps]).await;
    }

    /// The moment that is shown, in milliseconds, or null for live.
    pub(crate) async fn moment(&self) -> String {
        let text = self.value("document.getElementById('timeline').getAttribute('aria-valuetext')").await;
        text.as_str().unwrap().to_owned()
    }

    /// The sentences of a kind in the log, newest first.
    pub(crate) async fn sentences(&self, kind: &str) -> Vec<String> {
        let selector = quoted(&format!("#log li[data-kind={kind}] .text"));
        let texts = self.value(&format!("[...document.querySelectorAll({selector})].map(it => it.textContent)")).await;
        serde_json::from_value(texts).unwrap()
    }
}

/// A text as a string of JavaScript.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
