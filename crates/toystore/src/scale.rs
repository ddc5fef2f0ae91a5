//! `toystore scale`: removes replicas from the order group, the catalog group, or both, before they
//! are stopped for good.
//!
//! A replica that is started joins its group by itself. A replica that is stopped stays a voter,
//! because no other replica can know whether it will come back. Scaling down by only stopping
//! processes would therefore cost the group its majority. So run this command first, then stop the
//! processes. It removes one replica at a time, the highest ordinal first, and stops where the
//! remaining replicas could not form a majority.
//!
//! A group that was never bootstrapped has no voters, so there is nothing to do. The command
//! concludes that only if every replica that has an address reports an empty disk: a replica that
//! does not answer may know of a group.

use std::collections::BTreeSet;
use std::time::Duration;

use api::replica::{MEMBER_ROUTE, ReplicaStatus, Role, member_path};
use api::{Address, Ordinal};
use discovery::{Discovery, Group, StatusPoll, confirmed_leader, settings as lists};
use futures::future::join_all;
use service::access;
use service::json_client::{JsonClient, RequestPath};
use service::lifecycle::{ExitCode, ExitError};
use service::logging::LogConfig;
use service::settings::{Setting, Values};
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::output::print;

/// Timeout of one request. The leader itself gives up earlier.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);
/// How often a group without a leader is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How long all replicas must report empty disks before the group counts as never bootstrapped:
/// other replicas may still be starting.
const NEVER_BOOTSTRAPPED_AFTER: Duration = Duration::from_secs(5);

/// Which replicas to remove, and where the groups are.
#[derive(Clone, Debug)]
pub struct Config {
    groups: Vec<(Group, HighestOrdinal)>,
    unless_down: bool,
    /// How long a group may be without a leader, and a removal may take.
    timeout: Duration,
    discovery: Discovery,
}

/// The highest ordinal that stays in the group.
type HighestOrdinal = u8;

/// The settings of `toystore scale`.
pub fn settings() -> Vec<Setting> {
    let mut settings = vec![
        Setting::optional("SCALE_TO", "Remove all order replicas with a higher ordinal than this, 1 to 5")
            .with_flag("to"),
        Setting::optional("SCALE_CATALOG_TO", "Remove all catalog replicas with a higher ordinal than this, 1 to 5")
            .with_flag("catalog-to"),
        Setting::switch(
            "UNLESS_DOWN",
            "Leave a group alone if none of its replicas answers; for rollbacks, which may have to repair a store that is down",
        ),
        // An election, if the replica leads, and two commits on slow disks.
        Setting::new(
            "SCALE_TIMEOUT_MS",
            "20000",
            "How long to wait for a group's leader, and for each removal, 100 to 600000",
        )
        .with_flag("timeout-ms"),
    ];
    settings.extend(access::token_settings());
    settings.extend(lists::discovery());
    settings.extend(lists::order());
    settings.extend(lists::catalog());
    settings.extend(LogConfig::settings());
    settings
}

impl Config {
    /// Takes the values of the settings. The addresses of a group are only needed if it is scaled.
    pub fn read(values: &mut Values) -> Option<Self> {
        let mut discovery = Discovery::read(values);
        let token = access::read_token(values);
        let client = JsonClient::new(token.as_ref());
        let orders = values.is_set("SCALE_TO").then(|| {
            let (to, replicas) = (values.within("SCALE_TO", 1..=lists::REPLICAS_MAX), discovery.order_replicas(values));
            Some((Group::new("order", replicas?, client.clone()), to?))
        });
        let catalog = values.is_set("SCALE_CATALOG_TO").then(|| {
            let to = values.within("SCALE_CATALOG_TO", 1..=lists::REPLICAS_MAX);
            Some((Group::new("catalog", discovery.catalog_replicas(values)?, client.clone()), to?))
        });
        if orders.is_none() && catalog.is_none() {
            let (to, catalog_to) = (values.name("SCALE_TO"), values.name("SCALE_CATALOG_TO"));
            values.mistake(format!("set {to} or {catalog_to}, or both: otherwise there is nothing to remove"));
        }
        let unless_down = values.required("UNLESS_DOWN");
        let timeout = values.within("SCALE_TIMEOUT_MS", 100..=600_000).map(Duration::from_millis);
        let groups = orders.into_iter().chain(catalog).collect::<Option<Vec<_>>>()?;
        Some(Self { groups, unless_down: unless_down?, timeout: timeout?, discovery })
    }
}

/// Removes the replicas.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), ExitError> {
    let _watching = config.discovery.start();
    let work = async {
        timeout(config.timeout, config.discovery.synced())
            .await
            .map_err(|_| "the addresses of the replicas could not be discovered".to_owned())?;
        for (group, to) in &config.groups {
            if config.unless_down && is_down(group).await {
                print(format_args!("no {} replica answers: the group is left unchanged", group.name()));
                continue;
            }
            print(remove(group, *to, config.timeout).await?);
        }
        Ok(())
    };
    let done = stop.run_until_cancelled(work).await;
    done.unwrap_or_else(|| Err("stopped before all replicas were removed".to_owned()))
        .map_err(|what| ExitError::new(ExitCode::Failure, what))
}

/// Whether no replica answers.
async fn is_down(group: &Group) -> bool {
    let answers = |answer: &Result<ReplicaStatus, _>| answer.is_ok();
    let poll = group.poll_statuses_until(ANSWER_TIMEOUT, |poll| poll.values().any(answers)).await;
    !poll.values().any(answers)
}

