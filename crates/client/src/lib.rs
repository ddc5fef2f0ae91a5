//! `toystore client` and `toystore load`: shoppers, and a load test. Both use the store through its
//! public REST API only, and then verify that the store kept every order.
//!
//! # What a shopper does
//!
//! A run has a number of shoppers. Each shopper is a task with its own keep-alive connection and
//! its own `Session-ID`. A shopper runs a number of *sessions*, one after the other. This is a
//! closed loop: the next request waits for the last response. In each session, a shopper
//!
//! 1. reads a random product;
//! 2. if enough of it is in stock, orders it with probability *p*, under a new `Idempotency-Key`.
//!
//! One seed ([`Config::seed`]) determines which products are read and which of them are ordered,
//! whatever the store answers. It does not determine the idempotency keys: two runs with the same
//! seed place different orders. Otherwise the second run would only be told the order numbers of
//! the first.
//!
//! # Failures
//!
//! A request that fails temporarily (no connection, no response in time, a 5xx) is tried three
//! times, 2 s apart, *with the same key* (`TRIES`, `RETRY_DELAY_MS`). If the first attempt placed
//! the order after all, the second attempt returns its number and nothing is bought twice. A
//! refusal (4xx) is final. One refusal is not a failure: 409 "out of stock" after a product read
//! that still showed stock means that another shopper was faster. It is counted separately. A
//! shopper gives up after three consecutive requests have failed, so that a run against a dead
//! store ends.
//!
//! # Verification
//!
//! Every order is written to a CSV file as soon as it is acknowledged. At the end of a
//! `session_check` run, the shoppers [verify](workload::verification) all orders: every
//! acknowledged order is read and must be what was ordered, no two orders may have the same number,
//! and each shopper sends its last order again with the same key, which must return the same
//! number. A failed order may have been placed all the same, so it is sent again with its key, too.
//! A `check` run sends no orders: it reads the orders in the file of an earlier run.
//!
//! [`ShoppingSummary::exit_code`] is 0 only if no promise was broken, every request was answered,
//! and no session and no check was left out. It is 70 if the store broke a promise, and 69 if an
//! acknowledged order could not be read, an order without an answer could not be decided, or a
//! shopper's last order could not be sent again.
//!
//! # Caveats
//!
//! * A latency runs from the first attempt to the response, including the pauses between attempts:
//!   it is the time that the shopper waited. Failed requests are counted, but have no latency.
//! * Each shopper waits for a response before it sends the next request, so a slow store receives
//!   fewer requests. People shop like that, but it does not measure a store at a fixed rate
//!   ("coordinated omission"). Use [`loadtest`] for that.
//! * A failed order that the verification places after all is not in the CSV file.
//! * The CSV file is flushed whenever no order is waiting to be written, but it is not synced: it
//!   is evidence about the store, not a ledger.
//!
//! # Shoppers without an end
//!
//! [`ContinuousShoppers`] keep a store busy while somebody watches it. They do the same, but pause
//! between their sessions, know all frontends, wait for a dead store as long as it takes, and
//! remember and verify nothing.
//!
//! # Reading order
//!
//! `config`, `run`, `shopper`, `orders_file`, `report`; `continuous`; then [`loadtest`] (`toystore
//! load`). The requests, the retries, the load generator and the verification are in the crate
//! [`workload`].

mod config;
mod continuous;
pub mod loadtest;
mod orders_file;
mod report;
mod run;
mod shopper;

pub use config::{Config, RunType, settings, shopping_settings};
pub use continuous::{ContinuousConfig, ContinuousShoppers};
pub use report::{RequestSummary, ShoppingSummary};
pub use run::{RunError, run};
