//! Many clients compete for few pieces.

use std::collections::BTreeSet;

use tokio::task::JoinSet;
use uuid::Uuid;

use crate::harness::{Audit, ClientOrder, TestStore};

#[tokio::test]
async fn sixteen_clients_compete_for_a_hundred_pieces() {
    let mut store = TestStore::start().await;
    let mut clients = JoinSet::new();
    for _ in 0..16 {
        let rest = store.rest();
        clients.spawn(async move {
            let mut bought = Vec::new();
            for quantity in [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3] {
                let key = Uuid::new_v4();
                let answer = rest.place("Tux", quantity, key).await.unwrap();
                match answer.status.as_u16() {
                    200 => {
                        let number = answer.body["data"]["order_number"].as_u64().unwrap();
                        bought.push(ClientOrder { number, name: "Tux".into(), quantity, key });
                    }
                    409 => assert_eq!(answer.code(), "out_of_stock"),
                    _ => panic!("{answer:?}"),
                }
            }
            bought
        });
    }
    let bought: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    let numbers: BTreeSet<_> = bought.iter().map(|order| order.number).collect();
    assert_eq!(numbers.len(), bought.len(), "a number was assigned twice");
    assert!(numbers.into_iter().eq(1..=bought.len() as u64), "numbers are not consecutive");
    let taken: u64 = bought.iter().map(|order| u64::from(order.quantity)).sum();
    // The clients want 16 × 24 pieces, so the last ones do not get even a single piece.
    assert_eq!(taken, 100);
    assert_eq!(store.rest().stock("Tux").await, 0);
    let audit = Audit::check(&mut store, &bought).await;
    assert_eq!(audit.orders.len(), bought.len());
}
