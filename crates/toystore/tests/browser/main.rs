//! The console's page in a real browser: headless Chromium, driven through `WebDriver`, shows and
//! breaks a store of real processes.
//!
//! These tests need `chromium` and `chromedriver` on the path, so they have a feature of their own,
//! and `ci/browser` runs them. A test waits for what the page shows, never for a time.
//!
//! # Reading order
//! `webdriver` (the browser), `page` (the console's page in it), `store` (what it shows); then
//! `shows`, `kill`, `faults`, `past`, `reconnect`, `process_list`, `foreign_pages`,
//! `accessibility`, `pictures` and `soak`.

mod accessibility;
mod faults;
mod foreign_pages;
mod kill;
mod page;
mod past;
mod pictures;
mod process_list;
mod reconnect;
mod shows;
mod soak;
mod store;
mod webdriver;