/// Removes one replica after the other; returns a message about the result.
async fn remove(group: &Group, to: HighestOrdinal, timeout: Duration) -> Result<String, String> {
    let name = group.name();
    let mut voters = match inspect(group, timeout).await {
        GroupState::HasLeader(voters) => voters,
        GroupState::NeverBootstrapped(empty) => {
            return Ok(format!(
                "the {name} group was never bootstrapped ({} with an empty disk; no other replica has an address): \
                 there is nothing to remove",
                replicas(&empty)
            ));
        }
        GroupState::NoLeader { voters, details } if !voters.is_empty() && beyond(&voters, to).is_empty() => {
            return Ok(format!(
                "the {name} group has no leader ({details}), but there is nothing to remove: its known voters are {}",
                replicas(&voters)
            ));
        }
        GroupState::NoLeader { details, .. } => {
            return Err(format!(
                "no replica was removed: only a leader can remove replicas, and the {name} group has none: {details}. \
                 Start a majority of its replicas and try again. If the group never had a leader, skip this step with \
                 `helm upgrade --no-hooks` or `helm rollback --no-hooks`"
            ));
        }
    };
    for ordinal in (to + 1..=lists::REPLICAS_MAX).rev().map(Ordinal) {
        let path = member_path(ordinal);
        let removed = group.call_leader(Instant::now() + timeout, async |client, leader| {
            client
                .delete::<(), ReplicaStatus>(&leader, RequestPath::filled(MEMBER_ROUTE, &path), None, ANSWER_TIMEOUT)
                .await
        });
        voters = match removed.await {
            Ok(status) => voters_of(&status),
            Err(error) => {
                let left = beyond(&voters, to);
                return Err(if left.is_empty() {
                    format!("cannot confirm that the {name} group has no replica beyond {to}: {error}")
                } else {
                    format!("{} could not be removed from the {name} group: {error}", replicas(&left))
                });
            }
        };
    }
    Ok(format!("the {name} replicas that have a vote: {}", listed(&voters)))
}

/// What is known of a group before anything is changed.
enum GroupState {
    /// It has a leader; its voters.
    HasLeader(BTreeSet<Ordinal>),
    /// These replicas run with empty disks, and no other replica has an address.
    NeverBootstrapped(BTreeSet<Ordinal>),
    /// It had no leader within the timeout; the voters that its reachable replicas know, and
    /// the state of each replica as a message.
    NoLeader { voters: BTreeSet<Ordinal>, details: String },
}

async fn inspect(group: &Group, timeout: Duration) -> GroupState {
    let begun = Instant::now();
    // Since when all replicas that have an address have had an empty disk.
    let mut empty_since = None;
    loop {
        let leader = |poll: &StatusPoll| confirmed_leader(poll.values().flatten());
        let poll = group.poll_statuses_until(ANSWER_TIMEOUT.min(timeout), |poll| leader(poll).is_some()).await;
        let statuses = || poll.values().flatten();
        if let Some(status) = leader(&poll).and_then(|leader| poll.get(&leader.ordinal)?.as_ref().ok()) {
            return GroupState::HasLeader(voters_of(status));
        }
        let without_address = without_address(group, &poll).await;
        let empty: BTreeSet<_> =
            statuses().filter(|status| status.role == Role::Empty).map(|status| status.ordinal).collect();
        if !empty.is_empty() && empty.len() + without_address.len() == poll.len() {
            if empty_since.get_or_insert_with(Instant::now).elapsed() >= NEVER_BOOTSTRAPPED_AFTER {
                return GroupState::NeverBootstrapped(empty);
            }
        } else {
            empty_since = None;
        }
        if begun.elapsed() >= timeout {
            return GroupState::NoLeader {
                voters: statuses().flat_map(voters_of).collect(),
                details: describe(&poll, &without_address),
            };
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// The replicas that do not answer and whose host has no address: pods that do not run.
async fn without_address(group: &Group, poll: &StatusPoll) -> BTreeSet<Ordinal> {
    let silent = poll
        .iter()
        .filter(|(_, answer)| answer.is_err())
        .filter_map(|(ordinal, _)| Some((*ordinal, group.address(*ordinal)?)));
    let found = async |(ordinal, address): (Ordinal, Address)| match lookup_host(address.as_str())
        .await
        .map(|mut all| all.next())
    {
        Ok(Some(_)) => None,
        Ok(None) | Err(_) => Some(ordinal),
    };
    join_all(silent.map(found)).await.into_iter().flatten().collect()
}

/// The state of each replica, as a message.
fn describe(poll: &StatusPoll, without_address: &BTreeSet<Ordinal>) -> String {
    if poll.is_empty() {
        return "none of its replicas has an address".to_owned();
    }
    let each = poll.iter().map(|(ordinal, answer)| match answer {
        Ok(status) if status.role == Role::Empty => format!("replica {ordinal} has an empty disk"),
        Ok(_) => format!("replica {ordinal} is waiting for a leader"),
        Err(_) if without_address.contains(ordinal) => format!("replica {ordinal} has no address"),
        Err(error) => format!("replica {ordinal} does not answer ({error})"),
    });
    each.collect::<Vec<_>>().join(", ")
}

fn voters_of(status: &ReplicaStatus) -> BTreeSet<Ordinal> {
    status.voters.iter().map(|id| id.ordinal()).collect()
}

fn beyond(voters: &BTreeSet<Ordinal>, to: HighestOrdinal) -> BTreeSet<Ordinal> {
    voters.iter().copied().filter(|ordinal| ordinal.0 > to).collect()
}

fn listed(ordinals: &BTreeSet<Ordinal>) -> String {
    ordinals.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn replicas(ordinals: &BTreeSet<Ordinal>) -> String {
    format!("replica{} {}", if ordinals.len() == 1 { "" } else { "s" }, listed(ordinals))
}
