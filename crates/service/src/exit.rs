//! Exit codes.

use std::fmt::Display;

/// Exit codes, after BSD's `sysexits.h` where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// The process stopped as requested.
    Ok = 0,
    /// The process could not start or had to stop for an external reason: a port in use, no answer.
    Failure = 1,
    /// The configuration or the command line is wrong (`EX_USAGE`).
    Usage = 64,
    /// No error was found, but something could not be checked (`EX_UNAVAILABLE`).
    Unverified = 69,
    /// A bug or a broken invariant (`EX_SOFTWARE`).
    Software = 70,
    /// The disk failed, or the data on it are damaged (`EX_IOERR`).
    Io = 74,
    /// A load test ran to its end, and the store missed a threshold. Not a code of `sysexits.h`, so
    /// that a script can tell it from the others.
    Missed = 99,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Why a process fails.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ExitError {
    /// The exit code of the process.
    pub code: ExitCode,
    /// The message for the user, on standard error.
    pub message: String,
}

impl ExitError {
    /// A failure with a message.
    pub fn new(code: ExitCode, message: impl Display) -> Self {
        Self { code, message: message.to_string() }
    }
}
