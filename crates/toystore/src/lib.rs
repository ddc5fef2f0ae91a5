//! The whole store in one binary: `toystore <subcommand>`.
//!
//! [`cli`] is the command line; [`local`] runs a store of real processes on this machine, [`up`] is that for people, [`drill`] breaks
//! one on purpose, and [`experiment`] measures one.

mod bar;
pub mod catalog_file;
pub mod cli;
pub mod drill;
pub mod experiment;
pub mod health;
pub mod local;
pub mod scale;
pub mod up;
