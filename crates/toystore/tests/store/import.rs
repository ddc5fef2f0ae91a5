//! A store is created from the stock and the past orders of another one.

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::json;
use tokio::process::Command;

use crate::harness::{Audit, BINARY, TIMEOUT, TestStore};

const CATALOG: &str =
    "product_name,price,quantity\r\nTux,25.99,97\r\nRubik's_Cube,10.43,0\r\nRed Ball,1.5,99999974\r\n";
const ORDERS: &str =
    "Order number,Product name,Quantity\r\n0,Tux,1\r\n1,Rubik's_Cube,200\r\n2,Tux,2\r\n3,Red Ball,1\r\n";

/// Writes the two files and imports them into `data`.
async fn import(data: &Path, catalog: &str, orders: &str, more: &[&str]) -> (Output, String) {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("catalog.csv"), catalog).unwrap();
    std::fs::write(files.path().join("orders.csv"), orders).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["import", "--catalog", "catalog.csv", "--orders", "orders.csv", "--data-dir"]).arg(data).args(more);
    command.current_dir(files.path()).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(TIMEOUT, command.output()).await.expect("it ends by itself").unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, stderr)
}

#[tokio::test]
async fn an_imported_store_has_the_stock_and_the_orders_and_goes_on_from_there() {
    let mut store = TestStore::prepare(|layout| layout);
    let data = store.store.layout().data().to_owned();
    let (output, stderr) = import(&data, CATALOG, ORDERS, &[]).await;
    assert!(output.status.success(), "{stderr}");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.contains("3 products and 4 orders") && stdout.contains("order 0 is now order 1"), "{stdout}");
    assert_eq!(
        std::fs::read_to_string(data.join("imported-orders.csv")).unwrap(),
        "number_before,number\n0,1\n1,2\n2,3\n3,4\n"
    );

    store.store.start_all().unwrap();
    store.ready().await;
    let rest = store.rest();
    for (number, name, quantity) in [(1, "Tux", 1), (2, "Rubik's_Cube", 200), (3, "Tux", 2), (4, "Red Ball", 1)] {
        let order = rest.read(&format!("/orders/{number}")).await.body;
        assert_eq!(order, json!({ "data": { "number": number, "name": name, "quantity": quantity } }));
    }
    for (name, price, quantity) in [("Tux", 25.99, 97), ("Rubik's_Cube", 10.43, 0), ("Red Ball", 1.5, 99_999_974)] {
        let product = rest.read(&format!("/products/{name}")).await.body;
        assert_eq!(product, json!({ "data": { "name": name, "price": price, "quantity": quantity } }));
    }
    rest.buy("Tux", 1).await;
    assert_eq!(rest.read("/orders/5").await.body["data"]["name"], "Tux");
    assert_eq!(rest.stock("Tux").await, 96);
    // The ledgers and the accounts agree, so the history is real.
    Audit::check(&mut store, &[]).await;
    let kept = std::fs::read(store.store.layout().ledger(api::Ordinal(1))).unwrap();

    let (output, stderr) = import(&data, CATALOG, ORDERS, &[]).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(stderr.contains("already contains a store") && stderr.contains("log1.csv"), "{stderr}");
    assert!(std::fs::read(store.store.layout().ledger(api::Ordinal(1))).unwrap().starts_with(&kept));
}

#[tokio::test]
async fn all_mistakes_of_both_files_are_reported_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("new");
    let catalog = CATALOG.replace("25.99", "-1").replace("Rubik's_Cube", "..");
    let orders = ORDERS.replace("1,Rubik's_Cube,200", "x,Tux,0").replace("Red Ball,1", "Tux");
    let (output, stderr) = import(&data, &catalog, &orders, &[]).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    for message in [
        "catalog.csv line 2: price \"-1\" is not a price",
        "catalog.csv line 3: a product's name is \"..\"",
        "orders.csv line 3: order number \"x\" is not a whole number",
        "orders.csv line 3: quantity 0: the order is empty",
        "orders.csv line 5: expected 3 columns, found 2",
    ] {
        assert!(stderr.contains(message), "{message} is not in {stderr}");
    }
    assert!(!data.exists());
    let (output, stderr) = import(&data, "name,price\n", "", &[]).await;
    assert_eq!(output.status.code(), Some(64), "{stderr}");
    assert!(stderr.contains("catalog.csv line 1: column \"quantity\" is missing"), "{stderr}");
    assert!(stderr.contains("orders.csv line 1: the columns must be"), "{stderr}");
    assert!(!data.exists());
}
