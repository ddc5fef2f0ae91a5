//! `toystore scale`: takes the votes of order replicas that are about to be stopped for good.
//!
//! A replica that is started takes its seat by itself. One that is stopped keeps its vote, since nobody can know whether it
//! comes back; a group that is scaled down without a word would thus lose the majority that it counts on. So: first this
//! command, then stop the processes. It goes from the highest seat down, one change of membership each, and stops where
//! those who stay could not go on.

use std::time::Duration;

use api::Ordinal;
use api::replica::{ReplicaStatus, Replicas, SEAT_ROUTE, seat_path};
use discovery::{Discovery, Group, settings as lists};
use service::Token;
use service::call::{Caller, Route};
use service::lifecycle::ExitCode;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::cli::{Failed, print};

/// For one seat: an election, should its replica lead, and two commits on slow disks.
const PATIENCE: Duration = Duration::from_secs(20);
/// For one answer: the leader itself gives up before.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// What is to go, and where the group is.
#[derive(Clone, Debug)]
pub struct Config {
    to: u8,
    replicas: watch::Receiver<Replicas>,
    discovery: Discovery,
    token: Option<Token>,
}

/// The settings of `toystore scale`.
pub fn settings() -> Vec<Setting> {
    let mut settings = vec![
        Setting::optional("SCALE_TO", "Remove all order seats beyond this one: 1 to 5").with_flag("to"),
        Setting::optional("INTERNAL_TOKEN", "Secret that the internal ports want"),
    ];
    settings.extend(lists::discovery());
    settings.extend(lists::order());
    settings.extend(LogConfig::settings());
    settings
}

impl Config {
    /// Takes the settings' values.
    pub fn read(values: &mut Values) -> Option<Self> {
        let to = values.within("SCALE_TO", 1..=lists::REPLICAS_MAX);
        let mut discovery = Discovery::read(values);
        let replicas = discovery.order_replicas(values);
        let token = values.optional("INTERNAL_TOKEN");
        Some(Self { to: to?, replicas: replicas?, discovery, token })
    }
}

/// Removes the seats.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Failed> {
    let _watching = config.discovery.start();
    let work = async {
        timeout(PATIENCE, config.discovery.known())
            .await
            .map_err(|_| "nobody tells where the replicas are".to_owned())?;
        remove(&config).await
    };
    let removed = stop.run_until_cancelled(work).await;
    let voters = removed.unwrap_or_else(|| Err("stopped before all seats were removed".to_owned()));
    let mut seats: Vec<_> = voters.map_err(|what| Failed::new(ExitCode::Failure, what))?;
    seats.sort_unstable();
    let seats: Vec<_> = seats.iter().map(ToString::to_string).collect();
    if !seats.is_empty() {
        print(format_args!("the order replicas that have a vote: {}", seats.join(", ")));
    }
    Ok(())
}

/// One seat after the other; gives those that are left.
async fn remove(config: &Config) -> Result<Vec<Ordinal>, String> {
    let group = Group::new("order", config.replicas.clone(), Caller::new(config.token.as_ref()));
    let mut left = Vec::new();
    for seat in (config.to + 1..=lists::REPLICAS_MAX).rev().map(Ordinal) {
        let path = seat_path(seat);
        let removed = group.ask_leader(Instant::now() + PATIENCE, async |caller, leader| {
            caller.delete::<(), ReplicaStatus>(&leader, Route::filled(SEAT_ROUTE, &path), None, ANSWER_TIMEOUT).await
        });
        let status = removed.await.map_err(|error| format!("seat {seat} was not removed: {error}"))?;
        left = status.voters.iter().map(|id| id.ordinal()).collect();
    }
    Ok(left)
}
