use super::*;

/// The checksums of the lines 1 to `count`, as a reader gets them.
fn all(checksums: &LedgerChecksums, count: u64) -> Vec<Option<u32>> {
    assert_eq!(checksums.orders(), count);
    (1..=count).map(|orders| checksums.after(orders).map(|checksum| checksum.crc32c)).collect()
}

/// The checksums as the file has them.
fn written_in(disk: &Disk) -> Vec<Option<u32>> {
    let text = String::from_utf8(disk.bytes()).unwrap();
    let lines = text.lines().skip(1).map(|line| line.rsplit_once(",x").unwrap().1);
    lines.map(|checksum| u32::from_str_radix(checksum, 16).ok()).collect()
}

#[test]
fn readers_see_the_checksums_of_the_lines_however_the_replica_got_them() {
    let disk = written(0, 9);
    let expected = written_in(&disk);
    assert_eq!(expected.len(), 9);

    // Read at the start up to the checkpoint, then compared with the tail, then written.
    let disk = written(3, 7);
    let (mut orders, mut ledger) = disk.start().unwrap();
    let checksums = ledger.checksums();
    assert_eq!(all(&checksums, 3), expected[..3]);
    for count in [5, 7, 9] {
        place_up_to(&mut orders, count);
        ledger.record(&orders).unwrap();
        assert_eq!(all(&checksums, count), expected[..usize::try_from(count).unwrap()]);
    }
    ledger.checkpoint(&orders, b"header").unwrap();

    // Received from the leader.
    let sent = disk.dir.path().join("sent");
    io::copy(&mut ledger.export().unwrap(), &mut fs::File::create(&sent).unwrap()).unwrap();
    let behind = written(0, 2);
    let (_, mut ledger) = behind.start().unwrap();
    let checksums = ledger.checksums();
    ledger.install(&sent, b"installed").unwrap();
    assert_eq!(all(&checksums, 9), expected);
}
