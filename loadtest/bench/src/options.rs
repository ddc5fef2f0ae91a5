//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::benchmark::Benchmark;

/// How fast the store is, each time beside something that people know.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure.
    Run(Run),
    /// The bare server of P1: answers every request with the same bytes.
    BareHyper(BareHyper),
}

/// What to measure, and where the figures go.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Which benchmarks; all of them if none is named.
    #[arg(value_enum, ignore_case = true)]
    pub(crate) benchmarks: Vec<Benchmark>,
    /// Less of everything, in two or three minutes: to see that all of it works. The figures mean little.
    #[arg(long)]
    pub(crate) quick: bool,
    /// The store's program.
    #[arg(long, env = "TOYSTORE", default_value = "target/release/toystore")]
    pub(crate) toystore: PathBuf,
    /// A directory on the disk that is to be used; everything goes into a temporary one in it [default: the system's].
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
    /// File that gets all figures of all rounds.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Page with lines `<!-- bench: … -->`, between which the figures are written.
    #[arg(long)]
    pub(crate) document: Option<PathBuf>,
    /// When, and of which version: goes into the page.
    #[arg(long, default_value = "undated")]
    pub(crate) label: String,
}

/// Where the bare server listens, and what it says.
#[derive(Debug, Args)]
pub(crate) struct BareHyper {
    /// Where it listens.
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    /// File with a whole HTTP/1.1 answer.
    #[arg(long)]
    pub(crate) answer: PathBuf,
}
