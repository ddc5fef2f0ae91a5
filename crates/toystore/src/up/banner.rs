//! What `toystore up` tells the person who started it, on standard output.

use std::time::Duration;

use crate::cli::print;
use crate::local::{Member, Store};

/// A store that is ready has a leader, but for an election that is just under way.
const LEADER_PATIENCE: Duration = Duration::from_secs(5);

/// What runs where, and what to try.
pub(super) async fn show(store: &mut Store) {
    let leader = store.leader_other_than(None, LEADER_PATIENCE).await.ok();
    let layout = store.layout().clone();
    print(format!("\nThe store is open.\n\n{:<12}{:<9}{:<18}role", "process", "pid", "address"));
    for process in store.processes() {
        let member = process.member();
        let (address, role) = match member {
            Member::Catalog => (layout.internal(member), "stock, leases, invalidations"),
            Member::Order(n) if Some(n) == leader => (layout.internal(member), "leader"),
            Member::Order(_) => (layout.internal(member), "follower"),
            Member::Frontend(n) => (layout.public(n), "public REST API, cache, elections"),
        };
        print(format!("{:<12}{:<9}{:<18}{role}", member.to_string(), process.pid(), address.to_string()));
    }
    let url = layout.public(1).url("");
    let inside = layout.internal(Member::Frontend(1)).url("");
    let ledgers: Vec<_> = layout.ordinals().map(|n| layout.ledger(n).display().to_string()).collect();
    let leader = leader.map_or_else(String::new, |n| {
        format!("  kill -9 {:<29} # the leader: watch who takes over\n", store.process(Member::Order(n)).pid())
    });
    print(format!(
        "
Try:
  curl {url}/products/Tux
  curl {url}/orders -H 'Content-Type: application/json' -d '{{\"name\":\"Tux\",\"quantity\":1}}'
  curl {url}/orders/1
  curl {inside}/cache           # what the frontend has cached
{leader}  head {ledgers}

Ctrl-C stops everything.
",
        ledgers = ledgers.join(" "),
    ));
}
