//! The store as its users have it: real processes of the real binary, on ports of their own.
//!
//! Each test starts a store (see [`harness`]), does something to it that happens in real life, and judges what clients saw and what
//! lies on the disks. The letters are those of the project's list of what must be shown.

mod api_table;
mod buyers;
mod cache;
mod command_line;
mod crashes;
mod disks;
mod elections;
mod garbage;
mod harness;
mod hostile;
mod kubernetes;
mod ledger_damage;
mod losses;
mod overload;
mod rolling;
mod seats;
mod shopping;
mod threads;
mod traces;
