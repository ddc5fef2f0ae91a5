//! The whole store in one binary: `toystore <subcommand>`.
//!
//! * [`cli`] lists the subcommands; [`subcommand`] is what they have in common.
//! * [`local`] runs a store of real processes on this machine. [`up`] runs one for people,
//!   [`drill`] injects faults into one, [`experiment`] measures one, and [`import`] fills one with
//!   the orders of another store.
//! * The other modules are one small subcommand each.

pub mod catalog_file;
pub mod cli;
pub mod drill;
pub mod experiment;
pub mod health;
pub mod import;
pub mod local;
mod output;
pub mod scale;
mod shoppers;
mod simulate;
pub mod status;
pub mod subcommand;
pub mod up;
