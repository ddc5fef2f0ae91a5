use std::io::ErrorKind;
use std::path::Path;

use service::world::disk::{FileSystem, OpenMode, RawFile};

use super::{Mount, ProcessLife, SimulatedDisk};
use crate::random::Random;

fn mounted() -> (SimulatedDisk, Mount, ProcessLife) {
    let (disk, life) = (SimulatedDisk::default(), ProcessLife::new(1));
    let mount = Mount::new(disk.clone(), life.clone());
    mount.create_dir_all(Path::new("data")).unwrap();
    (disk, mount, life)
}

fn file(mount: &Mount, path: &str) -> Box<dyn RawFile> {
    mount.open(Path::new(path), OpenMode::Update).unwrap()
}

#[test]
fn synced_data_survives_every_crash_and_unsynced_data_survives_some() {
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let (disk, mount, _) = mounted();
        let open = file(&mount, "data/a");
        open.write_at(&[1; 1000], 0).unwrap();
        open.sync().unwrap();
        mount.sync_dir(Path::new("data")).unwrap();
        open.write_at(&[2; 2000], 500).unwrap();
        let damage = disk.crash(&mut Random::new(seed));

        let after = disk.read(Path::new("data/a")).unwrap();
        assert_eq!(after[..500], [1; 500], "seed {seed}");
        let new = after[500..].iter().map(|byte| usize::from(*byte == 2)).sum::<usize>();
        match (damage.lost_writes, damage.torn_writes) {
            (1, 0) => assert_eq!((after.len(), new), (1000, 0), "seed {seed}"),
            (0, 0) => assert_eq!((after.len(), new), (2500, 2000), "seed {seed}"),
            (0, 1) => assert!(new > 0 && new < 2000 && (500 + new).is_multiple_of(512), "seed {seed}: {new}"),
            other => panic!("one write: {other:?}"),
        }
        lost += damage.lost_writes;
        torn += damage.torn_writes;
        kept += usize::from(new == 2000);
    }
    assert!(kept > 20 && lost > 20 && torn > 20, "{kept} {lost} {torn}");
}

#[test]
fn a_name_is_durable_when_its_directory_is_synced() {
    let exists = |disk: &SimulatedDisk, path: &str| disk.read(Path::new(path)).is_some();
    let mut undone = 0;
    for seed in 0..60 {
        let (disk, mount, _) = mounted();
        file(&mount, "data/old").sync().unwrap();
        mount.sync_dir(Path::new("data")).unwrap();
        mount.rename(Path::new("data/old"), Path::new("data/new")).unwrap();
        let damage = disk.crash(&mut Random::new(seed));
        undone += damage.undone_names;
        assert!(exists(&disk, "data/old") || exists(&disk, "data/new"), "seed {seed}: a rename loses no file");

        let (disk, mount, _) = mounted();
        file(&mount, "data/x").sync().unwrap();
        mount.sync_dir(Path::new("data")).unwrap();
        disk.crash(&mut Random::new(seed));
        assert!(exists(&disk, "data/x"), "seed {seed}");
    }
    assert!(undone > 0);
}

#[test]
fn a_dead_process_changes_nothing_and_holds_no_lock() {
    let (disk, mount, life) = mounted();
    let open = file(&mount, "data/a");
    assert!(open.try_lock().unwrap());
    let other = Mount::new(disk.clone(), ProcessLife::new(2));
    assert!(!file(&other, "data/a").try_lock().unwrap());

    life.end();
    disk.unlock_all(life.id);
    assert!(open.write_at(b"x", 0).is_err() && open.sync().is_err() && mount.exists(Path::new("data")).is_err());
    assert_eq!(disk.read(Path::new("data/a")).unwrap(), b"");
    assert!(file(&other, "data/a").try_lock().unwrap());
}

#[test]
fn a_disk_has_the_faults_that_were_injected() {
    let (disk, mount, _) = mounted();
    let open = file(&mount, "data/a");
    open.write_at(b"12345", 0).unwrap();
    disk.set_full(true);
    assert_eq!(open.write_at(b"6", 5).unwrap_err().kind(), ErrorKind::StorageFull);
    open.write_at(b"5", 4).unwrap();
    disk.fail_syncs(1);
    assert!(open.sync().is_err());
    disk.fail_writes(1);
    assert!(open.write_at(b"1", 0).is_err());
    disk.heal();
    open.write_at(b"6", 5).unwrap();
    open.sync().unwrap();
}

#[test]
fn opening_a_file_depends_on_the_access() {
    let (_, mount, _) = mounted();
    assert_eq!(mount.open(Path::new("data/a"), OpenMode::Read).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(mount.open(Path::new("nowhere/a"), OpenMode::Create).unwrap_err().kind(), ErrorKind::NotFound);
    file(&mount, "data/a").write_at(b"abc", 0).unwrap();
    assert_eq!(file(&mount, "data/a").length().unwrap(), 3);
    assert_eq!(mount.open(Path::new("data/a"), OpenMode::Create).unwrap().length().unwrap(), 0);
    assert_eq!(mount.read_dir(Path::new("data")).unwrap(), [Path::new("data/a")]);
}
