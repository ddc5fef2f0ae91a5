//! How a start reacts to each kind of damage to each file, for a group's only replica and for one
//! of three.
//!
//! A replica must never silently continue with less than it had. The cases are the rows of the
//! table in `src/log/mod.rs`.

mod cluster;

use std::fs;
use std::path::Path;

use cluster::{Cluster, Words, within};
use replication::{FileStore, Replica, ReplicaConfig, StartError};
use test_support::{copy, cut_frames, frame_boundaries, newest_segment, replace, segments};

/// The reaction of a start.
#[derive(Debug, PartialEq)]
enum Reaction {
    /// It keeps its id and has everything.
    Opens,
    /// It takes a new id, without a vote, and logs this.
    Rejoins,
    /// An error that names this file, contains this text, and says what to do.
    Refused(&'static str, &'static str),
}

use Reaction::{Opens, Refused, Rejoins};

/// Damages the directory `dir`; `older` is an older copy of it, `neighbor` another replica's
/// directory.
type Damage = fn(&Directories<'_>);

struct Directories<'a> {
    dir: &'a Path,
    older: &'a Path,
    neighbor: &'a Path,
}

/// One kind of damage, and the reaction of an only replica and of one of three.
struct Case(&'static str, Damage, Reaction, Reaction);

/// Where the last frame starts.
fn last_frame(file: &Path) -> usize {
    frame_boundaries(file).into_iter().nth_back(1).unwrap()
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x08;
    fs::write(file, bytes).unwrap();
}

fn newest_file() -> Vec<Case> {
    vec![
        Case("nothing", |_| {}, Opens, Opens),
        Case(
            "the newest log file is deleted",
            |at| fs::remove_file(newest_segment(at.dir)).unwrap(),
            Refused(".log", "it is missing"),
            Refused(".log", "it is missing"),
        ),
        Case(
            "the newest log file is emptied",
            |at| fs::write(newest_segment(at.dir), "").unwrap(),
            Refused(".log", "no frame at byte 0"),
            Refused(".log", "no frame at byte 0"),
        ),
        Case(
            "the newest log file is cut before its last frame",
            |at| _ = cut_frames(at.dir, 1),
            Refused(".log", "its frames end at byte"),
            Refused(".log", "its frames end at byte"),
        ),
        Case(
            "the newest log file's last frame is zeroed",
            |at| {
                let (file, end) = (newest_segment(at.dir), last_frame(&newest_segment(at.dir)));
                let mut bytes = fs::read(&file).unwrap();
                bytes[end..].fill(0);
                fs::write(file, bytes).unwrap();
            },
            Refused(".log", "its frames end at byte"),
            Refused(".log", "its frames end at byte"),
        ),
        Case(
            "a bit of the newest log file's last frame is flipped",
            |at| flip(&newest_segment(at.dir), last_frame(&newest_segment(at.dir)) + 21),
            Refused(".log", "at byte"),
            Refused(".log", "at byte"),
        ),
    ]
}

fn older_files() -> Vec<Case> {
    vec![
        Case(
            "the oldest log file is deleted",
            |at| fs::remove_file(&segments(at.dir)[0]).unwrap(),
            Refused("log", "are missing"),
            Refused("log", "are missing"),
        ),
        Case(
            "all log files are deleted",
            |at| segments(at.dir).iter().for_each(|file| fs::remove_file(file).unwrap()),
            Refused(".log", "it is missing"),
            Refused(".log", "it is missing"),
        ),
    ]
}

fn whole_log() -> Vec<Case> {
    vec![
        Case(
            "the log's directory is deleted",
            |at| fs::remove_dir_all(at.dir.join("log")).unwrap(),
            Refused("log", "was lost"),
            Rejoins,
        ),
        Case(
            "log and identity are deleted",
            |at| {
                fs::remove_dir_all(at.dir.join("log")).unwrap();
                fs::remove_file(at.dir.join("identity.json")).unwrap();
            },
            Refused("log", "was lost"),
            Rejoins,
        ),
        Case(
            "all but the identity is deleted",
            |at| {
                fs::remove_dir_all(at.dir.join("log")).unwrap();
                fs::remove_file(at.dir.join("state")).unwrap();
            },
            Refused("log", "identity.json says that it had one"),
            Rejoins,
        ),
        Case(
            "the log's directory is an older copy",
            |at| replace(&at.older.join("log"), &at.dir.join("log")),
            Refused("log", "holds the state up to"),
            Refused("log", "holds the state up to"),
        ),
    ]
}

fn record_and_identity() -> Vec<Case> {
    vec![
        Case(
            "the high-water record is deleted",
            |at| fs::remove_file(at.dir.join("log/high-water")).unwrap(),
            Refused("high-water", "it is missing"),
            Refused("high-water", "it is missing"),
        ),
        Case(
            "a bit of the high-water record is flipped",
            |at| flip(&at.dir.join("log/high-water"), 25),
            Refused("high-water", "byte 0"),
            Refused("high-water", "byte 0"),
        ),
        // As after a power failure: it promises less, and the log has everything.
        Case(
            "the high-water record is an older copy",
            |at| replace(&at.older.join("log/high-water"), &at.dir.join("log/high-water")),
            Opens,
            Opens,
        ),
        Case("the identity is deleted", |at| fs::remove_file(at.dir.join("identity.json")).unwrap(), Opens, Opens),
        Case(
            "the identity is emptied",
            |at| fs::write(at.dir.join("identity.json"), "").unwrap(),
            Refused("identity.json", "it is not an identity"),
            Refused("identity.json", "it is not an identity"),
        ),
        Case(
            "the identity names another id",
            |at| {
                let file = at.dir.join("identity.json");
                let text = fs::read_to_string(&file).unwrap();
                let id = text.split("\"node_id\": ").nth(1).unwrap().split(',').next().unwrap();
                let other = (id.parse::<u64>().unwrap() ^ 2).to_string();
                fs::write(file, text.replace(id, &other)).unwrap();
            },
            Refused("log", "was lost, or is another"),
            Rejoins,
        ),
    ]
}

fn checkpoint() -> Vec<Case> {
    vec![
        Case(
            "the checkpoint is deleted",
            |at| fs::remove_file(at.dir.join("state")).unwrap(),
            Refused("state", "it is missing"),
            Refused("state", "it is missing"),
        ),
        Case(
            "the checkpoint is an older copy",
            |at| replace(&at.older.join("state"), &at.dir.join("state")),
            Refused("state", "an older copy"),
            Refused("state", "an older copy"),
        ),
        Case(
            "a bit of the checkpoint is flipped",
            |at| flip(&at.dir.join("state"), 40),
            Refused("state", "its checksum"),
            Refused("state", "its checksum"),
        ),
    ]
}

fn files_of_neighbors() -> Vec<Case> {
    vec![
        // An only replica has no neighbor, so it is given a file of another store.
        Case(
            "the log is another replica's",
            |at| replace(&at.neighbor.join("log"), &at.dir.join("log")),
            Refused("identity.json", "are mixed"),
            Refused("identity.json", "are mixed"),
        ),
        Case(
            "the newest log file is another replica's",
            |at| {
                fs::write(newest_segment(at.dir), fs::read(newest_segment(at.neighbor)).unwrap()).unwrap();
            },
            // By its first frame, or, if that is the same in both logs, by the next one.
            Refused(".log", "byte"),
            Refused(".log", "byte"),
        ),
    ]
}

fn cases() -> impl Iterator<Item = Case> {
    let cases = [newest_file(), older_files(), whole_log(), record_and_identity(), checkpoint(), files_of_neighbors()];
    cases.into_iter().flatten()
}

/// Members 1 to `members`, stopped, and older copies of their directories.
async fn written(members: u8, older: &Path) -> Cluster {
    let mut cluster = Cluster::new(members);
    cluster.adjust = |config| {
        config.storage.checkpoint_every = 10;
        config.storage.log_kept = 5;
        config.storage.log_segment_bytes = 1024;
    };
    let mut said = 0;
    Box::pin(write(&mut cluster, &mut said, 25)).await;
    for ordinal in 1..=members {
        copy(cluster.dir(ordinal), &older.join(ordinal.to_string()));
    }
    Box::pin(write(&mut cluster, &mut said, 41)).await;
    // A checkpoint that comes late shifts what is purged.
    within("a purge", async {
        while !(1..=members).all(|ordinal| has_purged(cluster.dir(ordinal), &older.join(ordinal.to_string()))) {
            Box::pin(write(&mut cluster, &mut said, 3)).await;
        }
    })
    .await;
    cluster
}

/// Starts all members, commits `more` words, and stops them. `said` counts the words.
async fn write(cluster: &mut Cluster, said: &mut u32, more: u32) {
    cluster.start_all().await;
    cluster.elect(1).await;
    let mut last = None;
    for _ in 0..more {
        last = Some(cluster.propose_word(&format!("{said:0100}")).await);
        *said += 1;
    }
    for ordinal in cluster.running() {
        cluster.applied(ordinal, last.unwrap()).await;
    }
    cluster.stop_all().await;
}

/// Whether the log in `dir` has an older file and a newest one, both newer than the ones in
/// `older`.
fn has_purged(dir: &Path, older: &Path) -> bool {
    let files = segments(dir);
    files.len() > 1 && files[0].file_name() > newest_segment(older).file_name()
}

/// Starts a replica in `dir` that reaches no other one: whether it kept its id.
async fn reaction(mut config: ReplicaConfig, dir: &Path) -> Result<bool, StartError> {
    let identity = || fs::read_to_string(dir.join("identity.json")).unwrap_or_default();
    let before = identity();
    config.data_dir = dir.to_owned();
    let store = FileStore::new(dir.join("state"));
    let replica = Replica::start(config, Words::default(), store).await?;
    let id = replica.node_id().0.to_string();
    replica.shutdown().await;
    Ok(before.is_empty() && !identity().contains("\"lost_a_log\": true") || before.contains(&id))
}

async fn check(members: u8, expected: impl Fn(&Case) -> &Reaction) {
    let (older, neighbors) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cluster = written(members, older.path()).await;
    // Of another ordinal: an only replica gets a neighbor from another group.
    let neighbor = if members == 1 {
        let others = written(3, neighbors.path()).await;
        copy(others.dir(2), &neighbors.path().join("other"));
        neighbors.path().join("other")
    } else {
        cluster.dir(2).to_owned()
    };
    for case in cases() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("data");
        copy(cluster.dir(1), &dir);
        case.1(&Directories { dir: &dir, older: &older.path().join("1"), neighbor: &neighbor });
        let result = reaction(cluster.config(1), &dir).await;
        let name = case.0;
        match (expected(&case), result) {
            (Opens, Ok(true)) | (Rejoins, Ok(false)) => {}
            (Refused(file, what), Err(error @ (StartError::Damaged { .. } | StartError::Store(_)))) => {
                let text = error.to_string();
                let named = text.split(" is damaged: ").next().unwrap();
                assert!(named.ends_with(file), "{name}: {named} is named, not {file}: {text}");
                assert!(text.contains(what), "{name}: {text}");
                assert!(
                    text.contains("move") || text.contains("Move"),
                    "{name}: the error does not say what to do: {text}"
                );
            }
            (expected, result) => panic!("{name}, {members} members: {result:?}, not {expected:?}"),
        }
    }
}

