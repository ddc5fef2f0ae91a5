//! What is replicated: a pure state machine, and the store that keeps its state between runs.

use std::fmt::Debug;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use api::LogPosition;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The limit of a command's encoding, in bytes. A batch of 256 orders takes some 20 KiB.
pub const COMMAND_BYTES_MAX: usize = 1024 * 1024;

/// A deterministic state machine. Every replica applies the same commands in the same order, so it
/// must reach the same state from them alone: no clock, no randomness, no I/O. Time and ids arrive
/// inside the command.
pub trait StateMachine: Send + Sync + 'static {
    /// What is replicated. It is encoded with postcard, in which fields are identified by their
    /// order. So the encoding of a command that is in a log may only be extended, by new variants
    /// at the end of an enum. At most [`COMMAND_BYTES_MAX`] bytes long.
    type Command: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static;
    /// What the proposer of a command gets back.
    type Reply: Debug + Send + Sync + 'static;

    /// Applies the entry at `position`. `position.term` is the term of the leader that wrote it,
    /// which may be earlier than the term in which it is committed.
    fn apply(&mut self, position: LogPosition, command: Self::Command) -> Self::Reply;
}

/// Keeps a machine's state between runs, and sends it to a replica that is too far behind for the
/// log.
///
/// Every method may block, and no two are called at once. `load` is called once, at the start; the
/// others on blocking threads.
pub trait StateStore<M: StateMachine>: Send + Sync + 'static {
    /// The last checkpoint: the machine, and the header that was saved with it. `None` on a new
    /// disk. An error says where the damage is.
    fn load(&mut self) -> Result<Option<(M, Vec<u8>)>, StateStoreError>;

    /// The file that identifies the last checkpoint, for messages.
    fn checkpoint_file(&self) -> PathBuf;

    /// Whether the log can restore everything that was written beyond the last checkpoint;
    /// `commands` are the commands in the log after it. Called once, after [`load`](Self::load).
    /// What was [recorded](Self::record) was in the log before, so an error says which part of the
    /// log is missing, or that the files do not belong to one replica.
    fn check_log(&mut self, commands: &mut dyn Iterator<Item = M::Command>) -> Result<(), StateStoreError> {
        let _ = commands;
        Ok(())
    }

    /// Called after each group of applied commands, so that a store can write what the machine has
    /// gained since. May buffer in the operating system; must not sync. After a restart, the
    /// commands since the last checkpoint are applied again, so the store must recognize what it
    /// has already written.
    fn record(&mut self, machine: &M) -> Result<(), StateStoreError>;

    /// Saves the machine's state with `header`, which is opaque to the store. Durable when it
    /// returns. After a crash before that, the previous checkpoint remains.
    fn checkpoint(&mut self, machine: &M, header: &[u8]) -> Result<(), StateStoreError>;

    /// The last checkpoint as a stream that another replica can [`install`](Self::install). It does
    /// not change while later commands are applied and later checkpoints made.
    fn export(&self) -> Result<Box<dyn Read + Send>, StateStoreError>;

    /// Replaces everything by the stream in the file `from`, with `header` instead of the sender's.
    /// Durable when it returns.
    fn install(&mut self, from: &Path, header: &[u8]) -> Result<M, StateStoreError>;
}

/// Why a [`StateStore`] failed. While a replica runs, any failure ends the process: doubtful state
/// must not be served.
#[derive(Debug, thiserror::Error)]
pub enum StateStoreError {
    /// The operating system refused.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// The operation: `read`, `write`, `sync` …
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file does not hold what was written.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, and what is wrong.
        what: String,
    },
}

impl StateStoreError {
    /// For `map_err`: the operation, and the file.
    pub fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source }
    }

    /// `what` says where in the file, and what is wrong there.
    pub fn damaged(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), what: what.into() }
    }
}
