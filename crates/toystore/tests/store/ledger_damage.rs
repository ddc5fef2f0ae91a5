//! The torn end of a ledger is repaired; damage in the middle is refused with its position.

use std::io::Write;

use api::Ordinal;
use service::lifecycle::ExitCode;
use toystore::local::StoreMember;

use crate::harness::{Audit, TestStore, eventually};

const FIRST: Ordinal = Ordinal(1);

async fn with_orders_and_the_first_replica_down() -> TestStore {
    let mut store = TestStore::start().await;
    for _ in 0..20 {
        store.rest().buy("Tux", 1).await;
    }
    Audit::check(&mut store, &[]).await;
    store.store.process(StoreMember::Order(FIRST)).kill().await.unwrap();
    store
}

#[tokio::test]
async fn a_torn_last_line_is_repaired() {
    let mut store = with_orders_and_the_first_replica_down().await;
    let path = store.store.layout().ledger(FIRST);
    let mut ledger = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    ledger.write_all(b"21,Tux,1,0b5c").unwrap();
    drop(ledger);
    store.store.start(StoreMember::Order(FIRST)).unwrap();
    store.ready().await;
    store.rest().buy("Tux", 1).await;
    let audit = Audit::check(&mut store, &[]).await;
    assert_eq!(audit.orders.len(), 21);
}

#[tokio::test]
async fn damage_in_the_middle_is_refused_with_its_position() {
    let mut store = with_orders_and_the_first_replica_down().await;
    let path = store.store.layout().ledger(FIRST);
    let mut text = std::fs::read_to_string(&path).unwrap();
    // Line 10 is the ninth order after the header; its quantity is changed.
    let line = text.lines().nth(9).unwrap().to_owned();
    let damaged = line.replacen("Tux,1,", "Tux,7,", 1);
    assert_ne!(line, damaged);
    text = text.replacen(&line, &damaged, 1);
    std::fs::write(&path, text).unwrap();
    let status = store.store.start(StoreMember::Order(FIRST)).unwrap().wait().await.unwrap();
    assert_eq!(status.code(), Some(ExitCode::Io as i32));
    // The last log lines may not have arrived yet.
    eventually("the position is logged", || async { store.logged("line 10") }).await;
    // The other two replicas continue.
    store.rest().buy("Tux", 1).await;
}
