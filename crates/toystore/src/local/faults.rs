//! Faults of the processes and disks of a local store, and their end. A drill injects them, and a
//! person does on the console of `up`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::layout::{StoreLayout, StoreMember};
use super::network::ProxyNetwork;
use super::process::ChildProcess;
use super::recovery::recovered;
use super::store::LocalStore;

/// The environment variable with the path of a member's disk faults.
const DISK_FAULTS_FILE: &str = "DISK_FAULTS_FILE";

/// Duration of a sync on a slow disk. The hard disk of a laptop takes about 10 ms.
const SLOW_SYNC_MS: u64 = 50;

/// Longer than a process that was told to stop may drain (8 s).
const STOP_TIMEOUT: Duration = Duration::from_secs(15);

/// What is wrong with the disk of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskFaults {
    /// Every sync takes 50 ms.
    pub slow: bool,
    /// Nothing more fits on it.
    pub full: bool,
}

impl DiskFaults {
    /// The lines of the file that the member reads.
    fn lines(self) -> String {
        let slow = self.slow.then(|| format!("sync_delay_ms={SLOW_SYNC_MS}\n"));
        let full = self.full.then(|| "full=true\n".to_owned());
        [slow, full].into_iter().flatten().collect()
    }
}

impl StoreLayout {
    /// Gives every member a file for its disk faults. They have effect only with such a file.
    #[must_use]
    pub fn with_disk_fault_files(self) -> Self {
        self.members().into_iter().fold(self, |layout, member| {
            let file = layout.disk_faults_file(member);
            layout.with_member_variable(member, DISK_FAULTS_FILE, file.display())
        })
    }

    /// Sets the disk faults of a member.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn set_disk_faults(&self, member: StoreMember, faults: DiskFaults) -> io::Result<()> {
        let file = self.disk_faults_file(member);
        if faults == DiskFaults::default() { remove(&file) } else { fs::write(file, faults.lines()) }
    }

    fn disk_faults_file(&self, member: StoreMember) -> PathBuf {
        self.data().join(format!("{member}.disk-faults"))
    }
}

impl LocalStore {
    /// Kills (`kill -9`) those of `members` that run at the same moment, and waits for their exits.
    /// `at_fault` is called immediately before the first signal.
    ///
    /// # Errors
    /// If a process cannot be killed.
    pub async fn kill(&mut self, members: &[StoreMember], at_fault: impl FnOnce()) -> io::Result<()> {
        let targets = self.processes().filter(|process| members.contains(&process.member()));
        let targets: Vec<_> = targets.map(ChildProcess::kill).collect();
        at_fault();
        futures::future::join_all(targets).await.into_iter().try_for_each(|killed| killed.map(drop))
    }

    /// Deletes the files of a member that does not run.
    ///
    /// # Errors
    /// Names the file that cannot be deleted.
    pub fn wipe(&self, member: StoreMember) -> Result<(), String> {
        let files = self.layout().files(member);
        files.iter().try_for_each(|path| remove(path).map_err(|error| format!("{}: {error}", path.display())))
    }

    /// Stops a member (SIGTERM) and starts it again. One that does not stop is killed.
    ///
    /// # Errors
    /// If it could not be started, or did not stop as it should.
    pub async fn restart(&mut self, member: StoreMember) -> Result<(), String> {
        let stopped = match self.started(member) {
            Some(process) => stop(process).await,
            None => Ok(()),
        };
        self.start(member).map_err(|error| format!("cannot start {member}: {error}"))?;
        stopped.map_err(|why| format!("{why}; it was started again"))
    }

    /// [Restarts](Self::restart) one member after the other; each time it waits until all members
    /// have recovered.
    ///
    /// # Errors
    /// Why it did not go on.
    pub(crate) async fn restart_rolling(&mut self, members: &[StoreMember], timeout: Duration) -> Result<(), String> {
        for member in members {
            self.restart(*member).await?;
            recovered(self, timeout).await?;
        }
        Ok(())
    }

    /// Ends all faults, and starts every member that does not run.
    ///
    /// # Errors
    /// Why one could not be healed. The members after it are not healed then.
    pub fn heal_all(&mut self, network: Option<&ProxyNetwork>) -> Result<(), String> {
        if let Some(network) = network {
            network.heal();
        }
        self.layout()
            .members()
            .into_iter()
            .try_for_each(|member| self.heal_member(member).map_err(|error| format!("cannot heal {member}: {error}")))
    }

    fn heal_member(&mut self, member: StoreMember) -> io::Result<()> {
        self.layout().set_disk_faults(member, DiskFaults::default())?;
        if let Some(process) = self.started(member) {
            process.thaw()?;
        }
        if self.is_running(member) { Ok(()) } else { self.start(member).map(drop) }
    }
}

/// Sends SIGTERM, and SIGKILL if the process has not exited in time.
async fn stop(process: &mut ChildProcess) -> Result<(), String> {
    let member = process.member();
    process.terminate().map_err(|error| error.to_string())?;
    match tokio::time::timeout(STOP_TIMEOUT, process.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{member} was told to stop, but exited with {status}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => {
            process.kill().await.map_err(|error| error.to_string())?;
            Err(format!("{member} did not stop within {} s, and was killed", STOP_TIMEOUT.as_secs()))
        }
    }
}

/// Removes a file or a directory, if it exists.
fn remove(path: &Path) -> io::Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