#[test]
fn the_table_in_the_logs_documentation_has_these_rows() {
    let word = |reaction: &Reaction| match reaction {
        Opens => "opens",
        Rejoins => "rejoins",
        Refused(..) => "refused",
    };
    let rows: Vec<String> = cases()
        .map(|Case(name, _, alone, among)| format!("| {name} | {} | {} |", word(&alone), word(&among)))
        .collect();
    let documentation = include_str!("../src/log/mod.rs");
    let (_, table) = documentation.split_once("| damage | only replica | one of three |\n//! |---|---|---|\n").unwrap();
    let documented: Vec<&str> =
        table.lines().map_while(|line| line.strip_prefix("//! ").filter(|row| row.starts_with('|'))).collect();
    assert_eq!(documented, rows);
}

#[tokio::test]
async fn an_only_replica_never_continues_with_less() {
    check(1, |case| &case.2).await;
}

#[tokio::test]
async fn one_of_three_never_continues_with_less() {
    check(3, |case| &case.3).await;
}

#[tokio::test]
async fn a_replica_that_is_refused_rejoins_when_its_directory_is_moved_aside() {
    let mut cluster = Cluster::started(3).await;
    cluster.propose_word("tux").await;
    let leader = cluster.any_leader().await;
    let damaged = cluster.other_than(&[leader]);
    let old_id = cluster.node_id(damaged);
    cluster.stop(damaged).await;
    fs::remove_file(newest_segment(cluster.dir(damaged))).unwrap();
    let refused = cluster.try_start(damaged).await.expect_err("it lost its log").to_string();
    assert!(refused.contains("rejoins its group as a new member"), "{refused}");
    fs::rename(cluster.dir(damaged), cluster.dir(damaged).with_extension("aside")).unwrap();
    cluster.start(damaged).await;
    let new_id = cluster.node_id(damaged);
    let leader = cluster.leader_among(&[leader]).await;
    cluster.wait_for_voters(leader, &[new_id], &[old_id]).await;
    let position = cluster.propose_word("whale").await;
    cluster.applied(damaged, position).await;
    assert_eq!(cluster.words(damaged).texts(), ["tux", "whale"]);
}
