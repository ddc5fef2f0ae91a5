//! `toystore status`: the state of each process of a store that [`up`](crate::up) runs.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use api::LogPosition;
use api::frontend::CacheContents;
use api::replica::{ReplicaStatus, Role, STATUS_PATH};
use console::style;
use futures::future::join_all;
use service::json_client::JsonClient;
use service::lifecycle::{ExitCode, ExitError};
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use service::{Token, access};
use tokio_util::sync::CancellationToken;

use crate::local::run_file::{ProcessKind, RunFile, RunningProcess};
use crate::local::token;
use crate::output::print;

/// The answers come from memory. A process that takes longer is frozen or dead.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Which store to query.
#[derive(Clone, Debug)]
pub struct Config {
    data_dir: PathBuf,
    token: Option<Token>,
}

/// The settings of `toystore status`.
pub fn settings() -> Vec<Setting> {
    let own = vec![Setting::new("DATA_DIR", "data", "Data directory of a store that `toystore up` runs")];
    [own, access::token_settings(), LogConfig::settings()].concat()
}

impl Config {
    /// Takes the values of the settings.
    pub fn read(values: &mut Values) -> Option<Self> {
        let token = access::read_token(values);
        Some(Self { data_dir: values.required("DATA_DIR")?, token })
    }
}

/// Prints a table. Fails if a process does not respond, or if there is no order leader.
pub async fn run(config: Config, _stop: CancellationToken) -> Result<(), ExitError> {
    let file = RunFile::read(&config.data_dir).map_err(|error| {
        let what =
            format!("no store is running in {} ({error}); start one with `toystore up`", config.data_dir.display());
        ExitError::new(ExitCode::Failure, what)
    })?;
    let token = config.token.or_else(|| access::token_in(&config.data_dir.join(token::FILE)).ok());
    let seen = query(&file.processes, &JsonClient::new(token.as_ref())).await;
    print(table(&seen));
    let unresponsive: Vec<_> = seen.iter().filter(|it| it.state.is_err()).map(|it| it.running.name.as_str()).collect();
    if !unresponsive.is_empty() {
        return Err(ExitError::new(ExitCode::Failure, format_args!("no response from {}", unresponsive.join(", "))));
    }
    if seen.iter().any(Observed::leads_orders) {
        Ok(())
    } else {
        Err(ExitError::new(ExitCode::Failure, "there is no order leader"))
    }
}

/// A process and the state that it reports.
pub(crate) struct Observed {
    running: RunningProcess,
    state: Result<ProcessState, String>,
}

enum ProcessState {
    Replica(ReplicaStatus),
    Frontend(CacheContents),
}

impl Observed {
    fn leads_orders(&self) -> bool {
        matches!((&self.running.kind, &self.state), (ProcessKind::Order, Ok(ProcessState::Replica(status))) if status.leads())
    }

    /// The process, if it is the order leader.
    pub(crate) fn order_leader(&self) -> Option<&RunningProcess> {
        self.leads_orders().then_some(&self.running)
    }
}

/// Queries all processes concurrently.
pub(crate) async fn query(processes: &[RunningProcess], client: &JsonClient) -> Vec<Observed> {
    join_all(processes.iter().map(async |running| {
        let state = match running.kind {
            ProcessKind::Frontend => {
                client.get(&running.internal, "/cache", ANSWER_TIMEOUT).await.map(ProcessState::Frontend)
            }
            ProcessKind::Catalog | ProcessKind::Order => {
                client.get(&running.internal, STATUS_PATH, ANSWER_TIMEOUT).await.map(ProcessState::Replica)
            }
        };
        Observed { running: running.clone(), state: state.map_err(|error| error.to_string()) }
    }))
    .await
}

/// A table with one line per process.
pub(crate) fn table(seen: &[Observed]) -> String {
    let mut table = style(format!("{:<12}{:<9}{:<18}state", "process", "pid", "address")).bold().to_string();
    for Observed { running: RunningProcess { name, pid, address, .. }, state } in seen {
        let state = match state {
            Ok(ProcessState::Replica(status)) => replica(status),
            Ok(ProcessState::Frontend(cache)) => frontend(cache),
            Err(error) => style(format!("no response: {error}")).red().to_string(),
        };
        let _ = write!(table, "\n{name:<12}{pid:<9}{:<18}{state}", address.to_string());
    }
    table
}

fn replica(status: &ReplicaStatus) -> String {
    let at = |position: Option<LogPosition>| position.map_or(0, |at| at.index);
    let term = status.term;
    let role = match status.role {
        Role::Leader if status.leads() => style(format!("leader of term {term}")).green().bold().to_string(),
        Role::Leader => style(format!("isolated leader in term {term}, without a majority")).yellow().to_string(),
        Role::Follower => match status.leader {
            Some(leader) => format!("follows {} in term {term}", leader.ordinal()),
            None => style(format!("follows no leader in term {term}")).yellow().to_string(),
        },
        Role::Candidate => style(format!("candidate in term {term}")).yellow().to_string(),
        Role::Learner => "learner, has no vote yet".to_owned(),
        Role::Empty => "not in a group yet".to_owned(),
    };
    let full = if status.disk_full { ", disk full" } else { "" };
    format!("{role}, log index {}, applied {}{full}", at(status.last_log), at(status.applied))
}

fn frontend(cache: &CacheContents) -> String {
    let CacheContents { capacity, lease_valid, products } = cache;
    match (capacity, lease_valid) {
        (0, _) => "cache off".to_owned(),
        (_, true) => format!("lease held, {} of {capacity} products cached", products.len()),
        (_, false) => style("no lease: products are not cached".to_owned()).yellow().to_string(),
    }
}
