//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::benchmark::Benchmark;

/// Benchmarks of the store, each compared with a well-known reference.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
pub(crate) struct BenchOptions {
    #[command(subcommand)]
    pub(crate) command: BenchCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Run benchmarks.
    Run(RunOptions),
    /// The bare server of P1: returns the same bytes for every request.
    BareHyper(BareHyper),
}

/// What to measure, and where the figures go.
#[derive(Debug, Args)]
pub(crate) struct RunOptions {
    /// The benchmarks to run [default: all].
    #[arg(value_enum, ignore_case = true)]
    pub(crate) benchmarks: Vec<Benchmark>,
    /// A smoke test of two or three minutes; its figures mean little.
    #[arg(long)]
    pub(crate) quick: bool,
    /// The store's binary.
    #[arg(long, env = "TOYSTORE", default_value = "target/dist/toystore")]
    pub(crate) toystore: PathBuf,
    /// A directory on the disk to measure; all files go to a temporary directory in it [default:
    /// the system's].
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// File to write all figures of all rounds to, as JSON.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Markdown page to update: the figures are written between its `<!-- bench: … -->` lines.
    #[arg(long)]
    pub(crate) document: Option<PathBuf>,
    /// Date and version of the measurement, for the page.
    #[arg(long, default_value = "undated")]
    pub(crate) label: String,
}

/// The options of the bare server.
#[derive(Debug, Args)]
pub(crate) struct BareHyper {
    /// The address to listen on.
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    /// File with a complete HTTP/1.1 response.
    #[arg(long)]
    pub(crate) response: PathBuf,
}
