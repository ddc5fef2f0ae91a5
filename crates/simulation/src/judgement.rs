//! The end of a run: everything is healed, the final state is read, and the checkers judge it.

use std::sync::Arc;
use std::time::Duration;

use api::Address;
use api::catalog::StockAccount;
use history::{Budget, EndState, Releases};
use service::json_client::JsonClient;
use tokio::task::JoinHandle;

use crate::cluster::SimulatedCluster;
use crate::fault_injection::REMOVAL_DURATION;
use crate::faults::FaultKind;
use crate::member::{ClusterLayout, RESTOCK_LEVEL};
use crate::network::NetworkConditions;
use crate::observer::Observer;
use crate::report::{SimulationFailure, SimulationReport};
use crate::simulation::{LIVENESS_TIMEOUT, Simulation};
use crate::trace::Millis;

/// How long the shoppers may take to finish. They give up long before.
const SHOPPERS_TIMEOUT: Millis = 120_000;
/// How long the replicas may take to have the same log after the last order: for settlements and
/// the last appends, and longest of all for a wiped replica to become a member again.
const SETTLE_TIMEOUT: Millis = 30_000;
/// How long the audit may take: the stock accounts and the last reads.
const AUDIT_TIMEOUT: Millis = 60_000;
/// How long all order replicas may take to be members again after everything is healed. Otherwise
/// no disk is rewound.
const REJOIN_TIMEOUT: Millis = 20_000;

impl Simulation {
    /// Repairs and starts everything. Then the store must place an order.
    pub(crate) fn heal(&mut self) {
        self.cluster.note_phase("everything is healed".to_owned());
        self.cluster.clear_schedule();
        {
            let mut shared = self.cluster.environment.lock();
            shared.network.conditions = NetworkConditions::PERFECT;
            let now = shared.now;
            shared.network.heal(now);
        }
        let now = self.cluster.now();
        for id in 0..self.cluster.members.len() {
            let machine = &mut self.cluster.machines[id];
            machine.disk().heal();
            machine.disk_delay().set(0);
            machine.resume(now);
            if !machine.is_running() && !self.cluster.absent[id] {
                self.cluster.start_member(id);
            }
        }
        if self.has_failed() {
            return;
        }
        self.await_late_messages();
        self.rejoin_removed_members();
        self.restore_disk_snapshot();
        let placed =
            self.cluster.on_shoppers_machine(|mut shopper| async move { shopper.order_until_acknowledged().await });
        if !self.until(LIVENESS_TIMEOUT, |_| placed.is_finished()) {
            self.liveness_failure("no order was placed although everything was healed");
        }
    }

    /// Lets the shoppers continue until all messages have arrived that were held back or are very
    /// late. Afterwards, no message is older than the healing.
    fn await_late_messages(&mut self) {
        let now = self.cluster.now();
        let quiet_at = self.cluster.environment.lock().network.quiet_at(now);
        self.until(quiet_at - now, |_| false);
    }

    /// Restarts every replica that may have been removed, when no removal is in progress any more.
    fn rejoin_removed_members(&mut self) {
        if !self.cluster.removed.contains(&true) {
            return;
        }
        self.until(REMOVAL_DURATION, |_| false);
        for id in 0..self.cluster.members.len() {
            if self.cluster.removed[id] && !self.cluster.absent[id] && self.cluster.machines[id].is_running() {
                self.cluster.ask_to_stop(id, FaultKind::RemovedMember);
            }
        }
    }

    /// Replaces a replica's disk by its earlier snapshot, in seeds in which a disk goes back in
    /// time. All other replicas are there, and know what this replica had acknowledged.
    fn restore_disk_snapshot(&mut self) {
        let cluster = &mut self.cluster;
        let (Some((id, snapshot)), Some(rewind)) = (cluster.snapshot.take(), &mut cluster.rewind) else { return };
        let away = rewind.within(FaultKind::RewoundDisk.duration());
        let (orders, healed) = (cluster.order_machines(), cluster.now());
        let complete = |it: &SimulatedCluster| it.environment.lock().observer.complete(&orders, healed);
        if !self.until(REJOIN_TIMEOUT, complete) || !self.cluster.machines[id].is_running() {
            return;
        }
        self.cluster.rewind_disk(id, snapshot, Some(away));
        self.until(away, |_| false);
    }

