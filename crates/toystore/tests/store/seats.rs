//! Three order replicas become five, and three again, while clients order.

use api::Ordinal;
use tokio::process::Command;
use toystore::local::Member;

use crate::harness::{Audit, BINARY, PATIENCE, TOYS, TestStore, Writers, eventually};

/// The seats that have a vote, as the leader tells.
async fn voters(store: &TestStore) -> Vec<u8> {
    for seat in (1..=5).map(Ordinal) {
        if let Some(status) = store.store.status(seat).await
            && status.leads()
        {
            let mut seats: Vec<u8> = status.voters.iter().map(|id| id.ordinal().0).collect();
            seats.sort_unstable();
            return seats;
        }
    }
    Vec::new()
}

/// `toystore scale --to …`, as a person runs it.
async fn scale(store: &TestStore, to: u8) -> std::process::Output {
    let layout = store.store.layout();
    let mut command = Command::new(BINARY);
    command.args(["scale", "--to", &to.to_string()]).env("ORDER_SEATS", "5").kill_on_drop(true);
    for n in (1..=5).map(Ordinal) {
        let address = layout.internal(Member::Order(n));
        let (_, port) = address.as_str().rsplit_once(':').expect("host and port");
        command.env(format!("ORDER_HOST_{n}"), "127.0.0.1").env(format!("ORDER_PORT_{n}"), port);
    }
    command.output().await.unwrap()
}

#[tokio::test]
async fn three_become_five_and_three_again_while_orders_flow() {
    let mut store = TestStore::plenty(|layout| layout.with_seats(5)).await;
    let mut writers = Writers::start(&store.rest(), 4, TOYS);
    writers.acknowledge_more(50).await;
    for seat in [4, 5] {
        store.store.start(Member::Order(Ordinal(seat))).unwrap();
    }
    eventually("five have a vote", || async { voters(&store).await == [1, 2, 3, 4, 5] }).await;
    writers.acknowledge_more(50).await;

    // Five survive two: the leader dies, and so does another.
    let statuses = futures::future::join_all((1..=5).map(|n| store.store.status(Ordinal(n)))).await;
    let leader = statuses.iter().flatten().find(|status| status.leads()).expect("someone leads").ordinal;
    let other = (1..=3).map(Ordinal).find(|n| *n != leader).unwrap();
    for dead in [leader, other] {
        store.store.process(Member::Order(dead)).kill().await.unwrap();
    }
    writers.acknowledge_more(50).await;
    for dead in [leader, other] {
        store.store.start(Member::Order(dead)).unwrap();
    }
    store.ready().await;

    let scaled = scale(&store, 3).await;
    let (stdout, stderr) = (String::from_utf8_lossy(&scaled.stdout), String::from_utf8_lossy(&scaled.stderr));
    assert!(scaled.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("have a vote: 1, 2, 3"), "{stdout}\n{stderr}");
    for seat in [4, 5] {
        let process = store.store.process(Member::Order(Ordinal(seat)));
        process.stop(PATIENCE).await.unwrap();
        store.store.forget(Member::Order(Ordinal(seat)));
    }
    writers.acknowledge_more(50).await;
    // Three survive one.
    store.store.process(Member::Order(Ordinal(1))).kill().await.unwrap();
    writers.acknowledge_more(50).await;
    store.store.start(Member::Order(Ordinal(1))).unwrap();
    store.ready().await;

    // A seat that is wanted again is taken again, with the disk that it had.
    store.store.start(Member::Order(Ordinal(4))).unwrap();
    eventually("four have a vote", || async { voters(&store).await == [1, 2, 3, 4] }).await;
    writers.acknowledge_more(50).await;
    let (acknowledged, errors) = writers.finish().await;
    assert!(errors.is_empty(), "{errors:#?}");
    Audit::check(&mut store, &acknowledged).await;
    let ledger = |n| std::fs::read(store.store.layout().ledger(Ordinal(n))).unwrap();
    let whole = ledger(1);
    eventually("the newcomer has everything", || async { ledger(4) == whole }).await;
    assert!(whole.starts_with(&ledger(5)), "what was removed had the same orders");
}
