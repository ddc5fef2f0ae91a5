//! Seeds that have failed, each with the bug that it found. A seed's run changes with the store, so each bug has a test of its own as well,
//! where it was; what these seeds find today is a matter of luck.

use simulation::{Options, run};

fn clean(seed: u64) {
    let report = run(seed, Options::default());
    assert!(report.is_clean(), "{report}");
}

/// A power failure before the first checkpoint took the ledger's header and left lines behind it; the replica did not start
/// (`order`: `a_header_that_never_reached_the_disk_before_lines_that_did_is_made_anew`).
#[test]
fn a_ledger_without_its_header() {
    for seed in [5, 7, 18] {
        clean(seed);
    }
}

/// A wiped replica that was restarted while it was being seated took its seat for removed, and a joint membership with two dead ids
/// wanted a majority of all four (`replication::removal`, `frontend::election::candidate`).
#[test]
fn a_newcomer_that_restarts_before_it_has_its_seat() {
    clean(66);
}

/// A power failure while the log's file was made left one that could not be opened
/// (`replication`: `a_file_that_was_not_begun_to_its_end_is_begun_anew`).
#[test]
fn a_log_that_was_not_made_to_its_end() {
    clean(560);
}

/// The leader lost its power while a newcomer waited for its seat, and the newcomer did not ask again
/// (`replication`: `a_newcomer_whose_leader_is_gone_asks_again`).
#[test]
fn a_newcomer_whose_leader_is_gone() {
    clean(3784);
}

/// A follower lost its power while the state was sent to it, and for as long as the sender waited for its answer it was sent nothing else
/// (`replication`: `a_state_that_nobody_receives_is_sent_again`).
#[test]
fn a_state_that_nobody_receives() {
    clean(244);
}

/// The sync of the ledger's directory failed, the process ended, and the next one took the ledger's name for durable. A power
/// failure undid it.
#[test]
fn a_name_whose_sync_failed() {
    clean(1731);
}

/// A follower's entries were replaced by another leader's, and purged with the file that the replaced ones lay in: the log was refused as
/// if they were missing (`replication`: `entries_that_were_replaced_are_not_missed_when_their_file_is_gone`).
#[test]
fn entries_that_were_replaced() {
    clean(1_795_298_747);
}

/// An order joined its own first attempt, which had been refused before the restock, and its refusal was taken for a new one
/// (`history`: `an_order_that_is_sent_again_may_have_been_refused_before`).
#[test]
fn an_order_that_joins_its_first_attempt() {
    clean(1_795_300_019);
}

/// A leader that was to go, with its own removal unfinished in its log, had another seat removed, and thereby both: the only voter that was
/// left went on to follow it, and did not elect itself (`replication`: `a_leader_that_is_being_removed_removes_nobody_else`).
#[test]
fn a_removal_by_one_that_is_being_removed() {
    clean(261);
}

/// A replica that was removed while it was away started when nobody led. Its log named a leader, so it did not ask whether it had its seat still.
#[test]
fn a_removed_replica_that_finds_no_leader() {
    clean(56);
}

/// A replica that had stood for election while it was being removed was a term ahead of its group, whose leader was therefore not heard.
#[test]
fn a_removed_replica_that_is_a_term_ahead() {
    clean(4696);
}
