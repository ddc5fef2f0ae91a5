//! The number of worker threads: as configured, or the number of processors, or the CPU quota.
//!
//! The quota is simulated as a container shows it: with other files in the place of
//! `/proc/…/cgroup` and `/sys/fs/cgroup`, in a mount namespace of the process. If that is not
//! allowed (neither root nor user namespaces), the test is skipped with a message. The image check
//! in CI tests real quotas in containers.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;

use toystore::local::{ChildProcess, PortBase, StoreLayout, StoreMember};

use crate::harness::{BINARY, Rest, eventually};

const FRONTEND: StoreMember = StoreMember::Frontend(1);
const METRIC: &str = "toystore_runtime_workers_threads ";

/// The number of threads that a frontend started by `binary` reports.
async fn workers(binary: &Path, change: impl FnOnce(StoreLayout) -> StoreLayout) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let layout = change(StoreLayout::new(directory.path(), PortBase::ephemeral().unwrap()));
    let log = Arc::new(|member, line: &str| eprintln!("{member} | {line}"));
    let _process = ChildProcess::start(binary, &layout, FRONTEND, &(log as _)).unwrap();
    let frontend = Rest::new(&layout.internal(FRONTEND));
    eventually("it answers", || async {
        let answer = frontend.request(reqwest::Method::GET, "/healthz").send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    let (_, metrics) = frontend.text("/metrics").await;
    let reported = metrics.lines().find_map(|line| line.strip_prefix(METRIC));
    reported.unwrap_or_else(|| panic!("no {METRIC}in {metrics}")).parse().unwrap()
}

#[tokio::test]
async fn worker_threads_can_be_set() {
    for wanted in [1, 5] {
        let reported = workers(Path::new(BINARY), |layout| layout.with_variable("WORKER_THREADS", wanted)).await;
        assert_eq!(reported, wanted);
    }
}

#[tokio::test]
async fn the_default_is_the_number_of_processors() {
    let reported = workers(Path::new(BINARY), |layout| layout).await;
    assert_eq!(reported, available_parallelism().unwrap().get());
}

/// The files of one version of control groups, for a process in the group `/pods/store`.
struct Groups {
    what: &'static str,
    /// The contents of `/proc/self/cgroup`.
    own: &'static str,
    /// Files below `/sys/fs/cgroup`.
    files: &'static [(&'static str, &'static str)],
    /// The expected maximum number of threads; `None` without a quota.
    most: Option<usize>,
}

const GROUPS: [Groups; 6] = [
    Groups {
        what: "version 2, half a processor",
        own: "0::/pods/store\n",
        files: &[("pods/store/cgroup.controllers", "cpu\n"), ("pods/store/cpu.max", "50000 100000\n")],
        most: Some(1),
    },
    Groups {
        what: "version 2, one and a half, of the group above",
        own: "0::/pods/store\n",
        files: &[
            ("pods/store/cgroup.controllers", "cpu\n"),
            ("pods/store/cpu.max", "max 100000\n"),
            ("pods/cpu.max", "150000 100000\n"),
        ],
        most: Some(1),
    },
    Groups {
        what: "version 2, none",
        own: "0::/pods/store\n",
        files: &[("pods/store/cgroup.controllers", "cpu\n"), ("pods/store/cpu.max", "max 100000\n")],
        most: None,
    },
    Groups {
        what: "version 1, half a processor",
        own: "4:cpu,cpuacct:/pods/store\n1:memory:/pods/store\n",
        files: &[
            ("cpu,cpuacct/pods/store/cpu.cfs_quota_us", "50000\n"),
            ("cpu,cpuacct/pods/store/cpu.cfs_period_us", "100000\n"),
            ("cpu,cpuacct/pods/store/cgroup.procs", ""),
        ],
        most: Some(1),
    },
    Groups {
        what: "version 1, one and a half",
        own: "4:cpu:/pods/store\n",
        files: &[
            ("cpu/pods/store/cpu.cfs_quota_us", "150000\n"),
            ("cpu/pods/store/cpu.cfs_period_us", "100000\n"),
            ("cpu/pods/store/cgroup.procs", ""),
        ],
        most: Some(1),
    },
    Groups {
        what: "version 1, none",
        own: "4:cpu:/pods/store\n",
        files: &[
            ("cpu/pods/store/cpu.cfs_quota_us", "-1\n"),
            ("cpu/pods/store/cpu.cfs_period_us", "100000\n"),
            ("cpu/pods/store/cgroup.procs", ""),
        ],
        most: None,
    },
];

impl Groups {
    /// Writes a program that runs the binary as if it were in this group.
    fn wrapper(&self, directory: &Path) -> PathBuf {
        let (own, root) = (directory.join("own"), directory.join("groups"));
        fs::write(&own, self.own).unwrap();
        for (file, text) in self.files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let inner = format!(
            "mount --bind {} /proc/$$/cgroup && mount --bind {} /sys/fs/cgroup && exec {BINARY} \"$@\"",
            own.display(),
            root.display()
        );
        let wrapper = directory.join("toystore");
        fs::write(&wrapper, format!("#!/bin/sh\nexec unshare {NAMESPACES} sh -c '{inner}' sh \"$@\"\n")).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        wrapper
    }
}

const NAMESPACES: &str = "--user --map-root-user --mount";

#[tokio::test]
async fn the_default_is_limited_by_the_cpu_quota_rounded_down() {
    let mount = format!("exec unshare {NAMESPACES} sh -c 'mount --bind /proc/$$/cgroup /proc/$$/cgroup'");
    let allowed = tokio::process::Command::new("sh").args(["-c", &mount]).kill_on_drop(true).output().await.unwrap();
    if !allowed.status.success() {
        eprintln!("SKIPPED: no mount namespace on this machine: {}", String::from_utf8_lossy(&allowed.stderr));
        return;
    }
    let processors = available_parallelism().unwrap().get();
    for groups in GROUPS {
        let directory = tempfile::tempdir().unwrap();
        let reported = workers(&groups.wrapper(directory.path()), |layout| layout).await;
        assert_eq!(reported, groups.most.map_or(processors, |most| most.min(processors)), "{}", groups.what);
    }
}
