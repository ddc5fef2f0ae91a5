use std::fs;

use api::catalog::OrderLine;
use api::{BatchId, BatchNumber, LogPosition, OrderId, ProductName, Quantity, Term};
use proptest::prelude::*;
use replication::StateMachine;
use tempfile::TempDir;

use super::*;
use crate::orders::Command;

/// A replica's disk: its ledger, and the machine that would be beside it.
struct Disk {
    dir: TempDir,
}

impl Disk {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("log1.csv")
    }

    fn open(&self) -> Result<Ledger, StoreError> {
        Ledger::open(&self.path(), &self.dir.path().join("order1"))
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// What a start finds: the orders of the last checkpoint, and the ledger.
    fn start(&self) -> Result<(Orders, Ledger), StoreError> {
        let mut ledger = self.open()?;
        let orders = ledger.load()?.map_or_else(|| Orders::remembering(1000), |(orders, _)| orders);
        Ok((orders, ledger))
    }

    /// Why a start is refused.
    fn refusal(&self) -> String {
        match self.start() {
            Err(error @ StoreError::Damaged { .. }) => error.to_string(),
            other => panic!("expected damage, got {other:?}"),
        }
    }
}

fn line(n: u64) -> OrderLine {
    OrderLine {
        order_id: OrderId(uuid::Uuid::from_u128(n.into())),
        name: ProductName::new(["Tux", "Ball, \"magic\"", "Größe 8"][usize::try_from(n % 3).unwrap()]).unwrap(),
        quantity: Quantity::new(1 + n % 7).unwrap(),
    }
}

/// Numbers the orders up to `count`.
fn place_up_to(orders: &mut Orders, count: u64) {
    let position = LogPosition { term: Term(1), index: count };
    orders.apply(position, Command::Begin { term: Term(1) });
    let lines = (orders.count() + 1..=count).map(line).collect();
    orders.apply(position, Command::Place { id: BatchId { term: Term(1), batch: BatchNumber(count) }, orders: lines });
    assert_eq!(orders.count(), count);
}

/// A ledger with a checkpoint after `checkpoint` orders and a tail up to `count`.
fn written(checkpoint: u64, count: u64) -> Disk {
    let disk = Disk::new();
    let (mut orders, mut ledger) = disk.start().unwrap();
    if checkpoint > 0 {
        place_up_to(&mut orders, checkpoint);
        ledger.checkpoint(&orders, b"header").unwrap();
    }
    place_up_to(&mut orders, count);
    ledger.record(&orders).unwrap();
    disk
}

/// The byte at which a line begins; the header is line 1.
fn offset_of(bytes: &[u8], line: usize) -> usize {
    bytes.split_inclusive(|byte| *byte == b'\n').take(line - 1).map(<[u8]>::len).sum()
}

#[test]
fn a_ledger_is_the_state_up_to_its_mark_and_is_never_written_twice() {
    let disk = written(3, 7);
    let whole = disk.bytes();
    for _ in 0..2 {
        let (mut orders, mut ledger) = disk.start().unwrap();
        assert_eq!(orders.count(), 3);
        assert_eq!(orders.begun(), Term(1));
        for count in [4, 7] {
            place_up_to(&mut orders, count);
            ledger.record(&orders).unwrap();
            assert_eq!(disk.bytes(), whole, "what is written is not written again");
        }
    }
    let (mut orders, mut ledger) = disk.start().unwrap();
    place_up_to(&mut orders, 9);
    ledger.checkpoint(&orders, b"later").unwrap();
    assert!(disk.bytes().starts_with(&whole));
    drop(ledger);
    let (restored, header) = disk.open().unwrap().load().unwrap().unwrap();
    assert_eq!(header, b"later");
    assert!(restored.after(0).eq(orders.after(0)));
    assert_eq!(disk.bytes(), written(0, 9).bytes(), "the same orders are the same bytes, however they came");
}

#[test]
fn what_a_crash_leaves_at_the_end_is_cut_away_and_comes_again() {
    let whole = written(3, 7).bytes();
    let begin = |line| offset_of(&whole, line);
    // Line 5 is order 4, the first of the tail.
    let with_nuls = |from: usize, to: usize| {
        let mut bytes = whole.clone();
        bytes[from..to].fill(0);
        bytes
    };
    let table = [
        ("nothing lost", whole.clone(), 7),
        ("the last line feed", whole[..whole.len() - 1].to_vec(), 6),
        ("half a line", whole[..begin(7) + 10].to_vec(), 5),
        ("the whole tail", whole[..begin(5)].to_vec(), 3),
        ("one byte of the tail left", whole[..=begin(5)].to_vec(), 3),
        ("a last page that never reached the disk", with_nuls(begin(7) + 3, whole.len()), 5),
        ("a page in the middle that never reached the disk", with_nuls(begin(6) + 20, begin(7) + 5), 4),
        ("pages beyond the end", [whole.as_slice(), &[0; 9000]].concat(), 7),
        ("pages beyond a torn line", [&whole[..begin(7) + 10], &[0; 9000]].concat(), 5),
    ];
    for (case, bytes, kept) in table {
        let disk = written(3, 7);
        fs::write(disk.path(), bytes).unwrap();
        let (mut orders, mut ledger) = disk.start().unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(disk.bytes().len(), begin(kept + 2), "{case}");
        place_up_to(&mut orders, 7);
        ledger.record(&orders).unwrap();
        assert_eq!(disk.bytes(), whole, "{case}");
    }
}

