//! The whole store in one thread, under virtual time and seeded faults.
//!
//! The services run unchanged, from their start to their end. Everything below them is replaced at
//! the one seam that they have for it, [`service::world`]. Therefore a seed determines a run, a run
//! takes a fraction of a second, and every failure can be reproduced.
//!
//! ```text
//!   simulation ── ticks of 1 ms ──► machine: disk, clock rate      machine        machine
//!      │                            └ process: tokio runtime ─┐    └ process ─┐   └ process ─┐
//!      │ faults, as the seed says                       World │         World │        World │
//!      └───────────────────────────► network: messages, delays, cuts ◄────────┴──────────────┘
//! ```
//!
//! # Reading order
//!
//! * `simulation`: the phases of a seed. `scheduler`: how time advances. `judgement`: the end of a
//!   run: healing, audit, and what the checkers say.
//! * `cluster`: the machines, and what is scheduled to happen to them. `faults`: which faults
//!   happen when. `fault_injection`: how each of them is injected.
//! * `machine`: a disk, and a process that comes and goes. A process has a `current_thread` runtime
//!   whose clock advances only while the scheduler lets it run.
//! * `process_world`: the `World` of one process. `environment`, `network`, `disk`: what it
//!   accesses.
//! * `shoppers`: clients of the crate [`workload`] on the simulated network, whose calls become a
//!   [`history`]. `observer`: the messages between order leaders and the catalog, and the status of
//!   the replicas.
//! * `trace`: the events of a run, as a hash for comparison and as lines for people.
//! * [`script`]: protocol scenarios as text, on the same store, in which nothing is drawn. `watch`:
//!   the messages that scripts wait for.
//!
//! # What a seed determines
//!
//! Everything that the trace hashes: each message with its body, each fault, each response. All
//! randomness comes from the seed, including that of the processes. The runtimes choose between
//! ready branches with a seed of their own (`--cfg tokio_unstable`, which `.cargo/config.toml`
//! sets). The consensus engine draws its election timeouts from the thread's own randomness, but
//! nothing depends on them, because its elections are off. The services never iterate over hash
//! maps with random keys. Tests compare runs of the same seed.
//!
//! # Seeds and scripts
//! Seeds find what no one has thought of. A [`script`] shows one scenario step by step, and pins
//! it: what a leader that dies in a certain window leaves behind, and what its successor does.
//!
//! # Caveats
//! * Messages are delivered completely or not at all. Tests with real sockets cover partial
//!   messages in hyper and TCP.
//! * Computation takes no time, only waiting does. A busy loop would stop the simulation.
//! * All of a process runs in one thread. Tests with real processes cover races between threads.
//! * The disk's model is not a real file system: see `disk`.

mod cluster;
pub mod command;
mod disk;
mod environment;
mod fault_injection;
mod faults;
mod judgement;
mod logs;
mod machine;
mod member;
mod network;
mod observer;
mod options;
mod process_world;
mod random;
mod repeated_faults;
mod report;
mod run;
mod scheduler;
pub mod script;
mod shoppers;
mod simulation;
pub mod story;
mod trace;
mod watch;

pub use options::SimulationOptions;
pub use report::{SimulationFailure, SimulationReport};
#[cfg(feature = "mutations")]
pub use run::run_mutated;
pub use run::{run, run_traced};
pub use trace::{TraceDetail, TraceListener};
