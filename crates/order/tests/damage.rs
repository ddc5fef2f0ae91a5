//! The log, ledger and checkpoint of a group's only replica reveal the loss of one another.

mod store;

use std::fs;
use std::path::Path;

use order::Config;
use replication::StorageConfig;
use service::lifecycle::{ExitCode, Process};
use store::fake_catalog::FakeCatalog;
use store::id;
use store::only_replica::OnlyReplica;
use test_support::{copy, cut_frames, replace};

/// The number of orders before and after the older copy is made.
const ORDERS_BEFORE: u128 = 15;
const ORDERS: u128 = 40;

fn checkpoint_every(entries: u64) -> impl FnOnce(&mut Config) {
    move |config| {
        config.storage = StorageConfig { checkpoint_every: entries, log_kept: 1, ..config.storage.clone() };
    }
}

/// Places the orders of `numbers` one after the other, and stops.
async fn place(dir: &Path, catalog: &FakeCatalog, every: u64, numbers: std::ops::Range<u128>) {
    let replica = OnlyReplica::leading(dir, catalog, checkpoint_every(every)).await;
    for n in numbers {
        replica.place(id(n), "Tux", 1).await.unwrap();
    }
    replica.server.stop().await;
}

/// Turns the directory into what the release before the high-water record left.
fn without_record(data: &Path) {
    fs::remove_file(data.join("log/high-water")).unwrap();
    let identity = data.join("identity.json");
    let text = fs::read_to_string(&identity).unwrap();
    fs::write(&identity, text.replace("\"has_high_water\": true", "\"has_high_water\": false")).unwrap();
}

/// Damages the files in `dir`; `older` has an older copy.
type Damage = fn(dir: &Path, older: &Path);

/// The file that is named and the message; `None` if it starts with all orders.
type Refused = Option<(&'static str, &'static str)>;

#[tokio::test]
async fn log_ledger_and_checkpoint_are_compared_at_the_start() {
    let table: [(&str, u64, Damage, Refused); 12] = [
        ("nothing", 8, |_, _| {}, None),
        (
            "the log is truncated",
            8,
            |dir, _| _ = cut_frames(&dir.join("order1"), 1),
            Some((".log", "its frames end at byte")),
        ),
        (
            "a log without a high-water record lost its end",
            1000,
            |dir, _| {
                without_record(&dir.join("order1"));
                cut_frames(&dir.join("order1"), 6);
            },
            Some(("log1.csv", "the log has lost its end")),
        ),
        ("a log without a high-water record is undamaged", 8, |dir, _| without_record(&dir.join("order1")), None),
        (
            "the data directory is an older copy, the ledger is not",
            1000,
            |dir, older| replace(&older.join("order1"), &dir.join("order1")),
            Some(("log1.csv", "line 17 (byte ")),
        ),
        (
            "the data directory is gone, the ledger is not",
            8,
            |dir, _| fs::remove_dir_all(dir.join("order1")).unwrap(),
            Some(("log", "was lost")),
        ),
        (
            "the ledger is gone",
            8,
            |dir, _| fs::remove_file(dir.join("log1.csv")).unwrap(),
            Some(("log1.csv", "it is missing")),
        ),
        (
            "the ledger is an older copy",
            8,
            |dir, older| replace(&older.join("log1.csv"), &dir.join("log1.csv")),
            Some(("log1.csv", "the ledger ends, but")),
        ),
        // All of its orders are still in the log.
        (
            "the ledger is an older copy, before the first checkpoint",
            1000,
            |dir, older| replace(&older.join("log1.csv"), &dir.join("log1.csv")),
            None,
        ),
        (
            "the checkpoint is gone",
            8,
            |dir, _| fs::remove_file(dir.join("order1/ledger.mark")).unwrap(),
            Some(("ledger.mark", "it is missing, but the log")),
        ),
        (
            "the checkpoint is an older copy",
            8,
            |dir, older| replace(&older.join("order1/ledger.mark"), &dir.join("order1/ledger.mark")),
            Some(("ledger.mark", "it is an older copy")),
        ),
        (
            "the log is an older copy",
            8,
            |dir, older| replace(&older.join("order1/log"), &dir.join("order1/log")),
            Some(("log", "holds the state up to")),
        ),
    ];
    for every in [8, 1000] {
        let catalog = FakeCatalog::start(&[("Tux", 1000)]);
        let (whole, older) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        place(whole.path(), &catalog, every, 0..ORDERS_BEFORE).await;
        copy(whole.path(), older.path());
        place(whole.path(), &catalog, every, ORDERS_BEFORE..ORDERS).await;
        for (case, _, damage, refused) in table.iter().filter(|(_, cases, ..)| *cases == every) {
            let dir = tempfile::tempdir().unwrap();
            copy(whole.path(), dir.path());
            damage(dir.path(), older.path());
            match (refused, OnlyReplica::start(dir.path(), &catalog.address, checkpoint_every(every)).await) {
                (None, Ok(replica)) => {
                    replica.server.stop().await;
                    let lines = fs::read(dir.path().join("log1.csv")).unwrap();
                    assert!(lines == fs::read(whole.path().join("log1.csv")).unwrap(), "{case}: an order is missing");
                }
                (Some((file, what)), Err(error)) => {
                    assert_eq!(error.code, ExitCode::Io, "{case}: {error}");
                    let text = error.to_string();
                    let named = text.split(" is damaged: ").next().unwrap();
                    assert!(named.ends_with(file), "{case}: {named} is named, not {file}: {text}");
                    assert!(text.contains(what) && text.contains("move"), "{case}: {text}");
                }
                (expected, Ok(replica)) => {
                    replica.server.stop().await;
                    panic!("{case}: it started, instead of {expected:?}");
                }
                (None, Err(error)) => panic!("{case}: {error}"),
            }
        }
    }
}
