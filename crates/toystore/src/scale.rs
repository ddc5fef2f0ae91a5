//! `toystore scale`: takes the votes of replicas that are about to be stopped for good, of the order group, the catalog group, or both.
//!
//! A replica that is started takes its seat by itself. One that is stopped keeps its vote, since nobody can know whether it
//! comes back; a group that is scaled down without a word would thus lose the majority that it counts on. So: first this
//! command, then stop the processes. It goes from the highest seat down, one change of membership each, and stops where
//! those who stay could not go on.

use std::time::Duration;

use api::Ordinal;
use api::replica::{ReplicaStatus, SEAT_ROUTE, seat_path};
use discovery::{Discovery, Group, settings as lists};
use service::Token;
use service::call::{Caller, Route};
use service::lifecycle::ExitCode;
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::cli::{Failed, print};

/// For one seat: an election, should its replica lead, and two commits on slow disks.
const PATIENCE: Duration = Duration::from_secs(20);
/// For one answer: the leader itself gives up before.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);

/// What is to go, and where the groups are.
#[derive(Clone, Debug)]
pub struct Config {
    groups: Vec<(Group, Seats)>,
    unless_down: bool,
    discovery: Discovery,
}

/// How many seats stay.
type Seats = u8;

/// The settings of `toystore scale`.
pub fn settings() -> Vec<Setting> {
    let mut settings = vec![
        Setting::optional("SCALE_TO", "Remove all order seats beyond this one: 1 to 5").with_flag("to"),
        Setting::optional("SCALE_CATALOG_TO", "Remove all catalog seats beyond this one: 1 to 5")
            .with_flag("catalog-to"),
        Setting::switch(
            "UNLESS_DOWN",
            "For rollbacks, which may have to mend a store that is down: a group of which no replica answers is left as it is",
        ),
        Setting::optional("INTERNAL_TOKEN", "Secret that the internal ports want"),
    ];
    settings.extend(lists::discovery());
    settings.extend(lists::order());
    settings.extend(lists::catalog());
    settings.extend(LogConfig::settings());
    settings
}

impl Config {
    /// Takes the settings' values. Where a group is need not be said if it is to stay as it is.
    pub fn read(values: &mut Values) -> Option<Self> {
        let mut discovery = Discovery::read(values);
        let token: Option<Token> = values.optional("INTERNAL_TOKEN");
        let caller = Caller::new(token.as_ref());
        let orders = values.is_set("SCALE_TO").then(|| {
            let (to, replicas) = (values.within("SCALE_TO", 1..=lists::REPLICAS_MAX), discovery.order_replicas(values));
            Some((Group::new("order", replicas?, caller.clone()), to?))
        });
        let catalog = values.is_set("SCALE_CATALOG_TO").then(|| {
            let to = values.within("SCALE_CATALOG_TO", 1..=lists::REPLICAS_MAX);
            Some((Group::new("catalog", discovery.catalog_replicas(values)?, caller.clone()), to?))
        });
        if orders.is_none() && catalog.is_none() {
            let (to, catalog_to) = (values.name("SCALE_TO"), values.name("SCALE_CATALOG_TO"));
            values.mistake(format!("neither {to} nor {catalog_to} is set: nothing is to be removed"));
        }
        let unless_down = values.required("UNLESS_DOWN");
        let groups = orders.into_iter().chain(catalog).collect::<Option<Vec<_>>>()?;
        Some(Self { groups, unless_down: unless_down?, discovery })
    }
}

/// Removes the seats.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Failed> {
    let _watching = config.discovery.start();
    let work = async {
        timeout(PATIENCE, config.discovery.known())
            .await
            .map_err(|_| "nobody tells where the replicas are".to_owned())?;
        for (group, to) in &config.groups {
            if config.unless_down && is_down(group).await {
                print(format_args!("no {} replica answers: their votes stay as they are", group.name()));
                continue;
            }
            let left = remove(group, *to).await?;
            if !left.is_empty() {
                print(format_args!("the {} replicas that have a vote: {}", group.name(), left.join(", ")));
            }
        }
        Ok(())
    };
    let done = stop.run_until_cancelled(work).await;
    done.unwrap_or_else(|| Err("stopped before all seats were removed".to_owned()))
        .map_err(|what| Failed::new(ExitCode::Failure, what))
}

/// Whether nobody at all answers.
async fn is_down(group: &Group) -> bool {
    let someone = |answer: &Result<ReplicaStatus, _>| answer.is_ok();
    let survey = group.survey_until(ANSWER_TIMEOUT, |survey| survey.values().any(someone)).await;
    !survey.values().any(someone)
}

/// One seat after the other; gives those that are left.
async fn remove(group: &Group, to: Seats) -> Result<Vec<String>, String> {
    let mut voters = Vec::new();
    for seat in (to + 1..=lists::REPLICAS_MAX).rev().map(Ordinal) {
        let path = seat_path(seat);
        let removed = group.ask_leader(Instant::now() + PATIENCE, async |caller, leader| {
            caller.delete::<(), ReplicaStatus>(&leader, Route::filled(SEAT_ROUTE, &path), None, ANSWER_TIMEOUT).await
        });
        let status = removed.await.map_err(|error| format!("{} seat {seat} was not removed: {error}", group.name()))?;
        voters = status.voters;
    }
    let mut seats: Vec<Ordinal> = voters.iter().map(|id| id.ordinal()).collect();
    seats.sort_unstable();
    Ok(seats.iter().map(ToString::to_string).collect())
}
