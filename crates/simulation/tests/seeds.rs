//! A seed is a run, and the first seeds are clean. (`toystore simulate` runs many more.)

use simulation::{Options, run};

#[test]
fn without_faults_everything_works() {
    let report = run(1, Options { calm: true, ..Options::default() });
    assert!(report.is_clean(), "{report}");
    assert!(report.acknowledged > 10, "{report}");
    assert_eq!(report.elections, 1, "{report}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [1, 2, 3, 4, 5] {
        let (one, other) = (run(seed, Options::default()), run(seed, Options::default()));
        assert_eq!(one, other);
        assert_ne!(one.trace_hash, run(seed + 100, Options::default()).trace_hash);
    }
}

#[test]
fn on_another_thread_it_is_the_same_run_too() {
    let here = run(7, Options::default());
    let there = std::thread::spawn(|| run(7, Options::default())).join().unwrap();
    assert_eq!(here, there);
}

#[test]
fn the_first_seeds_are_clean() {
    for seed in 1..=20 {
        let report = run(seed, Options::default());
        assert!(report.is_clean(), "{report}");
    }
}
