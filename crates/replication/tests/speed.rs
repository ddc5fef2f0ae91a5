//! A measurement, not a test:
//! `cargo test --release -p replication --test speed -- --ignored --nocapture`.

mod cluster;

use std::time::{Duration, Instant};

use cluster::Cluster;

const PROPOSALS: u32 = 2000;
/// About the size of a batch of 64 orders.
const COMMAND_BYTES: usize = 4096;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints how fast it is on this machine; asserts nothing about it"]
async fn one_proposal_after_the_other() {
    for replicas in [1, 3] {
        let cluster = Cluster::started(replicas).await;
        let leader = cluster.replica(cluster.any_leader().await).clone();
        let word = "x".repeat(COMMAND_BYTES);
        let (begin, mut times) = (Instant::now(), Vec::new());
        for _ in 0..PROPOSALS {
            let one = Instant::now();
            leader.propose(word.clone()).await.expect("it leads");
            times.push(one.elapsed());
        }
        report(&format!("{replicas} replicas, propose {COMMAND_BYTES} bytes"), begin.elapsed(), &mut times);
        let (begin, mut times) = (Instant::now(), Vec::new());
        for _ in 0..PROPOSALS {
            let one = Instant::now();
            leader.confirm_leadership().await.expect("it leads");
            times.push(one.elapsed());
        }
        report(&format!("{replicas} replicas, confirm"), begin.elapsed(), &mut times);
    }
}

fn report(what: &str, total: Duration, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let per_second = f64::from(u32::try_from(times.len()).expect("few")) / total.as_secs_f64();
    eprintln!("{what}: {per_second:.0}/s, p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), at(100));
}
