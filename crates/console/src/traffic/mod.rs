//! The traffic of clients, from the counters of the frontends.
//!
//! A frontend counts its requests in histograms. The difference of two samples is what happened
//! between them: how many requests, and how they are distributed over the buckets. Quantiles are
//! interpolated within a bucket, as Prometheus does. A counter that went back belongs to a process
//! that was restarted, and counts from 0.

mod sample;
mod window;

pub(crate) use sample::{Sample, float};
pub(crate) use window::Window;
