//! The list of benchmarks.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// One row of the plan. They run in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[value(rename_all = "UPPER")]
pub(crate) enum Benchmark {
    /// Cached products, beside a bare hyper server.
    P1,
    /// Products that are not cached, beside cached ones.
    P2,
    /// Orders, beside etcd's puts.
    P3,
    /// A leader is killed, beside etcd's.
    P4,
    /// A ledger that grows, beside a small one.
    P5,
    /// Looks and orders together, beside cached products alone.
    P6,
    /// Processor time per request.
    P7,
}

impl fmt::Display for Benchmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
