//! Seeds that have failed, each with the bug that it found. The run of a seed changes when the
//! store changes, so each bug also has a test of its own, where it was fixed. What these seeds find
//! today is a matter of luck.

use simulation::{SimulationOptions, run};

fn clean(seed: u64) {
    let report = run(seed, SimulationOptions::default());
    assert!(report.is_clean(), "{report}");
}

/// A power failure before the first checkpoint lost the ledger's header, but not some lines after
/// it. The replica did not start (`order`:
/// `a_header_that_never_reached_the_disk_is_rewritten`).
#[test]
fn a_ledger_without_its_header() {
    for seed in [5, 7, 18] {
        clean(seed);
    }
}

/// A wiped replica that was restarted while it was joining concluded that it had been removed, and
/// a joint membership with two dead ids wanted a majority of all four
/// (`replication::membership::remove`, `frontend::election::plan`).
#[test]
fn a_joining_replica_that_restarts_before_it_is_a_member() {
    clean(66);
}

/// A power failure while a log file was created left a file that could not be opened
/// (`replication`: `a_segment_that_was_not_completely_started_is_started_again`).
#[test]
fn a_log_file_that_was_not_completely_created() {
    clean(560);
}

/// The leader lost power while a replica waited to join, and the replica did not ask again
/// (`replication`: `a_joining_replica_whose_leader_is_gone_asks_again`).
#[test]
fn a_joining_replica_whose_leader_is_gone() {
    clean(3784);
}

/// A follower lost power during a state transfer. While the sender waited for the response, it sent
/// the follower nothing else (`replication`: `a_state_that_no_replica_receives_is_sent_again`).
#[test]
fn a_state_transfer_that_is_not_received() {
    clean(244);
}

/// The sync of the ledger's directory failed, the process ended, and the next process assumed that
/// the ledger's name was durable. A power failure removed it.
#[test]
fn a_name_whose_sync_failed() {
    clean(1731);
}

/// A follower's entries were replaced by those of another leader, and purged together with the file
/// of the replaced entries. The log was rejected as if entries were missing (`replication`:
/// `replaced_entries_are_not_missed_when_their_segment_is_gone`).
#[test]
fn entries_that_were_replaced() {
    clean(1_795_298_747);
}

/// An order joined its own first attempt, which had been refused before the restock, and its
/// refusal was taken for a new refusal (`history`:
/// `a_retried_order_may_have_been_refused_earlier`).
#[test]
fn an_order_that_joins_its_first_attempt() {
    clean(1_795_300_019);
}

/// A leader with its own unfinished removal in its log removed another replica, and thereby both.
/// The only remaining voter kept following it, and did not elect itself (`replication`:
/// `a_leader_that_is_being_removed_removes_no_other_member`).
#[test]
fn a_removal_by_a_leader_that_is_being_removed() {
    clean(261);
}

/// A replica that was removed while it was stopped started when there was no leader. Its log named
/// a leader, so it did not ask whether it was still a member.
#[test]
fn a_removed_replica_that_finds_no_leader() {
    clean(56);
}

/// A replica that had started an election while it was being removed was one term ahead of its
/// group, and therefore rejected the messages of the leader.
#[test]
fn a_removed_replica_that_is_a_term_ahead() {
    clean(4696);
}

/// The power failed while a ledger's header was rewritten because the group had agreed on another
/// format. A checkpoint without an order already existed.
#[test]
fn a_header_that_was_being_rewritten() {
    clean(1_796_202_277);
}

/// An older copy of a follower's disk was put back, and no process remembered what the follower had
/// acknowledged. It elected a leader without an acknowledged order, although the former leader was
/// there with the order in its log (the script `rewound_disk_and_a_leader_that_forgot`).
#[test]
fn an_older_copy_that_nobody_remembers() {
    clean(1_796_040_492);
}
