//! What is replicated: a pure state machine, and the place where its state lies between runs.

use std::fmt::Debug;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use api::LogPosition;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A deterministic state machine. Every replica applies the same commands in the same order, so it must come to the
/// same state from them alone: no clock, no randomness, no I/O; time and ids arrive inside the command.
pub trait StateMachine: Send + Sync + 'static {
    /// What is replicated. It is encoded with postcard: fields are known by their order, so an encoding that is in a
    /// log may only be extended by new variants at an enum's end. At most
    /// [`COMMAND_BYTES_MAX`](crate::COMMAND_BYTES_MAX) encoded.
    type Command: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static;
    /// What the proposer of a command gets back.
    type Reply: Debug + Send + Sync + 'static;

    /// Applies the entry at `position`; `position.term` is the term of the leader that wrote it, which may be an
    /// earlier one than the term in which it commits.
    fn apply(&mut self, position: LogPosition, command: Self::Command) -> Self::Reply;
}

/// Where a machine's state lies between runs, and how it travels to a replica that is far behind.
///
/// Every method may block, and never are two called at once. `load` is called once, at the start; the others on
/// blocking threads.
pub trait StateStore<M: StateMachine>: Send + Sync + 'static {
    /// The last checkpoint: the machine, and the header that was saved with it. `None` on a fresh disk. An error says
    /// where the damage is.
    fn load(&mut self) -> Result<Option<(M, Vec<u8>)>, StoreError>;

    /// Called after each group of applied commands, so that a store may write down as it goes what the machine has
    /// beyond what is written. May buffer in the operating system; must not sync. After a restart, commands since the
    /// last checkpoint are applied again: what is written already must be recognised.
    fn record(&mut self, machine: &M) -> Result<(), StoreError>;

    /// Saves the machine's state with `header` (opaque to the store). Durable when it returns; a crash before leaves
    /// the checkpoint before.
    fn checkpoint(&mut self, machine: &M, header: &[u8]) -> Result<(), StoreError>;

    /// The last checkpoint as a stream that another replica can [`install`](Self::install). It stays the same while
    /// later commands are applied and later checkpoints made.
    fn export(&self) -> Result<Box<dyn Read + Send>, StoreError>;

    /// Replaces everything by the stream in the file `from`, with `header` in the place of the sender's. Durable when
    /// it returns.
    fn install(&mut self, from: &Path, header: &[u8]) -> Result<M, StoreError>;
}

/// Why a [`StateStore`] failed. While a replica runs, either ends the process: what is in doubt must not be served.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `sync` …
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// What lies on the disk is not what was written.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where in it, and what is wrong.
        what: String,
    },
}

impl StoreError {
    /// For `map_err`: what was tried, on which file.
    pub fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }

    /// `what` says where in the file, and what is wrong there.
    pub fn damaged(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), what: what.into() }
    }
}
