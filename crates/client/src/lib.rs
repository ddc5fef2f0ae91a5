//! Shoppers: they use the store as people do, through the public REST API alone, and then hold it to its word.
//!
//! # What a shopper does
//!
//! A run has a number of shoppers, each a task with its own kept-alive connection and its own `Session-ID`. A shopper
//! goes through a number of *sessions*, one after the other (a closed loop: the next request waits for the last answer):
//!
//! 1. ask for a random product;
//! 2. if there is enough of it, order it with probability *p*, under a fresh `Idempotency-Key`.
//!
//! Which products, and whether to order, follows from one seed ([`Config::seed`]), whatever the store answers. The keys do not:
//! two runs with one seed are still different orders, else the second run would only be shown the first one's.
//!
//! # Failures
//!
//! A request that failed in a way that may pass (no connection, no answer in time, a 5xx) is tried three times, 2 s apart,
//! *with the same key*: if the first try had placed the order after all, the second is told its number and nothing is
//! bought twice. A refusal (4xx) is final. One of them is part of shopping: 409 "out of stock" after a query that
//! still showed stock means that another shopper was faster; it is counted by itself and is no failure.
//! A shopper for whom three requests in a row failed for good goes home, so that a run against a dead store ends.
//!
//! # The reckoning
//!
//! Every acknowledged order goes into a CSV file as soon as it is acknowledged. At the end (`session_check`) every one is
//! fetched and must be what was ordered; no two may have one number; and each shopper sends its last order once
//! more with the same key, which must give the same number. A [`Mismatch`] means that the store broke a promise.
//! [`Summary::exit_code`] is 0 only if there was none, every request was answered, and no session or check was left out.
//!
//! # Caveats
//!
//! * A latency runs from the first try to the answer, pauses between tries included: what the shopper waited. Requests that
//!   failed for good are counted, but have no latency.
//! * Since a shopper waits for each answer, a slow store is asked less often. That is how people shop; it is no
//!   measurement of a store at a fixed rate ("coordinated omission").
//! * An order that failed for good may have been placed all the same. It was not acknowledged, so it is not checked.
//! * The CSV file is flushed whenever nothing waits to be written, but not synced: it is evidence about the store, not a ledger.

mod check;
mod config;
pub mod load;
pub mod loadtest;
mod patient;
mod progress;
mod record;
mod report;
mod run;
mod shopper;
mod store;
mod tally;
mod wish;

pub use check::{Checked, Mismatch};
pub use config::{Config, RunType, settings, shopping_settings};
pub use patient::Patience;
pub use record::Acknowledged;
pub use report::Summary;
pub use run::{RunError, run};
pub use store::{Purchase, Store, StoreError, base_url, parse_address};
pub use tally::{FirstFew, Latency, RequestKind, RequestSummary};
