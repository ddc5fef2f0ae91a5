//! The whole store in one thread, under virtual time and seeded faults.
//!
//! The services run as they are, from their start to their end: what is below them is exchanged at the one seam that they have for
//! it, [`service::world`]. So a seed determines a run, a run takes a fraction of a second, and what it breaks can be broken again.
//!
//! ```text
//!   simulation ── ticks of 1 ms ──► machine: disk, clock rate        machine         machine
//!      │                            └ process: tokio runtime ─┐      └ process ─┐    └ process ─┐
//!      │ faults, as the seed says                        World │            World │          World │
//!      └───────────────────────────► network: messages, delays, cuts ◄────────────┴────────────────┘
//! ```
//!
//! * `simulation`: the scheduler, and a run's stages: start, faults (`faults`, `strike`), healing, audit, judgement.
//! * `machine`: a disk that stays, and a process that comes and goes: a `current_thread` runtime whose clock stands still unless the
//!   scheduler lets it run on.
//! * `process_world`: the `World` of one process. `network`, `disk`: what it leads to.
//! * `shopping`: the shoppers, whose calls become a [`history`]; `observer`: what passes between order leaders and the catalog.
//! * `trace`: what happened, as a hash that two runs of one seed share, and as lines for people.
//!
//! # What a seed determines
//! Everything that the trace hashes: each message with its body, each fault, each answer. Randomness comes from the seed, the processes'
//! own too; runtimes choose between ready branches by a seed of theirs (`--cfg tokio_unstable`, which `.cargo/config.toml` sets).
//! The engine draws its election time-outs from the thread's own randomness; nothing here depends on them, because its
//! elections are off. Hash maps with random keys are never iterated by the services. Tests compare runs of one seed.
//!
//! # Caveats
//! * A message is whole: what hyper and TCP do with half of one is left to tests with real sockets.
//! * A process computes in no time. Only waiting takes time; a busy loop would stop the simulation.
//! * Everything of a process runs in one thread: races between threads are left to tests with real processes.
//! * The disk's model is no file system: see `disk`.

pub mod command;
mod disk;
mod faults;
mod logs;
mod machine;
mod member;
mod network;
mod observer;
mod outside;
mod process_world;
mod random;
mod report;
mod shopping;
mod simulation;
mod strike;
mod trace;

use simulation::Simulation;

pub use report::{Broken, Report};
pub use trace::{Listener, Tell};

/// How to run a seed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// No faults at all.
    pub calm: bool,
    /// How much is told.
    pub tell: Tell,
}

/// Runs the store under the faults of `seed` and judges it.
pub fn run(seed: u64, options: Options) -> Report {
    Simulation::new(seed, options, None).run()
}

/// The same; what [`Options::tell`] asks for is told line by line.
pub fn run_told(seed: u64, options: Options, listener: Listener) -> Report {
    let simulation = Simulation::new(seed, options, Some(listener));
    if options.tell == Tell::Nothing { simulation.run() } else { logs::told(|| simulation.run()) }
}

/// Runs a store that has a bug.
#[cfg(feature = "mutations")]
pub fn run_mutated(seed: u64, options: Options, mutation: service::mutation::Mutation) -> Report {
    service::mutation::activate(Some(mutation));
    let report = run(seed, options);
    service::mutation::activate(None);
    report
}
