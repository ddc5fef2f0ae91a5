//! The console of the store that `up` runs.

use std::net::Ipv4Addr;
use std::sync::Arc;

use api::{Address, Ordinal};
use service::http::Listener;
use service::json_client::JsonClient;
use service::lifecycle::{ExitCode, ExitError, Task};
use store_console::{ConsoleConfig, ProcessAddress, ServiceKind};
use tokio::sync::watch;

use super::Config;
use super::controls::Controls;
use crate::local::{Link, StoreLayout, StoreMember};
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
    let sources = watch::Sender::new(layout.members().into_iter().map(|member| process(layout, member)).collect());
    let console = ConsoleConfig {
        listener,
        sources: sources.subscribe(),
        client: JsonClient::new(layout.token()),
        store_url: Some(layout.public(1).url("")),
    };
    Task::spawn(|stop| store_console::run(console, Some(Arc::new(controls)), stop))
}

fn process(layout: &StoreLayout, member: StoreMember) -> ProcessAddress {
    let internal = layout.internal(member);
    let (service, ordinal) = match member {
        StoreMember::Catalog => (ServiceKind::Catalog, Ordinal(1)),
        StoreMember::Order(ordinal) => (ServiceKind::Order, ordinal),
        StoreMember::Frontend(n) => (ServiceKind::Frontend, Ordinal(n)),
    };
    // The catalog may know a frontend by the port of a proxy.
    let links = layout.links().into_iter().filter(|link: &Link| link.to == member);
    let ports = links.map(|link| layout.caller_port(link));
    let mut known_as: Vec<_> = ports.map(|port| Address::new(internal.host(), port)).collect();
    known_as.retain(|address| *address != internal);
    ProcessAddress { name: member.to_string(), service, ordinal, internal, known_as }
}
