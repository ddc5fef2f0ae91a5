//! `toystore console`: shows a store that runs elsewhere, read-only.

use service::http::Listener;
use service::json_client::JsonClient;
use service::lifecycle::{ExitCode, ExitError};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::console::{ConsoleConfig, run};

/// Runs the console until `stop`.
///
/// # Errors
/// If the port cannot be bound.
pub async fn serve_console(config: Config, stop: CancellationToken) -> Result<(), ExitError> {
    let Config { port, bind_host, store_url, token, discovered, discovery } = config;
    let listener = Listener::bind(bind_host, port).map_err(|error| ExitError::new(ExitCode::Failure, error))?;
    if !bind_host.to_canonical().is_loopback() {
        tracing::warn!(%bind_host, "the console is not on loopback: any client that reaches it sees the store, without a password");
    }
    let _watch = discovery.start();
    let (sources, keep) = discovered.into_sources();
    tracing::info!(address = %listener.address(), "the console is up");
    let client = JsonClient::new(token.as_ref());
    run(ConsoleConfig { listener, sources, client, store_url }, None, stop).await;
    keep.stop().await;
    Ok(())
}