    /// Stops the shoppers, and reads the final state when nothing changes any more.
    pub(crate) fn audit(&mut self) -> EndState {
        self.cluster.shopping.stop();
        self.cluster.note_phase("the shoppers stop".to_owned());
        if self.has_failed() {
            return EndState::default();
        }
        let shopping = Arc::clone(&self.cluster.shopping);
        // When all shoppers' tasks have ended, only the cluster and this function hold a reference.
        if !self.until(SHOPPERS_TIMEOUT, |_| Arc::strong_count(&shopping) <= 2) {
            self.liveness_failure("a shopper waits forever");
        }
        let stopped = self.cluster.now();
        let orders = self.cluster.order_machines();
        if !self.until(SETTLE_TIMEOUT, |it| it.environment.lock().observer.settled(&orders, stopped)) {
            self.liveness_failure("the order replicas do not reach the same log, although everything was healed");
        }
        let catalogs: Vec<_> = (1..=self.cluster.layout.catalogs).map(ClusterLayout::catalog).collect();
        let audit = self.cluster.on_shoppers_machine(move |mut shopper| async move {
            shopper.read_all_orders().await;
            shopper.repeat_all_refused().await;
            shopper.read_all_products().await;
            stock_accounts(&catalogs).await
        });
        if !self.until(AUDIT_TIMEOUT, |_| audit.is_finished()) {
            self.liveness_failure("the stock accounts cannot be read");
            return EndState::default();
        }
        let accounts = finished(audit);
        // The ledgers are read last: a product read that fills a cache may delay a change of the
        // catalog, but the ledgers do not change any more.
        EndState { ledgers: self.cluster.ledgers(), accounts }
    }

    pub(crate) fn judge(mut self, end: &EndState) -> SimulationReport {
        let cluster = &self.cluster;
        assert_eq!(cluster.shopping.log.dropped(), 0, "a run has fewer calls than the log can hold");
        let mut history = cluster.shopping.log.take();
        let (leader_terms, effects) = {
            let observer: &mut Observer = &mut cluster.environment.lock().observer;
            (observer.leader_terms(), observer.take_effects())
        };
        cluster.record(|story| story.judged(&history, &effects));
        // With several catalog replicas, a deposed one may send an old response after the first one
        // of its successor.
        if cluster.layout.catalogs == 1 {
            history.effects = effects;
        }
        let options = history::CheckOptions {
            quiet: self.failures.is_empty(),
            restock_level: Some(RESTOCK_LEVEL),
            releases: Releases::Anytime,
            duplicated_requests: true,
            budget: Budget { configurations_max: 300_000 },
            violations_max: 10,
        };
        let verdict = history::check(&history, end, &options);
        self.failures
            .extend(verdict.violations.into_iter().map(|violation| SimulationFailure::Invariant(Box::new(violation))));
        let lengths: Vec<_> = end.ledgers.iter().map(|ledger| ledger.bytes.len()).collect();
        if options.quiet && end.ledgers.windows(2).any(|two| two[0].bytes != two[1].bytes) {
            self.failures.push(SimulationFailure::LedgersDiffer(lengths));
        }
        for failure in &self.failures {
            cluster.environment.lock().trace.write_line(&format!("FAILURE {failure}"));
        }
        let shared = cluster.environment.lock();
        SimulationReport {
            seed: self.seed,
            virtual_ms: shared.now,
            events: shared.trace.events(),
            acknowledged: verdict.counts.acknowledged,
            elections: leader_terms as u64,
            faults: shared.trace.faults().clone(),
            trace_hash: shared.trace.hash(),
            counts: verdict.counts,
            failures: self.failures.clone(),
        }
    }
}

/// The catalog leader's stock accounts when nothing is reserved any more, or the last ones after
/// some time.
async fn stock_accounts(catalogs: &[Address]) -> Vec<StockAccount> {
    let client = JsonClient::new(None);
    let mut last = Vec::new();
    for _ in 0..40 {
        for catalog in catalogs {
            let accounts = client.get::<Vec<StockAccount>>(catalog, "/accounts", Duration::from_secs(2)).await;
            if let Ok(accounts) = accounts {
                last = accounts;
                if last.iter().all(|account| account.reserved == 0) {
                    return last;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    last
}

/// The result of a task that has finished.
pub(crate) fn finished<T>(task: JoinHandle<T>) -> T {
    use futures::FutureExt;
    task.now_or_never().expect("the task has finished").expect("the task did not panic")
}
