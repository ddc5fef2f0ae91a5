//! A machine: a disk that stays, a clock with a rate of its own, and at most one process.

use std::sync::Arc;
use std::time::Duration;

use service::lifecycle::ExitCode;
#[cfg(tokio_unstable)]
use tokio::runtime::RngSeed;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::disk::{CrashDamage, Disk, ProcessLife};
use crate::network::{MachineId, ProcessId};
use crate::outside::Outside;
use crate::process_world::{Ending, ProcessWorld, Slowness};
use crate::random::Random;
use crate::trace::{Event, Millis};

/// What a process does from its start to its end.
pub(crate) type Main =
    Box<dyn FnOnce(CancellationToken) -> futures::future::BoxFuture<'static, Result<(), Exit>> + Send>;

/// With what a process ends that could not start.
#[derive(Debug)]
pub(crate) struct Exit {
    pub(crate) code: ExitCode,
    pub(crate) what: String,
}

/// A process that runs, on a runtime of its own whose clock stands still unless it is polled.
struct Process {
    /// Gone before everything else: see `Drop`.
    runtime: Option<Runtime>,
    world: Arc<ProcessWorld>,
    stop: CancellationToken,
    /// When it was started, by the simulation's clock and by its own.
    began: Millis,
    origin: Instant,
    paused: bool,
}

impl Process {
    /// What its clock shows at `now`.
    fn at(&self, now: Millis, rate_ppm: i64) -> Instant {
        let elapsed_us = i128::from(now - self.began) * i128::from(1_000_000 + rate_ppm) / 1000;
        self.origin
            + Duration::from_micros(u64::try_from(elapsed_us).expect("a run is short, and no clock runs backwards"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.world.life().end();
        // Destructors run in a world that they cannot change any more.
        let _inside = self.world.enter();
        drop(self.runtime.take());
        self.world.close_ports();
    }
}

pub(crate) struct Machine {
    id: MachineId,
    outside: Outside,
    random: Random,
    disk: Disk,
    slowness: Slowness,
    /// How much faster than the simulation's its clock runs, in millionths.
    rate_ppm: i64,
    /// False after a crash, until it is started again: not even a refusal comes from it.
    powered: bool,
    process: Option<Process>,
}

impl Machine {
    pub(crate) fn new(id: MachineId, outside: Outside, random: Random, rate_ppm: i64) -> Self {
        let (disk, slowness) = (Disk::default(), Slowness::default());
        Self { id, outside, random, disk, slowness, rate_ppm, powered: true, process: None }
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn slowness(&self) -> &Slowness {
        &self.slowness
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

    /// The process, to give it requests.
    pub(crate) fn receiver(&self) -> Option<(&Arc<ProcessWorld>, &Handle)> {
        let process = self.process.as_ref()?;
        Some((&process.world, process.runtime.as_ref()?.handle()))
    }

    /// Starts a process.
    pub(crate) fn start(&mut self, id: ProcessId, main: Main) {
        assert!(self.process.is_none(), "one process per machine");
        self.powered = true;
        let life = ProcessLife::new(id);
        let random = self.random.fork();
        let (disk, slowness) = (self.disk.clone(), self.slowness.clone());
        let world = ProcessWorld::new(self.outside.clone(), self.id, life, disk, slowness, random);
        let _inside = world.enter();
        let runtime = seeded(Builder::new_current_thread().enable_time().start_paused(true), &mut self.random)
            .build()
            .expect("a runtime without I/O needs nothing of the operating system");
        let stop = CancellationToken::new();
        let (ended, stopping) = (Arc::clone(&world), stop.clone());
        runtime.spawn(async move {
            match main(stopping).await {
                Ok(()) => ended.end(ExitCode::Ok, "stopped".to_owned()),
                Err(Exit { code, what }) => ended.end(code, what),
            }
        });
        let origin = runtime.block_on(async { Instant::now() });
        let began = self.outside.now();
        self.outside.note(self.id, &Event::Started);
        self.process = Some(Process { runtime: Some(runtime), world, stop, began, origin, paused: false });
    }

    /// Lets the process run until its clock shows `now`, as far as its rate goes. Tells how it ended, if it did.
    pub(crate) fn run(&mut self, now: Millis) -> Option<Ending> {
        let process = self.process.as_ref().filter(|process| !process.paused)?;
        let until = process.at(now, self.rate_ppm);
        let _inside = process.world.enter();
        process.runtime.as_ref()?.block_on(async { tokio::time::sleep_until(until).await });
        process.world.ending()
    }

    /// Asks the process to stop in good order.
    pub(crate) fn ask_to_stop(&self) {
        if let Some(process) = &self.process {
            process.stop.cancel();
        }
    }

    /// The process stands still, as after SIGSTOP. It notices nothing, until it goes on.
    pub(crate) fn pause(&mut self) {
        if let Some(process) = &mut self.process {
            process.paused = true;
        }
    }

    /// The process goes on: its clock jumps, and all timers of the time between are due at once.
    pub(crate) fn wake(&mut self, now: Millis) {
        let rate_ppm = self.rate_ppm;
        let Some(process) = self.process.as_mut().filter(|process| process.paused) else { return };
        process.paused = false;
        let target = process.at(now, rate_ppm);
        let _inside = process.world.enter();
        if let Some(runtime) = &process.runtime {
            runtime.block_on(async {
                tokio::time::advance(target.saturating_duration_since(Instant::now())).await;
            });
        }
    }

    /// The process is gone, with everything that it had only in memory; what it has written stays. Its callers are told.
    pub(crate) fn kill(&mut self) {
        self.bury(true);
    }

    /// The machine loses its power.
    pub(crate) fn crash(&mut self) -> CrashDamage {
        self.bury(false);
        self.powered = false;
        self.disk.crash(&mut self.random)
    }

    fn bury(&mut self, told: bool) {
        let Some(process) = self.process.take() else { return };
        let id = process.world.life().id;
        drop(process);
        self.disk.unlock_all(id);
        self.outside.lock().died(id, told);
    }
}

/// Which of several ready branches a `select!` takes comes from the seed, too.
#[cfg(tokio_unstable)]
fn seeded<'a>(builder: &'a mut Builder, random: &mut Random) -> &'a mut Builder {
    builder.rng_seed(RngSeed::from_bytes(&random.next().to_le_bytes()))
}

#[cfg(not(tokio_unstable))]
fn seeded<'a>(builder: &'a mut Builder, random: &mut Random) -> &'a mut Builder {
    random.next();
    builder
}
