mod checksums;

use std::fs;

use api::catalog::OrderLine;
use api::{BatchId, BatchNumber, LogPosition, OrderId, OrderNumber, ProductName, Quantity, Term};
use proptest::prelude::*;
use replication::StateMachine;
use tempfile::TempDir;

use super::*;
use crate::orders::{FinalAnswer, OrderCommand, RefusalReason, RefusedOrder};

const DEDUP_WINDOW: DedupWindow = DedupWindow { orders: 1000, refusals: 3 };

/// A replica's disk with its ledger.
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

    fn open(&self) -> Result<Ledger, StateStoreError> {
        Ok(Ledger::open(&self.path(), &self.dir.path().join("order1"))?.with_dedup_window(DEDUP_WINDOW))
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    /// What a start finds: the orders of the last checkpoint, and the ledger.
    fn start(&self) -> Result<(Orders, Ledger), StateStoreError> {
        let mut ledger = self.open()?;
        let orders = ledger.load()?.map_or_else(|| Orders::with_dedup_window(DEDUP_WINDOW), |(orders, _)| orders);
        Ok((orders, ledger))
    }

    /// Why a start is refused.
    fn refusal(&self) -> String {
        match self.start() {
            Err(error @ StateStoreError::Damaged { .. }) => error.to_string(),
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

/// Places orders up to number `count`.
fn place_up_to(orders: &mut Orders, count: u64) {
    let position = LogPosition { term: Term(1), index: count };
    orders.apply(position, OrderCommand::UseLedgerFormat { format: LedgerFormat::NEWEST });
    orders.apply(position, OrderCommand::Begin { term: Term(1) });
    let lines = (orders.count() + 1..=count).map(line).collect();
    orders.apply(
        position,
        OrderCommand::Place { id: BatchId { term: Term(1), batch: BatchNumber(count) }, orders: lines },
    );
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

/// The byte offset of a line; the header is line 1.
fn offset_of(bytes: &[u8], line: usize) -> usize {
    bytes.split_inclusive(|byte| *byte == b'\n').take(line - 1).map(<[u8]>::len).sum()
}

#[test]
fn a_ledger_is_the_state_up_to_its_checkpoint_and_no_line_is_written_twice() {
    let disk = written(3, 7);
    let whole = disk.bytes();
    for _ in 0..2 {
        let (mut orders, mut ledger) = disk.start().unwrap();
        assert_eq!(orders.count(), 3);
        assert_eq!(orders.begun(), Term(1));
        for count in [4, 7] {
            place_up_to(&mut orders, count);
            ledger.record(&orders).unwrap();
            assert_eq!(disk.bytes(), whole, "an existing line is not written again");
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
    assert_eq!(disk.bytes(), written(0, 9).bytes(), "the same orders give the same bytes, however they were written");
}

#[test]
fn a_torn_end_is_truncated_and_replayed() {
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
fn damage_is_refused_with_its_position() {
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
        ("a byte before the checkpoint", flipped(begin(3) + 4), format!("{}its checksum is", place(3))),
        ("a byte after the checkpoint, in the middle", flipped(begin(6) + 4), format!("{}its checksum is", place(6))),
        ("a byte of the last line", flipped(begin(8) + 4), format!("{}its checksum is", place(8))),
        ("a line feed", flipped(begin(4) - 1), place(3)),
        ("a line before the checkpoint is missing", without(3), format!("{}its checksum is", place(3))),
        ("a line after the checkpoint is missing", without(6), format!("{}its checksum is", place(6))),
        (
            "an extra line",
            [&whole[..begin(3)], b"x\n", &whole[begin(3)..]].concat(),
            format!("{}it does not end", place(3)),
        ),
        ("truncated before the checkpoint", whole[..begin(4) + 5].to_vec(), format!("{}it is cut off", place(4))),
        (
            "whole lines before the checkpoint are missing",
            whole[..begin(4)].to_vec(),
            format!("{}the ledger ends", place(4)),
        ),
        ("NUL bytes before the checkpoint", [&whole[..begin(4)], &[0; 99], &whole[begin(4)..]].concat(), place(4)),
        ("a line that never ends", [&whole, &[b'x'; 999][..]].concat(), "it is longer than any line".to_owned()),
        ("an empty file", Vec::new(), "line 1 (byte 0): it is not".to_owned()),
    ];
    for (case, bytes, expected) in table {
        let disk = written(3, 7);
        fs::write(disk.path(), &bytes).unwrap();
        let refusal = disk.refusal();
        assert!(refusal.contains(&expected), "{case}: {refusal:?} does not say {expected:?}");
        assert!(refusal.contains("log1.csv"), "{case}: {refusal}");
        assert_eq!(disk.bytes(), bytes, "{case}: a refused ledger is not changed");
    }
}

#[test]
fn a_missing_ledger_is_refused_and_a_missing_checkpoint_is_not() {
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
fn a_torn_header_of_a_first_start_is_rewritten() {
    let whole = written(0, 3).bytes();
    for header in LedgerFormat::ALL.map(LedgerFormat::header) {
        for kept in 0..=header.len() {
            let disk = Disk::new();
            fs::write(disk.path(), &header[..kept]).unwrap();
            // A header without lines may be that of another version whose group was never used.
            assert_eq!(place_again(&disk, 3), whole, "{kept} bytes");
        }
    }
}

#[test]
fn a_header_that_never_reached_the_disk_is_rewritten() {
    let whole = written(0, 3).bytes();
    let header = LedgerFormat::NEWEST.header();
    let disk = Disk::new();
    fs::write(disk.path(), [vec![0; header.len()].as_slice(), &whole[header.len()..]].concat()).unwrap();
    assert_eq!(place_again(&disk, 3), whole);
}

/// Starts, places orders up to `count`, and returns the ledger's bytes.
fn place_again(disk: &Disk, count: u64) -> Vec<u8> {
    let (mut orders, mut ledger) = disk.start().unwrap();
    ledger.record(&orders).unwrap();
    place_up_to(&mut orders, count);
    ledger.record(&orders).unwrap();
    disk.bytes()
}

/// What the version before this format wrote, by `CHECKPOINT_EVERY=3 toystore up` and nine orders.
const RECORDED: (&[u8], &[u8]) = (include_bytes!("recorded/v1.csv"), include_bytes!("recorded/v1.mark"));

#[test]
fn a_ledger_of_the_first_version_keeps_its_format_on_every_replica() {
    let (recorded, checkpoint) = RECORDED;
    let old = Disk::new();
    fs::create_dir(old.dir.path().join("order1")).unwrap();
    fs::write(old.path(), recorded).unwrap();
    fs::write(old.dir.path().join("order1/ledger.mark"), checkpoint).unwrap();
    let (mut orders, mut ledger) = old.start().unwrap();
    assert_eq!((orders.count(), orders.ledger_format()), (9, LedgerFormat::V1));
    assert_eq!(orders.get(OrderNumber::new(9).unwrap()).unwrap().quantity.get(), 9);

    // Whatever a leader of a later version proposes.
    place_up_to(&mut orders, 11);
    ledger.checkpoint(&orders, b"later").unwrap();
    let bytes = old.bytes();
    assert!(bytes.starts_with(recorded) && bytes.len() > recorded.len());
    let last = String::from_utf8(bytes.clone()).unwrap().lines().last().unwrap().to_owned();
    assert_eq!(last.rsplit(',').next().unwrap().len(), 8, "{last}");

    // A joining replica gets the same bytes by state transfer …
    let mut sent = Vec::new();
    ledger.export().unwrap().read_to_end(&mut sent).unwrap();
    let joining = Disk::new();
    let from = joining.dir.path().join("sent");
    fs::write(&from, sent).unwrap();
    let (_, mut ledger) = joining.start().unwrap();
    let mut installed = ledger.install(&from, b"installed").unwrap();
    assert_eq!(joining.bytes(), bytes);
    place_up_to(&mut installed, 12);
    ledger.record(&installed).unwrap();
    place_up_to(&mut orders, 12);
    drop(ledger);
    assert!(joining.bytes().starts_with(&bytes));

    // … and from the log of an old group that never agreed on a format.
    let replayed = Disk::new();
    let (mut orders, mut ledger) = replayed.start().unwrap();
    let position = LogPosition { term: Term(1), index: 1 };
    orders.apply(position, OrderCommand::Begin { term: Term(1) });
    orders.apply(position, OrderCommand::UseLedgerFormat { format: LedgerFormat::NEWEST });
    let order = |n: u64| OrderLine {
        order_id: format!("6f1c0000-0000-4000-8000-00000000000{n}").parse().unwrap(),
        name: ProductName::new("Tux").unwrap(),
        quantity: Quantity::new(n).unwrap(),
    };
    let id = BatchId { term: Term(1), batch: BatchNumber(1) };
    orders.apply(position, OrderCommand::Place { id, orders: (1..=9).map(order).collect() });
    ledger.record(&orders).unwrap();
    assert_eq!(replayed.bytes(), recorded);
}

#[test]
fn no_checksum_of_a_new_ledger_looks_like_a_number() {
    let text = String::from_utf8(written(0, 200).bytes()).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("number,name,quantity,order_id,checksum_v2"));
    for line in lines {
        let checksum = line.rsplit(',').next().unwrap();
        assert!(checksum.len() == 9 && checksum.starts_with('x') && checksum.parse::<f64>().is_err(), "{line}");
    }
}

#[test]
fn the_ledger_of_another_history_is_detected() {
    let disk = written(0, 7);
    let (mut orders, mut ledger) = disk.start().unwrap();
    let position = LogPosition { term: Term(1), index: 1 };
    orders.apply(position, OrderCommand::Begin { term: Term(1) });
    let id = BatchId { term: Term(1), batch: BatchNumber(1) };
    orders.apply(position, OrderCommand::Place { id, orders: vec![line(1), line(3)] });
    let refusal = ledger.record(&orders).unwrap_err().to_string();
    assert!(refusal.contains("line 3 (byte ") && refusal.contains("the ledger of another history"), "{refusal}");
}

/// The tail is orders 4 to 7. The log may contain refused and repeated orders, too.
#[test]
fn each_line_after_the_checkpoint_must_be_in_the_log() {
    let place = |batch, orders: &[u64]| OrderCommand::Place {
        id: BatchId { term: Term(1), batch: BatchNumber(batch) },
        orders: orders.iter().map(|n| line(*n)).collect(),
    };
    let begin = OrderCommand::Begin { term: Term(1) };
    let whole = || vec![begin.clone(), place(1, &[3, 4]), place(2, &[99, 5, 4]), begin.clone(), place(3, &[6, 7, 8])];
    let check = |disk: &Disk, log: Vec<OrderCommand>| disk.start().unwrap().1.check_log(&mut log.into_iter());
    let disk = written(3, 7);
    check(&disk, whole()).unwrap();
    check(&written(3, 3), Vec::new()).unwrap();
    check(&written(0, 0), Vec::new()).unwrap();

    let begin_of = |order: usize| offset_of(&disk.bytes(), order + 1);
    for (kept, first_missing) in [(4, 6), (2, 5), (1, 4), (0, 4)] {
        let refusal = check(&disk, whole()[..kept].to_vec()).unwrap_err().to_string();
        let place = format!("line {} (byte {}): order {first_missing}", first_missing + 1, begin_of(first_missing));
        assert!(refusal.contains(&place) && refusal.contains("the log has lost its end"), "{kept}: {refusal}");
    }
    let other = vec![place(1, &[4, 5, 17, 7])];
    assert!(check(&disk, other).unwrap_err().to_string().contains("order 6 and the 1 after it"));
}

#[test]
fn a_ledger_has_one_writer() {
    let disk = written(3, 7);
    let _writer = disk.start().unwrap();
    let refusal = disk.open().unwrap_err().to_string();
    assert!(refusal.contains("another process uses it"), "{refusal}");
}

#[test]
fn a_ledger_can_be_transferred() {
    let leader = written(5, 7);
    let (mut orders, mut ledger) = leader.start().unwrap();
    let mut export = ledger.export().unwrap();
    // Later changes do not show in the export.
    place_up_to(&mut orders, 9);
    ledger.checkpoint(&orders, b"later").unwrap();
    let sent = leader.dir.path().join("sent");
    io::copy(&mut export, &mut fs::File::create(&sent).unwrap()).unwrap();

    for (case, behind) in [("empty", Disk::new()), ("behind", written(2, 4)), ("all tail", written(0, 6))] {
        let (_, mut ledger) = behind.start().unwrap();
        let mut installed = ledger.install(&sent, b"installed").unwrap();
        assert_eq!((installed.count(), installed.begun()), (5, Term(1)), "{case}");
        // It continues from there, now and after the next start.
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
fn refusals_survive_a_checkpoint_and_a_state_transfer() {
    let disk = written(2, 2);
    let (mut orders, mut ledger) = disk.start().unwrap();
    let known = |orders: &Orders, n| orders.final_answer(&line(n));
    let checkpoint = disk.dir.path().join("order1/ledger.mark");
    assert_eq!(fs::read(&checkpoint).unwrap()[8], 1, "without refusals the previous format is written");
    let refuse = |orders: &mut Orders, ids: std::ops::RangeInclusive<u64>| {
        let refused = ids.map(|n| RefusedOrder { line: line(n), reason: RefusalReason::OutOfStock }).collect();
        let id = BatchId { term: Term(1), batch: BatchNumber(9) };
        orders.apply(
            LogPosition { term: Term(1), index: 9 },
            OrderCommand::Decide { id, orders: vec![line(3)], refused },
        );
    };
    refuse(&mut orders, 50..=51);
    ledger.checkpoint(&orders, b"one").unwrap();
    refuse(&mut orders, 52..=53);
    ledger.checkpoint(&orders, b"two").unwrap();
    let sent = disk.dir.path().join("sent");
    io::copy(&mut ledger.export().unwrap(), &mut fs::File::create(&sent).unwrap()).unwrap();
    drop(ledger);

    let behind = Disk::new();
    let installed = behind.start().unwrap().1.install(&sent, b"x").unwrap();
    for orders in [orders, disk.start().unwrap().0, installed, behind.start().unwrap().0] {
        assert_eq!(orders.decided(), api::order::DecidedCounts { placed: 3, refused: 4 });
        assert_eq!(known(&orders, 50), None, "only the last three are remembered");
        assert_eq!([51, 52, 53].map(|n| known(&orders, n)), [Some(FinalAnswer::Refused(RefusalReason::OutOfStock)); 3]);
        let other = OrderLine { quantity: Quantity::new(8).unwrap(), ..line(51) };
        assert_eq!(orders.final_answer(&other), Some(FinalAnswer::OtherOrder));
    }
}

#[test]
fn a_crash_between_the_new_ledger_and_its_checkpoint_is_no_damage() {
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
    orders.apply(position, OrderCommand::Begin { term: Term(1) });
    let id = BatchId { term: Term(1), batch: BatchNumber(1) };
    orders.apply(position, OrderCommand::Place { id, orders: vec![line(11), line(12)] });
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

    /// Every order is read back, by this crate and by an independent CSV reader.
    #[test]
    fn orders_survive_a_restart(lines in prop::collection::vec(any_line(), 1..40), checkpoint in 0_usize..40) {
        let disk = Disk::new();
        let (mut orders, mut ledger) = disk.start().unwrap();
        let position = LogPosition { term: Term(1), index: 1 };
        orders.apply(position, OrderCommand::Begin { term: Term(1) });
        let (first, rest) = lines.split_at(checkpoint.min(lines.len()));
        for (batch, lines) in (1..).zip([first, rest]) {
            let id = BatchId { term: Term(1), batch: BatchNumber(batch) };
            orders.apply(position, OrderCommand::Place { id, orders: lines.to_vec() });
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
