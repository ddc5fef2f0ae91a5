//! Tests of the store as its users run it: real processes of the real binary, on ports of their
//! own.
//!
//! Most tests start a store (see [`harness`]), do something to it that happens in operation, and
//! check the answers that clients got against the files on the disks. They mostly wait, and so run
//! many at a time (`.cargo/config.toml`).

mod access;
mod cache;
mod command_line;
mod console;
mod contention;
mod controls;
mod crashes;
mod delayed_messages;
mod disks;
mod drill;
mod elections;
mod experiment;
mod garbage;
mod harness;
mod hostile;
mod import;
mod killed;
mod kubernetes;
mod ledger_damage;
mod log_damage;
mod losses;
mod older_copies;
mod overload;
mod rest_api;
mod rolling;
mod scaling;
mod signals;
mod threads;
mod tour;
mod traces;
mod up;
