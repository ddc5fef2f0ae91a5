//! Ending a process that must not go on.

use std::fmt::Display;

use super::boundary::current;
use crate::exit::ExitCode;

/// Ends the process at once, because it can no longer keep a promise.
///
/// It neither drains requests nor transfers leadership: a process that goes on for even a moment
/// would still appear to work. In a simulated world, only the simulated process ends.
pub fn fatal(code: ExitCode, reason: impl Display) -> ! {
    tracing::error!(exit_code = code as u8, "stopping at once: {reason}");
    if let Some(world) = current() {
        std::panic::resume_unwind(world.exit(code, reason.to_string()));
    }
    std::process::exit(code as i32);
}
