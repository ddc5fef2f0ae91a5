//! A seed determines a run, and the first seeds are clean. (`toystore simulate` runs many more.)

use simulation::{SimulationOptions, run};

#[test]
fn without_faults_everything_works() {
    let report = run(1, SimulationOptions { without_faults: true, ..SimulationOptions::default() });
    assert!(report.is_clean(), "{report}");
    assert!(report.acknowledged > 10, "{report}");
    assert_eq!(report.elections, 1, "{report}");
}

/// A frontend that receives nothing from a leader asks the replicas, which do. The seeds draw one
/// to three frontends.
#[test]
fn lost_packets_depose_no_leader() {
    for (packets_lost, seeds) in [(100, 1..=12), (300, 101..=106)] {
        for seed in seeds {
            let report = run(
                seed,
                SimulationOptions {
                    without_faults: true,
                    packets_lost: Some(packets_lost),
                    ..SimulationOptions::default()
                },
            );
            assert!(report.is_clean(), "{report}");
            assert!(report.faults["lost-packet"] > 50, "{report}");
            assert_eq!(report.elections, 1, "{packets_lost} of 1000 packets were lost: {report}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [1, 2, 3, 4, 5] {
        let (one, other) = (run(seed, SimulationOptions::default()), run(seed, SimulationOptions::default()));
        assert_eq!(one, other);
        assert_ne!(one.trace_hash, run(seed + 100, SimulationOptions::default()).trace_hash);
    }
}

#[test]
fn another_thread_gives_the_same_run() {
    let here = run(7, SimulationOptions::default());
    let there = std::thread::spawn(|| run(7, SimulationOptions::default())).join().unwrap();
    assert_eq!(here, there);
}

#[test]
fn the_first_seeds_are_clean() {
    for seed in 1..=20 {
        let report = run(seed, SimulationOptions::default());
        assert!(report.is_clean(), "{report}");
    }
}
