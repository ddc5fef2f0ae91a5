//! `toystore scale`: takes the votes of order replicas that are about to be stopped for good.
//!
//! A replica that is started takes its seat by itself. One that is stopped keeps its vote, since nobody can know whether it
//! comes back; a group that is scaled down without a word would thus lose the majority that it counts on. So: first this
//! command, then stop the processes. It goes from the highest seat down, one change of membership each, and stops where
//! those who stay could not go on.

use std::time::Duration;

use api::Ordinal;
use api::replica::{ReplicaStatus, Replicas, SEAT_ROUTE, seat_path};
use discovery::{Group, settings as lists};
use service::Token;
use service::call::{Caller, Route};
use service::lifecycle::ExitCode;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use tokio::time::Instant;
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
    replicas: Replicas,
    token: Option<Token>,
}

/// The settings of `toystore scale`.
pub fn settings() -> Vec<Setting> {
    let mut settings = vec![
        Setting::optional("SCALE_TO", "Remove all order seats beyond this one: 1 to 5").with_flag("to"),
        Setting::optional("INTERNAL_TOKEN", "Secret that the internal ports want"),
    ];
    settings.extend(lists::order());
    settings.extend(LogConfig::settings());
    settings
}

impl Config {
    /// Takes the settings' values.
    pub fn read(values: &mut Values) -> Option<Self> {
        let to = values.within("SCALE_TO", 1..=lists::REPLICAS_MAX);
        let replicas = lists::order_replicas(values);
        let token = values.optional("INTERNAL_TOKEN");
        Some(Self { to: to?, replicas: replicas?, token })
    }
}

/// Removes the seats.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Failed> {
    let group = Group::new("order", discovery::fixed(config.replicas), Caller::new(config.token.as_ref()));
    let mut left = None;
    for seat in (config.to + 1..=lists::REPLICAS_MAX).rev().map(Ordinal) {
        let path = seat_path(seat);
        let removed = group.ask_leader(Instant::now() + PATIENCE, async |caller, leader| {
            caller.delete::<(), ReplicaStatus>(&leader, Route::filled(SEAT_ROUTE, &path), None, ANSWER_TIMEOUT).await
        });
        let removed = tokio::select! {
            () = stop.cancelled() => return Err(Failed::new(ExitCode::Failure, "stopped before all seats were removed")),
            removed = removed => removed,
        };
        match removed {
            Ok(status) => left = Some(status.voters),
            Err(error) => return Err(Failed::new(ExitCode::Failure, format!("seat {seat} was not removed: {error}"))),
        }
    }
    if let Some(voters) = left {
        let mut seats: Vec<_> = voters.iter().map(|id| id.ordinal()).collect();
        seats.sort_unstable();
        let seats: Vec<_> = seats.iter().map(ToString::to_string).collect();
        print(format_args!("the order replicas that have a vote: {}", seats.join(", ")));
    }
    Ok(())
}
