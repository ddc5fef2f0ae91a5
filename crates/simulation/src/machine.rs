//! A machine: a disk, a clock with a rate of its own, and at most one process.

use std::sync::Arc;
use std::time::Duration;

use service::lifecycle::{ExitCode, ExitError};
#[cfg(tokio_unstable)]
use tokio::runtime::RngSeed;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::disk::{CrashDamage, ProcessLife, SimulatedDisk};
use crate::environment::SimulatedEnvironment;
use crate::network::{MachineId, ProcessId};
use crate::process_world::{DiskDelay, ProcessExit, ProcessWorld};
use crate::random::Random;
use crate::trace::{Millis, TraceEvent};

/// The main function of a process.
pub(crate) type Main =
    Box<dyn FnOnce(CancellationToken) -> futures::future::BoxFuture<'static, Result<(), ExitError>> + Send>;

/// A running process, on a runtime of its own whose clock advances only while the runtime is
/// polled.
struct SimulatedProcess {
    /// Dropped before everything else: see `Drop`.
    runtime: Option<Runtime>,
    world: Arc<ProcessWorld>,
    stop: CancellationToken,
    /// When the process was started, by the simulation's clock and by its own clock.
    began: Millis,
    origin: Instant,
    paused: bool,
}

impl SimulatedProcess {
    /// The time that its clock shows at `now`.
    fn at(&self, now: Millis, clock_rate_ppm: i64) -> Instant {
        let elapsed_us = i128::from(now - self.began) * i128::from(1_000_000 + clock_rate_ppm) / 1000;
        self.origin
            + Duration::from_micros(u64::try_from(elapsed_us).expect("a run is short, and clocks do not run backwards"))
    }
}

impl Drop for SimulatedProcess {
    fn drop(&mut self) {
        self.world.life().end();
        // Destructors run in the process's world, but cannot change it any more.
        let _current = self.world.enter();
        drop(self.runtime.take());
        self.world.close_ports();
    }
}

pub(crate) struct SimulatedMachine {
    id: MachineId,
    environment: SimulatedEnvironment,
    random: Random,
    disk: SimulatedDisk,
    disk_delay: DiskDelay,
    /// How much faster its clock runs than the simulation's clock, in parts per million.
    clock_rate_ppm: i64,
    /// False after a crash until it is started again. A machine without power does not even refuse
    /// connections.
    powered: bool,
    process: Option<SimulatedProcess>,
}

impl SimulatedMachine {
    pub(crate) fn new(
        id: MachineId,
        environment: SimulatedEnvironment,
        random: Random,
        clock_rate_ppm: i64,
        disk_delay: DiskDelay,
    ) -> Self {
        let disk = SimulatedDisk::default();
        Self { id, environment, random, disk, disk_delay, clock_rate_ppm, powered: true, process: None }
    }

    pub(crate) fn disk(&self) -> &SimulatedDisk {
        &self.disk
    }

    pub(crate) fn disk_delay(&self) -> &DiskDelay {
        &self.disk_delay
    }

    pub(crate) fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub(crate) fn is_powered(&self) -> bool {
        self.powered
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.paused)
    }

    /// The process, to deliver requests to it.
    pub(crate) fn receiver(&self) -> Option<(&Arc<ProcessWorld>, &Handle)> {
        let process = self.process.as_ref()?;
        Some((&process.world, process.runtime.as_ref()?.handle()))
    }

    /// Starts a process.
    pub(crate) fn start(&mut self, id: ProcessId, main: Main) {
        assert!(self.process.is_none(), "a machine has at most one process");
        self.powered = true;
        let life = ProcessLife::new(id);
        let random = self.random.fork();
        let (disk, disk_delay) = (self.disk.clone(), self.disk_delay.clone());
        let world = ProcessWorld::new(self.environment.clone(), self.id, life, disk, disk_delay, random);
        let _current = world.enter();
        let runtime = seeded(Builder::new_current_thread().enable_time().start_paused(true), &mut self.random)
            .build()
            .expect("a runtime without I/O needs nothing of the operating system");
        let stop = CancellationToken::new();
        let (ended, stopping) = (Arc::clone(&world), stop.clone());
        runtime.spawn(async move {
            match main(stopping).await {
                Ok(()) => ended.end(ExitCode::Ok, "stopped".to_owned()),
                Err(ExitError { code, message }) => ended.end(code, message),
            }
        });
        let origin = runtime.block_on(async { Instant::now() });
        let began = self.environment.now();
        self.environment.note(self.id, &TraceEvent::Started);
        self.process = Some(SimulatedProcess { runtime: Some(runtime), world, stop, began, origin, paused: false });
    }

    /// Lets the process run until its clock shows `now`, according to its rate. Returns how the
    /// process ended, if it did.
    pub(crate) fn run(&mut self, now: Millis) -> Option<ProcessExit> {
        let process = self.process.as_ref().filter(|process| !process.paused)?;
        let until = process.at(now, self.clock_rate_ppm);
        let _current = process.world.enter();
        process.runtime.as_ref()?.block_on(async { tokio::time::sleep_until(until).await });
        process.world.process_exit()
    }

    /// Asks the process to shut down gracefully.
    pub(crate) fn ask_to_stop(&self) {
        if let Some(process) = &self.process {
            process.stop.cancel();
        }
    }

    /// Pauses the process, like SIGSTOP. The process does not notice it until it is resumed.
    pub(crate) fn pause(&mut self) {
        if let Some(process) = &mut self.process {
            process.paused = true;
        }
    }

    /// Resumes the process: its clock jumps, and all timers that have expired meanwhile fire at
    /// once.
    pub(crate) fn resume(&mut self, now: Millis) {
        let clock_rate_ppm = self.clock_rate_ppm;
        let Some(process) = self.process.as_mut().filter(|process| process.paused) else { return };
        process.paused = false;
        let target = process.at(now, clock_rate_ppm);
        let _current = process.world.enter();
        if let Some(runtime) = &process.runtime {
            runtime.block_on(async {
                tokio::time::advance(target.saturating_duration_since(Instant::now())).await;
            });
        }
    }

    /// Kills the process: its memory is lost, but what it has written stays. Its connections are
    /// closed.
    pub(crate) fn kill(&mut self) {
        self.remove_process(true);
    }

    /// The machine loses power.
    pub(crate) fn crash(&mut self) -> CrashDamage {
        self.remove_process(false);
        self.powered = false;
        self.disk.crash(&mut self.random)
    }

    fn remove_process(&mut self, closes_connections: bool) {
        let Some(process) = self.process.take() else { return };
        let id = process.world.life().id;
        drop(process);
        self.disk.unlock_all(id);
        self.environment.lock().process_died(id, closes_connections);
    }
}

/// The seed also determines which of several ready branches a `select!` takes.
#[cfg(tokio_unstable)]
fn seeded<'a>(builder: &'a mut Builder, random: &mut Random) -> &'a mut Builder {
    builder.rng_seed(RngSeed::from_bytes(&random.next().to_le_bytes()))
}

#[cfg(not(tokio_unstable))]
fn seeded<'a>(builder: &'a mut Builder, random: &mut Random) -> &'a mut Builder {
    random.next();
    builder
}
