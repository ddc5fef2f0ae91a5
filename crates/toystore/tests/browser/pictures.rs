//! Pictures of the page, for the documents: `SCREENSHOTS` names their directory.

use std::path::PathBuf;

use crate::page::Page;
use crate::store::Store;
use crate::webdriver::Browser;

/// A picture in the repository is at most that large.
const BYTES_MAX: usize = 200_000;

struct Album<'page> {
    page: &'page Page,
    directory: PathBuf,
}

impl Album<'_> {
    async fn take(&self, name: &str) {
        self.page.run("window.scrollTo(0, 0); document.activeElement.blur()").await;
        let picture = self.page.screenshot().await;
        assert!(picture.len() < BYTES_MAX, "{name}: {} bytes", picture.len());
        std::fs::write(self.directory.join(name).with_extension("png"), picture).unwrap();
    }
}

#[tokio::test]
#[ignore = "writes files: SCREENSHOTS=docs/console"]
async fn pictures_of_the_page() {
    let directory = PathBuf::from(std::env::var("SCREENSHOTS").expect("SCREENSHOTS names a directory"));
    std::fs::create_dir_all(&directory).unwrap();
    let store = Store::start().await;
    let browser = Browser::with_arguments(&["--hide-scrollbars"]).await;
    let page = Page::of(browser, &store.console).await;
    let album = Album { page: &page, directory };
    page.resize(1280, 800).await;
    page.is_healthy().await;
    album.take("idle").await;

    page.set_slider("shopper-probability", 4).await;
    page.set_slider("shopper-count", 4).await;
    let seconds = |n: u32| format!("document.getElementById('timeline').getAttribute('aria-valuemin') <= -{n}");
    page.until(&seconds(25)).await;
    page.shows("[data-dots] *").await;
    album.take("load").await;

    let leader = page.leader().await;
    page.press_button("#hint [data-action=kill]").await;
    page.leader_other_than(&leader).await;
    page.shows("#log li[data-kind=gap]").await;
    page.is_in_state(&leader, "stopped").await;
    page.shows("[data-flow=place].moving").await;
    // The numbers come once a second.
    page.says("[data-number=gap] .value", "s").await;
    album.take("leader-killed").await;
    page.press_button("#theme").await;
    page.shows("html[data-theme=dark]").await;
    album.take("leader-killed-dark").await;
    page.press_button("#theme").await;
    page.shows("html[data-theme=light]").await;
    page.press_button("#hint [data-action=restart]").await;
    page.is_healthy().await;

    page.resize(390, 844).await;
    page.shows("#diagram svg.narrow").await;
    page.shows("[data-flow=place].moving").await;
    album.take("phone").await;
}
