//! The list of benchmarks.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// A benchmark. They run in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[value(rename_all = "UPPER")]
pub(crate) enum Benchmark {
    /// Cached products, compared with a bare hyper server.
    P1,
    /// Uncached products, compared with cached ones.
    P2,
    /// Orders, compared with puts to etcd.
    P3,
    /// A killed leader, compared with a killed leader of etcd.
    P4,
    /// A growing ledger, compared with a small one.
    P5,
    /// A mix of product reads and orders, compared with cached products only.
    P6,
    /// CPU time per request.
    P7,
    /// The longest time without an order, for each kind of fault.
    P8,
}

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
