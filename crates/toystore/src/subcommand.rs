//! What all subcommands have in common: settings, logging, the async runtime, and the exit code.

use std::fmt::Display;
use std::process::ExitCode as ProcessExitCode;

use clap::ArgMatches;
use report::CheckResult;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use service::lifecycle::{self, ExitCode, ExitError, Process, abort_on_panic};
use service::logging::{self, LogConfig};
use service::settings::{ProcessEnvironment, Setting, Values};
use service::trace::TraceConfig;
use tokio_util::sync::CancellationToken;

use crate::local;
use crate::output::write_error;

/// More threads than any current machine has processors.
const WORKERS_MAX: usize = 512;

/// Runs a subcommand to its end; the token is cancelled by SIGINT and SIGTERM.
type RunSubcommand = Box<dyn FnOnce(&ArgMatches, &CancellationToken) -> ProcessExitCode>;

/// A subcommand as users see it.
pub struct Subcommand {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// Its settings, each an environment variable and a flag.
    pub settings: Vec<Setting>,
    run: RunSubcommand,
}

impl Subcommand {
    /// A subcommand that runs on the async runtime until it is done or told to stop.
    ///
    /// `read` takes the values of the settings and notes every mistake.
    pub(crate) fn new<C: 'static>(
        name: &'static str,
        about: &'static str,
        settings: Vec<Setting>,
        read: impl FnOnce(&mut Values) -> Option<C> + 'static,
        run: impl AsyncFnOnce(C, CancellationToken) -> Result<(), ExitError> + 'static,
    ) -> Self {
        let settings = [settings, vec![worker_threads()]].concat();
        let table = settings.clone();
        let run: RunSubcommand = Box::new(move |matches, stop| start(&table, matches, stop, read, run));
        Self { name, about, settings, run }
    }

    /// A service: a subcommand that takes part in traces.
    pub(crate) fn service<P: Process<Config: 'static>>(
        name: &'static str,
        about: &'static str,
        settings: Vec<Setting>,
        read: impl FnOnce(&mut Values) -> Option<P::Config> + 'static,
    ) -> Self {
        let read = |values: &mut Values| {
            let traces = TraceConfig::read(values);
            read(values).map(|config| (config, traces))
        };
        Self::new(name, about, settings, read, async move |(config, traces), stop| {
            let traces = traces.start(name);
            let result = lifecycle::run::<P>(config, stop).await;
            traces.stop().await;
            result
        })
    }

    /// A subcommand that reads its settings itself, and needs neither the runtime nor logging.
    pub(crate) fn without_runtime(
        name: &'static str,
        about: &'static str,
        settings: Vec<Setting>,
        run: fn(&ArgMatches, &CancellationToken) -> ProcessExitCode,
    ) -> Self {
        Self { name, about, settings, run: Box::new(run) }
    }

    /// Runs it to its end.
    pub fn run(self, matches: &ArgMatches, stop: &CancellationToken) -> ProcessExitCode {
        (self.run)(matches, stop)
    }
}

/// Threads of the runtime.
///
/// The default is that of the standard library: the processors that the process may use, or its CPU
/// quota (cgroup v1 and v2) rounded down, and at least one. Rounding down is right: with more
/// threads than quota, the kernel throttles all of them for the rest of a period, including those
/// that answer health checks and heartbeats. Blocking work has threads of its own.
fn worker_threads() -> Setting {
    Setting::optional(
        "WORKER_THREADS",
        "Number of worker threads, 1 to 512 [default: the number of processors, or the CPU quota rounded down]",
    )
}

/// The result of a subcommand that has checked a store. `written` is the result of writing its
/// report; the figures have been printed by now.
///
/// # Errors
/// If an invariant was violated; otherwise if something could not be checked; otherwise if the
/// report could not be written.
pub(crate) fn exit_by_check(
    result: CheckResult,
    written: std::io::Result<()>,
    message: impl Display,
) -> Result<(), ExitError> {
    match (result.exit_code(written.is_ok()), written) {
        (ExitCode::Ok, _) => Ok(()),
        (ExitCode::Io, Err(error)) => Err(ExitError::new(ExitCode::Io, error)),
        (code, _) => Err(ExitError::new(code, message)),
    }
}

/// Reads the settings, starts logging and the runtime, and runs a subcommand to its end.
fn start<C>(
    settings: &[Setting],
    matches: &ArgMatches,
    stop: &CancellationToken,
    read: impl FnOnce(&mut Values) -> Option<C>,
    run: impl AsyncFnOnce(C, CancellationToken) -> Result<(), ExitError>,
) -> ProcessExitCode {
    abort_on_panic();
    let mut values = Values::read(settings, matches, &ProcessEnvironment);
    let log = LogConfig::read(&mut values);
    let workers = values.is_set("WORKER_THREADS").then(|| values.within("WORKER_THREADS", 1..=WORKERS_MAX)).flatten();
    let config = read(&mut values);
    let (log, config) = match values.finish(log.zip(config)) {
        Ok(read) => read,
        Err(mistakes) => return exit(Err(mistakes.into())),
    };
    logging::start(log);
    raise_open_files();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        runtime.worker_threads(workers);
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return exit(Err(ExitError::new(
                ExitCode::Failure,
                format!("the async runtime cannot be started: {error}"),
            )));
        }
    };
    let result = runtime.block_on(async {
        local::stop_with_parent(stop);
        run(config, stop.clone()).await
    });
    // Remaining tasks, such as a blocking read of standard input, are not waited for.
    runtime.shutdown_background();
    exit(result)
}

/// Raises the soft limit of open files to the hard limit. A busy leader has one connection per
/// order in flight. Many systems allow 1024 files by default, and a process that runs out of them
/// cannot even open its own.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, current = limit.current, "cannot raise the limit of open files");
    }
}

/// Prints why a subcommand failed, if it did, and returns the exit code.
pub(crate) fn exit(result: Result<(), ExitError>) -> ProcessExitCode {
    let printed = write_error().map_or(Ok(()), |error| {
        Err(ExitError::new(ExitCode::Io, format_args!("cannot write to standard output: {error}")))
    });
    match result.and(printed) {
        Ok(()) => ExitCode::Ok.into(),
        Err(ExitError { code, message }) => {
            eprintln!("toystore: {}", message.trim_end());
            code.into()
        }
    }
}
