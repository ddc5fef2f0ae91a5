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
//! `source` and `frame` (what comes in and goes out), `follower`, `traffic`, `merge`, `history`,
//! `hub`, `server`; `control` has what the page can do to a store; `config`, `discovered` and
//! `command` are `toystore console`.

mod command;
mod config;
pub mod control;
mod control_sentence;
mod discovered;
mod follower;
mod frame;
mod history;
mod hub;
mod merge;
mod server;
mod source;
mod traffic;

use std::sync::Arc;

use service::http::{Listener, serve};
use service::json_client::JsonClient;
use service::lifecycle::Task;
use tokio_util::sync::CancellationToken;

pub use command::serve_console;
pub use config::{Config, DEFAULT_PORT, settings};
pub use control::{Control, ControlError, ControlsState, CutLink, OwnedProcess, ProcessState, Shoppers, StoreControls};
use hub::{Frames, Hub};
use server::{ConsoleServer, ControlDesk};
pub use source::{ProcessAddress, ServiceKind, Sources};

/// What a console shows, and where.
#[derive(Debug)]
pub struct ConsoleConfig {
    /// The port of the page.
    pub listener: Listener,
    /// The processes to show.
    pub sources: Sources,
    /// A client for their internal ports.
    pub client: JsonClient,
    /// The URL of the store's REST API, for the commands that the page shows.
    pub store_url: Option<String>,
    /// The URL of the documentation, which ends with a slash.
    pub docs_url: Option<String>,
}

/// Runs a console until `stop`. With `controls`, its page can break the store and heal it; they are
/// offered on a loopback port only.
pub async fn run(config: ConsoleConfig, controls: Option<Arc<dyn StoreControls>>, stop: CancellationToken) {
    let ConsoleConfig { listener, sources, client, store_url, docs_url } = config;
    let controls = controls.filter(|_| listener.address().ip().to_canonical().is_loopback());
    let frames = Frames::new();
    let (hub, clicked) = Hub::new(sources, client, frames.clone(), controls.clone());
    let desk = controls.map(|controls| ControlDesk::new(controls, clicked));
    let server = ConsoleServer::new(frames, store_url, docs_url, desk);
    let port = serve(listener, server.into_service(), ConsoleServer::limits());
    let hub = Task::spawn(|stop| hub.run(stop));
    stop.cancelled().await;
    port.stop().await;
    hub.stop().await;
}
