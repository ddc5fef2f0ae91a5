//! How a replica treats its disk, as settings that every replicated service has.

use std::path::PathBuf;

use service::settings::{Setting, Values};

use crate::log::SEGMENT_BYTES;

pub(crate) const MIB: u64 = 1024 * KIB;
const KIB: u64 = 1024;

/// In MiB. A full queue of 4,096 orders takes some 3 MiB of log and ledger, and what comes in before a look notices some 10
/// more. The rest is for a checkpoint, a membership change, some elections.
const RESERVE_MIB: u64 = 64;
/// More than any disk of this store should have: 1 TiB, in MiB.
const RESERVE_MIB_MAX: u64 = 1024 * 1024;
/// Entries, and an entry is a whole batch of orders: with full batches a million orders between two checkpoints, alone 4,096.
const CHECKPOINT_EVERY: u64 = 4096;
/// … and as many are kept beyond a checkpoint, for replicas that are away while a machine restarts.
const LOG_KEPT: u64 = 4096;

/// A log file shorter than this would hold little more than its own beginning, in KiB.
const SEGMENT_KIB_MIN: u64 = 1;
/// 1 GiB, in KiB: a log file is read as a whole when a replica starts.
const SEGMENT_KIB_MAX: u64 = 1024 * 1024;

/// One replica's habits with its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// What is kept free for finishing what is begun, in bytes; 0: the free space is not looked at.
    pub disk_reserve_bytes: u64,
    /// The file that makes the disk slow or full on demand, for drills.
    pub disk_faults_file: Option<PathBuf>,
    /// A checkpoint is made each time that many entries have been committed since the last; 1 or more.
    pub checkpoint_every: u64,
    /// How many entries stay in the log although a checkpoint has them: a replica that missed no more than these
    /// catches up by log, one that missed more by the whole state.
    pub log_kept: u64,
    /// A log file that is longer is followed by another one, in bytes. Files are removed as a whole.
    pub log_segment_bytes: u64,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            disk_reserve_bytes: RESERVE_MIB * MIB,
            disk_faults_file: None,
            checkpoint_every: CHECKPOINT_EVERY,
            log_kept: LOG_KEPT,
            log_segment_bytes: SEGMENT_BYTES,
        }
    }
}

impl StorageConfig {
    /// `CHECKPOINT_EVERY`, `LOG_KEPT`, `LOG_SEGMENT_KIB`, `DISK_RESERVE_MIB`, `DISK_FAULTS_FILE`.
    pub fn settings() -> Vec<Setting> {
        vec![
            Setting::new(
                "CHECKPOINT_EVERY",
                CHECKPOINT_EVERY.to_string(),
                "Log entries from one checkpoint to the next",
            ),
            Setting::new(
                "LOG_KEPT",
                LOG_KEPT.to_string(),
                "Log entries that are kept beyond a checkpoint, for replicas that were away for a while",
            ),
            Setting::new(
                "LOG_SEGMENT_KIB",
                (SEGMENT_BYTES / KIB).to_string(),
                "Size of a log file from which on another one is begun; they are removed as a whole",
            ),
            Setting::new(
                "DISK_RESERVE_MIB",
                RESERVE_MIB.to_string(),
                "With less free space nothing new is begun (507), and what is begun is finished; 0: never look",
            ),
            Setting::optional(
                "DISK_FAULTS_FILE",
                "For drills: a file with lines such as sync_delay_ms=50 or full=true, and so the disk is",
            ),
        ]
    }

    /// Takes the settings' values.
    pub fn read(values: &mut Values) -> Option<Self> {
        let checkpoint_every = values.within("CHECKPOINT_EVERY", 1..=u64::from(u32::MAX));
        let log_kept = values.within("LOG_KEPT", 0..=u64::from(u32::MAX));
        let segment_kib = values.within("LOG_SEGMENT_KIB", SEGMENT_KIB_MIN..=SEGMENT_KIB_MAX);
        let reserve_mib = values.within("DISK_RESERVE_MIB", 0..=RESERVE_MIB_MAX);
        let disk_faults_file = values.optional("DISK_FAULTS_FILE");
        Some(Self {
            disk_reserve_bytes: reserve_mib? * MIB,
            disk_faults_file,
            checkpoint_every: checkpoint_every?,
            log_kept: log_kept?,
            log_segment_bytes: segment_kib? * KIB,
        })
    }
}
