//! A console: its tasks, and its port.

use std::sync::Arc;

use service::http::{Listener, serve};
use service::json_client::JsonClient;
use service::lifecycle::Task;
use tokio_util::sync::CancellationToken;

use crate::control::StoreControls;
use crate::hub::{Frames, Hub};
use crate::server::{ConsoleServer, ControlDesk};
use crate::source::Sources;

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
}

/// Runs a console until `stop`. With `controls`, its page can break the store and heal it; they are
/// offered on a loopback port only.
pub async fn run(config: ConsoleConfig, controls: Option<Arc<dyn StoreControls>>, stop: CancellationToken) {
    let ConsoleConfig { listener, sources, client, store_url } = config;
    let controls = controls.filter(|_| listener.address().ip().to_canonical().is_loopback());
    let frames = Frames::new();
    let (hub, clicked) = Hub::new(sources, client, frames.clone(), controls.clone());
    let desk = controls.map(|controls| ControlDesk::new(controls, clicked));
    let server = ConsoleServer::new(frames, store_url, desk);
    let port = serve(listener.for_local_names(), server.into_service(), ConsoleServer::limits());
    let hub = Task::spawn(|stop| hub.run(stop));
    stop.cancelled().await;
    port.stop().await;
    hub.stop().await;
}
