//! Runs the scripts in `crates/simulation/scripts`, and compares their output with what they say.
//! `UPDATE_SCRIPTS=1` writes it into them instead, and `TRACE_SCRIPTS=1` prints the events of each
//! script (`=everything`: with each message). The module [`simulation::script`] explains scripts.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::{env, fs};

use simulation::TraceDetail;
use simulation::script::{ScriptRun, run, run_traced};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts")
}

fn perform(text: &str) -> ScriptRun {
    let detail = match env::var("TRACE_SCRIPTS").as_deref() {
        Err(_) => return run(text).unwrap_or_else(|mistake| panic!("{mistake}")),
        Ok("everything") => TraceDetail::Everything,
        Ok(_) => TraceDetail::Story,
    };
    run_traced(text, detail, Box::new(|line| eprintln!("{line}"))).unwrap_or_else(|mistake| panic!("{mistake}"))
}

fn script(name: &str) {
    let path = directory().join(name);
    let text = fs::read_to_string(&path).unwrap();
    let found = perform(&text);
    assert!(found.failures.is_empty(), "{name}: {}\n\n{}", found.failures.join("\n"), found.text);
    if env::var_os("TRACE_SCRIPTS").is_none() {
        assert_eq!(found, run(&text).unwrap(), "{name}: a second run differs");
    }
    if env::var_os("UPDATE_SCRIPTS").is_some() {
        fs::write(&path, found.text).unwrap();
    } else if found.text != text {
        panic!("{name}: the output differs (UPDATE_SCRIPTS=1 writes it):\n{}", difference(&text, &found.text));
    }
}

/// The lines that differ, with one line before and after.
fn difference(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let same = expected.iter().zip(&found).take_while(|(one, other)| one == other).count();
    let rest = expected.iter().rev().zip(found.iter().rev());
    let most = expected.len().min(found.len()) - same;
    let same_end = rest.take_while(|(one, other)| one == other).count().min(most);
    let lines = |mark: &'static str, lines: &[&str]| -> Vec<String> {
        lines.iter().map(|line| format!("{mark} {line}")).collect()
    };
    let mut all = lines(" ", &expected[same.saturating_sub(1)..same]);
    all.extend(lines("-", &expected[same..expected.len() - same_end]));
    all.extend(lines("+", &found[same..found.len() - same_end]));
    all.extend(lines(" ", &expected[expected.len() - same_end..]).into_iter().take(1));
    all.join("\n")
}

/// A test for each script, of the same name.
macro_rules! scripts {
    ($($name:ident)*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        $(#[test]
        fn $name() {
            script(stringify!($name));
        })*
    };
}

scripts! {
    cache_eviction
    cache_switched_off
    catalog_leader_cut_off
    catalog_leader_killed
    catalog_restart_between_reserve_and_answer
    catalog_successor_repeats_an_answer
    catalog_unreached_by_all
    catalog_unreached_by_the_leader
    disk_full_catalog
    disk_full_everywhere
    disk_full_follower
    disk_full_followers
    disk_full_followers_cannot_write
    disk_full_hand_over
    disk_full_majority
    disk_full_write
    election_after_a_freeze
    election_after_a_kill
    election_candidate_cut_off
    election_deaf_leader
    election_handed_over
    election_leader_cut_off
    election_leader_without_a_majority
    election_longest_log
    election_mute_leader
    election_of_a_deaf_frontend
    election_of_a_mistaken_frontend
    election_rival_frontends
    election_slow_disk
    election_split_vote
    election_unreached_leader
    election_without_a_majority
    election_without_the_longest_log
    fence_refuses_a_late_reservation
    fence_refuses_a_late_settlement
    fence_refuses_an_old_leader_that_wakes_up
    join_a_fourth_and_fifth_replica
    join_when_the_leader_vanishes
    join_while_the_leader_dies
    late_attempt_of_a_refused_order
    lease_across_catalog_leaders
    lease_after_a_catalog_restart
    lease_from_another_leader
    lease_holder_that_cannot_be_reached
    lease_invalidation
    lease_lost
    lease_of_a_frozen_frontend
    lease_of_a_killed_frontend
    lease_raced_fill
    lease_renewed_and_returned
    list_cached
    list_raced_fill
    list_shared_fetch
    log_repair_after_a_power_failure
    log_repair_entry_of_a_dead_leader
    log_repair_uncommitted_entry
    reads_share_a_request
    ready_after_catching_up
    ready_with_a_leader
    ready_with_a_vote
    refusal_outlives_its_leader
    remove_a_replica_and_start_it_again
    remove_the_leader
    repeat_through_another_frontend
    rewound_disk
    rewound_disk_after_a_stop_of_all
    rewound_disk_and_a_leader_that_forgot
    rewound_disk_and_another_leader
    rewound_disk_of_the_leader
    rewound_disk_that_lacks_nothing
    rewound_disk_that_learns_of_it_later
    rewound_disk_when_all_start_at_once
    rewound_disks_of_a_majority
    scale_three_five_three
    state_transfer_from_a_dying_leader
    state_transfer_interrupted
    state_transfer_to_a_machine_without_power
    state_transfer_to_a_replica_that_was_away
    stop_and_start_of_everything
    stop_without_a_successor
    takeover_answered_but_not_settled
    takeover_of_a_takeover
    takeover_placed_but_not_settled
    takeover_reserved_but_not_placed
    wiped_disk_has_no_vote
    wiped_disk_of_a_follower
    wiped_disk_of_the_leader
    wiped_disks_of_a_majority
}

#[test]
fn each_script_has_a_test() {
    let files = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), NAMES.iter().map(|name| (*name).to_owned()).collect());
}
