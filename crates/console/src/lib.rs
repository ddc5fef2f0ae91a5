//! The console: a live page of a store at work, under faults, and while it heals.
//!
//! `toystore console` shows a store that runs elsewhere, read-only. `toystore up` shows its own
//! store, and can break it: it implements [`StoreControls`].
//!
//! ```text
//!   process ── GET /events ──►┐
//!           ── GET /status ──►│ follower ──► merger ──► frame ──► history ──► page
//!           ── GET /metrics ─►┘ (one each)   (every 250 ms)       (10 min)    (SSE)
//! ```
//! A *follower* watches one process. The *merger* is pure: it makes a *frame* of what the followers
//! saw, with everything that changed since the frame before. The *history* has the frames of ten
//! minutes, so that a page that is opened late, or comes back, knows what happened.
//!
//! # What it costs the store
//! A process is asked four times a second how it is, and sends its events once, however many pages
//! are open. A frontend's counters are read four times a second in total. Nothing waits for the
//! console: a process does not know whether anyone reads its events.
//!
//! # What it may say
//! The console shows what processes say about themselves, up to half a second late. *Unreachable*
//! means that a process does not answer the console. Ledgers are called identical only up to the
//! number up to which their checksums were compared. Events have the clocks of their machines.
//!
//! # Reading order
//! `source` and `frame` (what comes in and goes out), `follower`, `traffic`, `names` (how events
//! call processes), `merge`, `history`, `hub`, `docs`, `server`, `console`; `control` has what the
//! page can do to a store; `config`, `discovered` and `command` are `toystore console`. The
//! `recorder` is no part of the console: it keeps what the followers read for the reports of
//! `drill` and `experiment`.

mod command;
mod config;
mod console;
pub mod control;
mod control_sentence;
mod discovered;
mod docs;
mod follower;
mod frame;
mod history;
mod hub;
mod merge;
mod names;
mod recorder;
mod server;
mod source;
mod traffic;

pub use command::serve_console;
pub use config::{Config, DEFAULT_PORT, settings};
pub use console::{ConsoleConfig, run};
pub use control::{Control, ControlError, ControlsState, CutLink, OwnedProcess, ProcessState, Shoppers, StoreControls};
pub use recorder::{EventRecorder, MissingEvents, ProcessEvent, RecordedEvents, WhyMissing};
pub use source::{ProcessAddress, ServiceKind, Sources};
