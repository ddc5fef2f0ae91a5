//! Not a test but a measurement: `cargo test --release -p replication --test speed -- --ignored --nocapture`.

mod cluster;

use std::time::{Duration, Instant};

use cluster::Cluster;

const PROPOSALS: u32 = 2000;
const FAILOVERS: u32 = 10;
/// About what a batch of 64 orders takes.
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
            leader.confirm().await.expect("it leads");
            times.push(one.elapsed());
        }
        report(&format!("{replicas} replicas, confirm"), begin.elapsed(), &mut times);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints how fast it is on this machine; asserts nothing about it"]
async fn from_a_lost_leader_to_the_next_commit() {
    let mut cluster = Cluster::started(3).await;
    let (begin, mut times) = (Instant::now(), Vec::new());
    for round in 0..FAILOVERS {
        cluster.say(&round.to_string()).await;
        let leader = cluster.any_leader().await;
        // Leaders are not lost the moment they are elected; a replica does not stand right after it gave its vote away.
        tokio::time::sleep(Duration::from_millis(100)).await;
        cluster.stop(leader).await;
        let one = Instant::now();
        let heir = cluster.heir();
        cluster.elect_after(heir, &[cluster.other_than(&[leader, heir])]).await;
        cluster.say("after").await;
        times.push(one.elapsed());
        cluster.start(leader).await;
    }
    report("fail-over, detection not counted, with pauses", begin.elapsed(), &mut times);
}

fn report(what: &str, total: Duration, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let per_second = f64::from(u32::try_from(times.len()).expect("few")) / total.as_secs_f64();
    eprintln!("{what}: {per_second:.0}/s, p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), at(100));
}
