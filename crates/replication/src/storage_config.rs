//! How a replica uses its disk: settings that every replicated service has.

use std::path::PathBuf;

use service::settings::{Setting, Values};

use crate::log::SEGMENT_BYTES;

pub(crate) const MIB: u64 = 1024 * KIB;
const KIB: u64 = 1024;

/// In MiB. A full queue of 4,096 orders takes some 3 MiB of log and ledger, and some 10 MiB more
/// may arrive before the next measurement. The rest is for a checkpoint, a membership change and
/// some elections.
const RESERVE_MIB: u64 = 64;
/// More than any disk of this store should have: 1 TiB, in MiB.
const RESERVE_MIB_MAX: u64 = 1024 * 1024;
/// In entries. An entry is a whole batch of orders: with full batches that is a million orders
/// between two checkpoints, with single orders 4,096.
const CHECKPOINT_EVERY: u64 = 4096;
/// In entries: as many are kept beyond a checkpoint, for replicas that are away while a host
/// restarts.
const LOG_KEPT: u64 = 4096;

/// In KiB. A shorter segment would hold little more than its own header.
const SEGMENT_KIB_MIN: u64 = 1;
/// 1 GiB, in KiB. All segments are read as a whole when a replica starts.
const SEGMENT_KIB_MAX: u64 = 1024 * 1024;

/// How one replica uses its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// The free space that is reserved for finishing what was started, in bytes. 0: the free space
    /// is not measured.
    pub disk_reserve_bytes: u64,
    /// The file that makes the disk slow or full on demand, for drills.
    pub disk_faults_file: Option<PathBuf>,
    /// A checkpoint is made after this many committed entries; 1 or more.
    pub checkpoint_every: u64,
    /// How many entries stay in the log although a checkpoint contains them. A replica that missed
    /// no more than these catches up from the log, one that missed more receives the whole state.
    pub log_kept: u64,
    /// When the active segment of the log exceeds this size in bytes, a new one is started.
    /// Segments are removed as a whole.
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
                "Number of log entries between two checkpoints",
            ),
            Setting::new(
                "LOG_KEPT",
                LOG_KEPT.to_string(),
                "Number of log entries to keep after a checkpoint, for replicas that have fallen behind",
            ),
            Setting::new(
                "LOG_SEGMENT_KIB",
                (SEGMENT_BYTES / KIB).to_string(),
                "When the active log segment reaches this size, a new one is started; segments are removed as a whole",
            ),
            Setting::new(
                "DISK_RESERVE_MIB",
                RESERVE_MIB.to_string(),
                "Minimum free disk space. Below it, a replica refuses new work with 507 and finishes work in progress; 0 turns the check off",
            ),
            Setting::optional(
                "DISK_FAULTS_FILE",
                "For drills: a file with disk faults to simulate, one per line, such as sync_delay_ms=50 or full=true",
            ),
        ]
    }

    /// Reads the settings.
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
