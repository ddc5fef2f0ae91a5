//! The whole store in one binary: `toystore <subcommand>`.
//!
//! [`cli`] is the command line; [`local`] runs a store of real processes on this machine, and [`up`] is that for people.

pub mod catalog_file;
pub mod cli;
pub mod local;
pub mod up;
