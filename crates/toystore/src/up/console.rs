//! The console of the store that `up` runs.

use std::net::Ipv4Addr;
use std::sync::Arc;

use service::http::Listener;
use service::json_client::JsonClient;
use service::lifecycle::{ExitCode, ExitError, Task};
use store_console::ConsoleConfig;
use tokio::sync::watch;

use super::Config;
use super::controls::Controls;
use crate::local::StoreLayout;
use crate::output::print;

/// Binds the console's port on loopback, and prints its URL; `None` if the console is switched off.
///
/// # Errors
/// If the port is in use.
pub(super) fn bind(config: &Config) -> Result<Option<Listener>, ExitError> {
    let port = match config.console_port {
        0 => return Ok(None),
        _ if config.ephemeral => 0,
        port => port,
    };
    let listener = Listener::bind(Ipv4Addr::LOCALHOST.into(), port).map_err(|error| {
        let what = format!("the console: {error}; choose another port with --console-port, or 0 for no console");
        ExitError::new(ExitCode::Failure, what)
    })?;
    print(format_args!("console: http://localhost:{}", listener.address().port()));
    Ok(Some(listener))
}

/// Serves the console of the store `layout` until the task is stopped.
pub(super) fn start(listener: Listener, layout: &StoreLayout, controls: Controls) -> Task {
    let sources = watch::Sender::new(layout.process_addresses());
    let console = ConsoleConfig {
        listener,
        sources: sources.subscribe(),
        client: JsonClient::new(layout.token()),
        store_url: Some(layout.public(1).url("")),
    };
    Task::spawn(|stop| store_console::run(console, Some(Arc::new(controls)), stop))
}