#[test]
fn damage_is_refused_with_its_place() {
    let whole = written(3, 7).bytes();
    let begin = |line| offset_of(&whole, line);
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let without = |line: usize| [&whole[..begin(line)], &whole[begin(line + 1)..]].concat();
    let place = |line| format!("line {line} (byte {}): ", begin(line));
    let table = [
        ("the header", flipped(3), "line 1 (byte 0): it is not".to_owned()),
        ("a byte before the mark", flipped(begin(3) + 4), format!("{}its checksum is", place(3))),
        ("a byte behind the mark, in the middle", flipped(begin(6) + 4), format!("{}its checksum is", place(6))),
        ("a byte of the last line", flipped(begin(8) + 4), format!("{}its checksum is", place(8))),
        ("a line feed", flipped(begin(4) - 1), place(3)),
        ("a line is gone before the mark", without(3), format!("{}its checksum is", place(3))),
        ("a line is gone behind the mark", without(6), format!("{}its checksum is", place(6))),
        (
            "a line came in",
            [&whole[..begin(3)], b"x\n", &whole[begin(3)..]].concat(),
            format!("{}it does not end", place(3)),
        ),
        ("cut off before the mark", whole[..begin(4) + 5].to_vec(), format!("{}it is cut off", place(4))),
        ("whole lines are gone before the mark", whole[..begin(4)].to_vec(), format!("{}the ledger ends", place(4))),
        ("NUL bytes before the mark", [&whole[..begin(4)], &[0; 99], &whole[begin(4)..]].concat(), place(4)),
        ("something without end", [&whole, &[b'x'; 999][..]].concat(), "it has no end".to_owned()),
        ("everything is gone", Vec::new(), "line 1 (byte 0): it is not".to_owned()),
    ];
    for (case, bytes, expected) in table {
        let disk = written(3, 7);
        fs::write(disk.path(), &bytes).unwrap();
        let refusal = disk.refusal();
        assert!(refusal.contains(&expected), "{case}: {refusal:?} does not say {expected:?}");
        assert!(refusal.contains("log1.csv"), "{case}: {refusal}");
        assert_eq!(disk.bytes(), bytes, "{case}: what is refused is not touched");
    }
}

#[test]
fn a_missing_ledger_is_refused_and_a_missing_mark_is_not() {
    let disk = written(3, 7);
    fs::remove_file(disk.path()).unwrap();
    let refusal = disk.open().unwrap_err().to_string();
    assert!(refusal.contains("it is missing") && refusal.contains("3 orders"), "{refusal}");

    let disk = written(3, 7);
    let whole = disk.bytes();
    fs::remove_dir_all(disk.dir.path().join("order1")).unwrap();
    let (mut orders, mut ledger) = disk.start().unwrap();
    assert_eq!(orders.count(), 0);
    place_up_to(&mut orders, 8);
    ledger.record(&orders).unwrap();
    assert!(disk.bytes().starts_with(&whole) && disk.bytes().len() > whole.len());
}

#[test]
fn a_torn_header_of_a_first_start_is_made_whole() {
    for kept in 0..HEADER.len() {
        let disk = Disk::new();
        fs::write(disk.path(), &HEADER[..kept]).unwrap();
        disk.start().unwrap();
        assert_eq!(disk.bytes(), HEADER);
    }
}

#[test]
fn a_header_that_never_reached_the_disk_before_lines_that_did_is_made_anew() {
    let whole = written(0, 3).bytes();
    let disk = Disk::new();
    fs::write(disk.path(), [&[0; HEADER.len()], &whole[HEADER.len()..]].concat()).unwrap();
    disk.start().unwrap();
    assert_eq!(disk.bytes(), HEADER);
}

#[test]
fn another_historys_ledger_is_noticed() {
    let disk = written(0, 7);
    let (mut orders, mut ledger) = disk.start().unwrap();
    let position = LogPosition { term: Term(1), index: 1 };
    orders.apply(position, Command::Begin { term: Term(1) });
    let id = BatchId { term: Term(1), batch: BatchNumber(1) };
    orders.apply(position, Command::Place { id, orders: vec![line(1), line(3)] });
    let refusal = ledger.record(&orders).unwrap_err().to_string();
    assert!(refusal.contains("line 3 (byte ") && refusal.contains("the ledger of another history"), "{refusal}");
}

#[test]
fn a_ledger_has_one_writer() {
    let disk = written(3, 7);
    let _writer = disk.start().unwrap();
    let refusal = disk.open().unwrap_err().to_string();
    assert!(refusal.contains("another process writes it"), "{refusal}");
}

