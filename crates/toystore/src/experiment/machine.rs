//! Describes the machine on which an experiment runs.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use report::number;
use tokio::time::Instant;

/// Number of timed syncs.
const SYNCS: usize = 200;

/// About as much as one batch of orders writes.
const SYNCED_BYTES: usize = 4096;

/// The relevant properties of a machine. Properties that cannot be determined are "unknown".
#[derive(Clone, Debug)]
pub struct MachineInfo {
    /// The processor's name.
    pub cpu: String,
    /// Number of processors that this program may use.
    pub cores: usize,
    /// Main memory.
    pub memory: String,
    /// Operating system and kernel.
    pub kernel: String,
    /// Linux load averages over 1, 5 and 15 minutes before the first measurement.
    pub load: String,
    /// The file system that the stores write to.
    pub file_system: String,
    /// Median time of a write and sync of 4 KiB to that file system, in microseconds.
    pub sync_p50_us: u64,
    /// 99th percentile of that time, in microseconds.
    pub sync_p99_us: u64,
    /// The version of this program, and whether it is a release build.
    pub program: String,
}

impl MachineInfo {
    /// Inspects the machine, and measures the disk of `dir`.
    ///
    /// # Errors
    /// If `dir` is not writable.
    pub fn inspect(dir: &Path) -> io::Result<Self> {
        let (sync_p50_us, sync_p99_us) = syncs(dir)?;
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let build = if cfg!(debug_assertions) { "debug build: slow, not comparable" } else { "release build" };
        Ok(Self {
            cpu: or_unknown(cpu(&read("/proc/cpuinfo"))),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: or_unknown(memory(&read("/proc/meminfo"))),
            kernel: format!(
                "{} {}, {}",
                std::env::consts::OS,
                read("/proc/sys/kernel/osrelease").trim(),
                std::env::consts::ARCH
            ),
            load: or_unknown(load(&read("/proc/loadavg"))),
            file_system: or_unknown(file_system(dir, &read("/proc/self/mounts"))),
            sync_p50_us,
            sync_p99_us,
            program: format!("toystore {}, {build}", env!("CARGO_PKG_VERSION")),
        })
    }

    /// The names and values of the properties.
    pub fn facts(&self) -> [(&'static str, String); 8] {
        let Self { cpu, cores, memory, kernel, load, file_system, sync_p50_us, sync_p99_us, program } = self.clone();
        let ms = |us| number(Duration::from_micros(us).as_secs_f64() * 1e3);
        let sync = format!("{} ms (p50), {} ms (p99)", ms(sync_p50_us), ms(sync_p99_us));
        [
            ("processor", cpu),
            ("cores (shared by the store and its shoppers)", cores.to_string()),
            ("memory", memory),
            ("kernel", kernel),
            ("load averages before the start", load),
            ("file system", file_system),
            ("4 KiB written and synced (fdatasync)", sync),
            ("program", program),
        ]
    }
}

fn or_unknown(found: Option<String>) -> String {
    found.unwrap_or_else(|| "unknown".into())
}

fn cpu(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn memory(meminfo: &str) -> Option<String> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(format!("{:.1} GiB", kib as f64 / f64::from(1 << 20)))
}

fn load(loadavg: &str) -> Option<String> {
    let averages: Vec<_> = loadavg.split_whitespace().take(3).collect();
    (averages.len() == 3).then(|| averages.join(", "))
}

/// The type of the mount with the longest path that is a prefix of `dir`.
fn file_system(dir: &Path, mounts: &str) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounted = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        Some((Path::new(fields.next()?), fields.next()?))
    });
    // Of two mounts at the same path the later one is visible.
    let over = mounted.filter(|(at, _)| dir.starts_with(at)).max_by_key(|(at, _)| at.components().count());
    over.map(|(_, kind)| kind.to_owned())
}

/// Appends and syncs as a log does; returns the median time and the 99th percentile.
fn syncs(dir: &Path) -> io::Result<(u64, u64)> {
    let path = dir.join("sync-test");
    let mut file = File::create(&path)?;
    let mut times_us = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[0; SYNCED_BYTES])?;
        file.sync_data()?;
        times_us.push(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    fs::remove_file(&path)?;
    times_us.sort_unstable();
    Ok((times_us[SYNCS / 2], times_us[SYNCS * 99 / 100]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_descriptions_are_parsed() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\nprocessor\t: 1\n";
        assert_eq!(cpu(cpuinfo), Some("Some CPU @ 2.0GHz".into()));
        assert_eq!(memory("MemTotal:       16777216 kB\nMemFree: 1 kB\n"), Some("16.0 GiB".into()));
        assert_eq!(load("0.10 0.20 0.30 1/99 1234\n"), Some("0.10, 0.20, 0.30".into()));
        let mounts =
            "disk / ext4 rw 0 0\nnone /usr tmpfs rw 0 0\nother /usr ext2 rw 0 0\nnone /nowhere/usr tmpfs rw 0 0\n";
        assert_eq!(file_system(Path::new("/usr"), mounts), Some("ext2".into()));
        assert_eq!(file_system(Path::new("/"), mounts), Some("ext4".into()));
        assert_eq!((cpu(""), memory("MemTotal: much"), load("")), (None, None, None));
    }

    #[test]
    fn a_machine_is_inspected_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let machine = MachineInfo::inspect(dir.path()).unwrap();
        assert!(machine.cores >= 1 && machine.sync_p50_us <= machine.sync_p99_us, "{machine:?}");
        assert_eq!(dir.path().read_dir().unwrap().count(), 0, "no file is left behind");
    }
}
