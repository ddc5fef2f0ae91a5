//! Standard output.

use std::fmt::Display;
use std::io::{ErrorKind, Write};
use std::sync::OnceLock;

/// The first error of writing to standard output.
static WRITE_ERROR: OnceLock<String> = OnceLock::new();

/// Writes a line to standard output. A closed pipe (`| head`) is not an error. Any other failure,
/// such as a full disk, does not stop the work; it is reported by the exit code at the end.
pub(crate) fn print(text: impl Display) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = WRITE_ERROR.set(error.to_string());
    }
}

/// Why a [`print`] failed, if one did.
pub(crate) fn write_error() -> Option<&'static str> {
    WRITE_ERROR.get().map(String::as_str)
}
