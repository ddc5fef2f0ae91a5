//! What every process measures, and how services add their own metrics.
//!
//! A process has one [`registry()`], served under `/metrics`. Names are
//! `toystore_<subsystem>_<what>_<unit>`. What the operating system reports has the names that
//! Prometheus's own client libraries use (`process_…`).
//!
//! Rules that keep metrics cheap and few:
//! * The values of a label come from the code: route templates, error codes, phases. Nothing that a
//!   client sends becomes a label. The only exception is the product in
//!   `toystore_catalog_stock_pieces`, and the catalog bounds the number of products.
//! * Whatever can be read at a scrape (positions, queues, the runtime) is read then, and costs
//!   nothing in between.
//! * The series of an event exists with the value 0 before the first event, because `increase()`
//!   does not see the event that creates its series.

mod process;
mod registry;
mod runtime;
mod text;

pub use registry::{LATENCY_BUCKETS_S, registered, registry};
pub use text::{MetricLine, lines};