#[test]
fn a_ledger_travels() {
    let leader = written(5, 7);
    let (mut orders, mut ledger) = leader.start().unwrap();
    let mut export = ledger.export().unwrap();
    // What happens after the export does not show in it.
    place_up_to(&mut orders, 9);
    ledger.checkpoint(&orders, b"later").unwrap();
    let sent = leader.dir.path().join("sent");
    io::copy(&mut export, &mut fs::File::create(&sent).unwrap()).unwrap();

    for (case, behind) in [("empty", Disk::new()), ("behind", written(2, 4)), ("all tail", written(0, 6))] {
        let (_, mut ledger) = behind.start().unwrap();
        let mut installed = ledger.install(&sent, b"installed").unwrap();
        assert_eq!((installed.count(), installed.begun()), (5, Term(1)), "{case}");
        // It goes on from there, now and after the next start.
        place_up_to(&mut installed, 9);
        ledger.record(&installed).unwrap();
        assert_eq!(behind.bytes(), leader.bytes(), "{case}");
        assert!(behind.open().is_err(), "{case}: the new file is locked, too");
        drop(ledger);
        let (restored, header) = behind.open().unwrap().load().unwrap().unwrap();
        assert_eq!((restored.count(), header.as_slice()), (5, b"installed".as_slice()), "{case}");
    }
}

#[test]
fn a_crash_between_the_new_ledger_and_its_mark_is_no_damage() {
    let (leader, behind) = (written(5, 5), written(2, 4));
    fs::copy(leader.path(), behind.path()).unwrap();
    let (mut orders, mut ledger) = behind.start().unwrap();
    assert_eq!(orders.count(), 2);
    place_up_to(&mut orders, 5);
    ledger.record(&orders).unwrap();
    assert_eq!(behind.bytes(), leader.bytes());
}

#[test]
fn a_received_ledger_is_checked_before_it_replaces_anything() {
    let leader = written(5, 5);
    let mut sent = Vec::new();
    leader.start().unwrap().1.export().unwrap().read_to_end(&mut sent).unwrap();
    let behind = written(2, 4);
    let from = behind.dir.path().join("received");
    let before = behind.bytes();
    let (_, mut ledger) = behind.start().unwrap();
    for at in (0..sent.len()).step_by(7) {
        let mut damaged = sent.clone();
        damaged[at] ^= 1;
        fs::write(&from, &damaged).unwrap();
        assert!(ledger.install(&from, b"x").is_err(), "byte {at}");
        fs::write(&from, &sent[..at]).unwrap();
        assert!(ledger.install(&from, b"x").is_err(), "cut to {at}");
    }
    assert_eq!(behind.bytes(), before);

    // A group with other orders.
    let stranger = Disk::new();
    let (mut orders, mut ledger) = stranger.start().unwrap();
    let position = LogPosition { term: Term(1), index: 1 };
    orders.apply(position, Command::Begin { term: Term(1) });
    let id = BatchId { term: Term(1), batch: BatchNumber(1) };
    orders.apply(position, Command::Place { id, orders: vec![line(11), line(12)] });
    ledger.checkpoint(&orders, b"mine").unwrap();
    fs::write(&from, &sent).unwrap();
    let refusal = ledger.install(&from, b"x").unwrap_err().to_string();
    assert!(refusal.contains("its first 2 orders are not those of the group's leader"), "{refusal}");
}

fn any_line() -> impl Strategy<Value = OrderLine> {
    ("[^\\p{Cc}\\s]([^\\p{Cc}]{0,20}[^\\p{Cc}\\s])?", 1..=u64::from(Quantity::MAX), any::<u128>()).prop_filter_map(
        "a product's name",
        |(name, quantity, id)| {
            Some(OrderLine {
                order_id: OrderId(uuid::Uuid::from_u128(id)),
                name: ProductName::new(&name).ok()?,
                quantity: Quantity::new(quantity).ok()?,
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever was ordered comes back, from us and from a CSV reader that is not ours.
    #[test]
    fn orders_survive_a_restart(lines in prop::collection::vec(any_line(), 1..40), checkpoint in 0_usize..40) {
        let disk = Disk::new();
        let (mut orders, mut ledger) = disk.start().unwrap();
        let position = LogPosition { term: Term(1), index: 1 };
        orders.apply(position, Command::Begin { term: Term(1) });
        let (first, rest) = lines.split_at(checkpoint.min(lines.len()));
        for (batch, lines) in (1..).zip([first, rest]) {
            let id = BatchId { term: Term(1), batch: BatchNumber(batch) };
            orders.apply(position, Command::Place { id, orders: lines.to_vec() });
            if batch == 1 {
                ledger.checkpoint(&orders, b"header").unwrap();
            } else {
                ledger.record(&orders).unwrap();
            }
        }
        drop(ledger);

        let mut reader = csv::Reader::from_path(disk.path()).unwrap();
        for (row, order) in reader.records().zip(orders.after(0)) {
            let row = row.unwrap();
            let expected =
                [order.number.to_string(), order.name.to_string(), order.quantity.to_string(), order.order_id.to_string()];
            prop_assert_eq!(row.iter().take(4).collect::<Vec<_>>(), expected);
        }
        let (restored, _) = disk.open().unwrap().load().unwrap().unwrap();
        prop_assert!(restored.after(0).eq(orders.after(0).take(first.len())));
    }
}
