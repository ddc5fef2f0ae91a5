//! Scripts: protocol scenarios as text, on a whole simulated store.
//!
//! A script is a file in `crates/simulation/scripts`. It has blocks of commands. The output of each
//! block stands below it, after a line `---`, up to the next empty line:
//!
//! ```text
//! # The leader is killed. The replica with the longest log and the highest ordinal succeeds it.
//! kill order-1
//! until leader order-3 within 100ms
//! ---
//! order-3 leads term 2
//! ```
//!
//! The test `scripts` runs each script, and compares the output with that in the file.
//! `UPDATE_SCRIPTS=1` writes the output into the file instead. The idea is that of the golden
//! scripts of toydb and of `datadriven` for Go. The runner is the store's own because the
//! commands read like sentences here, and a script needs no more than a page of parsing.
//!
//! The store is the one that seeds run on, with the same machines, network, disks and fault
//! injection. But nothing is drawn: each message takes one ms, a disk no time, and all clocks have
//! the same rate. Only what a script names goes wrong. When the script ends, everything is healed,
//! and the run is judged as that of a seed is: nothing lost, nothing twice, nothing stale
//! ([`history`]).
//!
//! # Commands
//! Members are `catalog-1`, `order-2`, `frontend-1`; the machine of the clients is `shoppers`.
//!
//! | command | what it does |
//! |---|---|
//! | `store catalogs=1 orders=3 seats=3 frontends=2 cache=7 restock=0s checkpoint=5/0` | Starts a store, and waits until it is ready. Always the first command; each setting may be left out. `seats`: order replicas that may exist. `checkpoint`: after how many entries, and how many entries are kept |
//! | `order key=a toy=Tux quantity=2 via frontend-1` | Places an order, and waits for the answer |
//! | `get Tux via frontend-1`, `list via frontend-1`, `find 3 via frontend-1` | Reads a product, the list of all products, or an order by its number |
//! | … `&`, `wait` | A call ending in `&` runs in the background. Its answer is printed when it arrives; `wait` waits for all answers |
//! | `advance 300ms` | Lets time pass |
//! | `until order-1 sends POST /reservations to catalog-1 within 1s` | Lets time pass until a request is sent. It arrives a millisecond later, so the next command happens before |
//! | `until catalog-1 answers /reservations from order-1` | The same for the answer |
//! | `until leader order-3 term 4`, `until members order-1 order-2 order-3` | Lets time pass until a replica leads, or until the voters of the order group are these and have the same log |
//! | `expect leader order-3 term 4`, `expect no leader orders` | Fails the script if that is not so |
//! | `status`, `status orders`, `status catalogs` | Prints what each replica says about itself. `2b` is the second disk that order-2 has had |
//! | `ledgers`, `accounts`, `cache frontend-1` | Prints the ledgers on the disks, the stock accounts, the contents of a cache |
//! | `ready order-1` | Prints whether a member is ready, or why it is not |
//! | `stand order-2`, `stand order-2 gone` | Asks a replica to stand for election, as a frontend that is wrong may do; `gone`: with the claim that its leader is gone |
//! | `watch /fence POST /reservations` | From now on, prints these requests and their answers; without a path, none |
//! | `kill order-1`, `power-off order-1`, `stop order-1`, `start order-1` | Ends a process at once, with its machine (what was not synced may be lost), or by its own shutdown; starts it |
//! | `freeze order-1`, `thaw order-1` | Pauses a process; its clock jumps when it continues |
//! | `partition order-1 \| order-2 order-3`, `cut order-1 > others`, `heal` | Loses all messages between the sides, or in one direction; ends that |
//! | `hold order-1 > catalog-1`, `release`, `release newest first` | Holds back all messages in one direction; lets them arrive, in any order or in that one |
//! | `wipe order-1`, `copy disk order-1`, `restore disk order-1` | Kills a process, and empties its disk or exchanges it with the copy; to be started again |
//! | `slow disk order-1 100ms`, `fill disk order-1 except 48MiB`, `fail sync order-1`, `fail write order-1`, `heal disk order-1` | Faults of a disk |
//! | `scale 5` | Starts or removes order replicas until there are 5 |
//!
//! # Reading order
//! `text` (blocks and output), `command`, `parse`, `stage` (the store and its time), `perform`
//! (what each command does), `show` (what is printed).
//!
//! # Caveats
//! * Output has no times, and commands only bounds (`within`). So a store that becomes a little
//!   faster or slower changes no script.
//! * A process that ends itself is not started again, unlike in a seed.

mod command;
mod error;
mod parse;
mod perform;
mod show;
mod stage;
mod text;

pub use error::ScriptError;
use perform::perform;
use stage::Stage;
use text::Script;

use crate::logs;
use crate::trace::{TraceDetail, TraceListener};

/// The run of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptRun {
    /// The script with the output of this run.
    pub text: String,
    /// What went wrong: an expectation that was not met, or what the checkers found. The output is
    /// incomplete if a command failed.
    pub failures: Vec<String>,
    /// The hash of the trace: the same for two runs of one script.
    pub trace_hash: u64,
}

/// Runs a script.
///
/// # Errors
/// If the text has a mistake. Nothing was run then.
pub fn run(text: &str) -> Result<ScriptRun, ScriptError> {
    run_script(text, TraceDetail::Nothing, None)
}

/// Runs a script, and writes its events to `listener`, line by line.
///
/// # Errors
/// If the text has a mistake. Nothing was run then.
pub fn run_traced(text: &str, detail: TraceDetail, listener: TraceListener) -> Result<ScriptRun, ScriptError> {
    logs::with_logs_in_trace(|| run_script(text, detail, Some(listener)))
}

/// Runs a script on a store with a deliberate bug.
///
/// # Errors
/// If the text has a mistake. Nothing was run then.
#[cfg(feature = "mutations")]
pub fn run_mutated(text: &str, mutation: service::mutation::Mutation) -> Result<ScriptRun, ScriptError> {
    service::mutation::activate(Some(mutation));
    let run = run(text);
    service::mutation::activate(None);
    run
}

fn run_script(text: &str, detail: TraceDetail, listener: Option<TraceListener>) -> Result<ScriptRun, ScriptError> {
    let script = Script::parse(text)?;
    let mut commands = script.blocks.iter().flat_map(|block| &block.commands);
    let Some((_, command::Command::Store(store))) = commands.next() else {
        return Err(ScriptError::new(1, "the first command must be: store"));
    };
    if let Some((line, _)) = commands.find(|(_, command)| matches!(command, command::Command::Store(_))) {
        return Err(ScriptError::new(*line, "a script has one store"));
    }
    let mut stage = Stage::new(store, detail, listener);
    let (mut outputs, mut failures) = (Vec::new(), Vec::new());
    'script: for block in &script.blocks {
        for (line, command) in &block.commands {
            if let Err(what) = perform(&mut stage, command) {
                stage.print(format!("FAILED: {what}"));
                failures.push(format!("line {line}: {what}"));
                outputs.push(stage.take_output());
                break 'script;
            }
        }
        outputs.push(stage.take_output());
    }
    let (found, trace_hash) = if failures.is_empty() {
        let report = stage.finish();
        (report.failures, report.trace_hash)
    } else {
        stage.abandon()
    };
    failures.extend(found.iter().map(ToString::to_string));
    Ok(ScriptRun { text: script.with_output(&outputs), failures, trace_hash })
}
