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
