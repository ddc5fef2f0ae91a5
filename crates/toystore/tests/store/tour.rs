//! Runs README's five-minute tour: each block of commands is run as it is written, against a store
//! of `toystore up`, and its output must contain what the comment `<!-- shows: … -->` below it
//! lists.
//!
//! Only the ports differ, so that another store may be running on this machine.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_toystore");

/// One block of commands of the tour.
struct Stop {
    commands: String,
    shows: Vec<String>,
}

fn tour() -> Vec<Stop> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")).unwrap();
    let (_, tour) = readme.split_once("\n## A five-minute tour\n").expect("README has a tour");
    let (tour, _) = tour.split_once("\n## ").expect("something comes after it");
    let blocks = tour.split("\n```sh\n").skip(1).map(|block| block.split_once("\n```\n").expect("a block ends"));
    blocks.map(|(commands, after)| Stop { commands: commands.to_owned(), shows: shows(after) }).collect()
}

/// The contents of the comment right after a block.
fn shows(after: &str) -> Vec<String> {
    let comment = after.trim_start().strip_prefix("<!-- shows: ").and_then(|rest| rest.split_once(" -->"));
    comment.map(|(all, _)| all.split(" | ").map(str::to_owned).collect()).unwrap_or_default()
}

fn run(commands: &str, directory: &Path) -> Output {
    // A command that hangs fails because its output is incomplete.
    let mut bash = Command::new("timeout");
    bash.args(["--kill-after=5", "150", "bash", "-c", commands]).current_dir(directory).stdin(Stdio::null());
    bash.output().unwrap()
}

#[test]
fn every_command_shows_what_the_readme_says() {
    let directory = tempfile::tempdir().unwrap();
    let mut up = Command::new(BINARY)
        .args(["up", "--ephemeral"])
        // A machine that is busy with other tests may lose a default lease, and the cache with it.
        .env("LEASE_MS", "2000")
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut printed = Vec::new();
    while printed.last().is_none_or(|line: &String| !line.starts_with("Ctrl-C stops everything")) {
        printed.push(lines.next().unwrap_or_else(|| panic!("it exited early: {printed:#?}")));
    }
    let base = printed.iter().find_map(|line| line.trim().strip_prefix("curl http://127.0.0.1:"));
    let base: u16 = base.and_then(|address| address.split('/').next()).expect("it says what to try").parse().unwrap();
    // Keep reading, so that `up` never blocks on a full pipe.
    let rest = std::thread::spawn(move || lines.collect::<Vec<_>>());
    // All ports have the same offsets from the base as the well-known ones.
    let here = |commands: &str| {
        let moved = (0..40).fold(commands.to_owned(), |commands, distance| {
            commands.replace(&format!("localhost:{}", 1110 + distance), &format!("localhost:{}", base + distance))
        });
        moved.replace("target/release/toystore", BINARY)
    };
    let stops = tour();
    assert!(stops.len() >= 6, "the tour has its stops");
    let definitions = format!("export REST_API_PORT={base}\n{}", here(&stops[0].commands));
    let mut wrong = Vec::new();
    for stop in &stops {
        let output = run(&format!("{definitions}\n{}", here(&stop.commands)), directory.path());
        let shown = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        let missing: Vec<_> = stop.shows.iter().filter(|what| !shown.contains(what.as_str())).collect();
        if !missing.is_empty() {
            wrong.push(format!("{missing:?} is not shown by\n{}\n\nbut this is:\n{shown}", stop.commands));
        }
    }
    let stopped = run(&format!("kill -INT {}", up.id()), directory.path());
    assert!(stopped.status.success());
    let ended = up.wait().unwrap();
    printed.extend(rest.join().unwrap());
    assert!(
        ended.success() && wrong.is_empty(),
        "{ended}\n{}\n\nup printed:\n{}",
        wrong.join("\n\n"),
        printed.join("\n")
    );
}
