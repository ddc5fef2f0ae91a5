//! The limits of a port.

use std::time::Duration;

use rustix::process::{Resource, getrlimit};

/// Refusals may take at most a thirtieth of the machine. On a busy machine, a refusal was measured
/// to cost 100 µs, including its client on the same machine (`cargo run --release --example
/// overload -- 1.0`: goodput lost per refusal).
pub(super) const REFUSALS_PER_SECOND_AND_CORE: u32 = 312;

/// The limits of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most open connections. Beyond it, the connections that have been idle for longest are
    /// closed.
    pub connections_max: usize,
    /// How long a request's headers may take, and how long a keep-alive connection may be idle.
    /// Longer than the 15 s after which the store's own clients close an idle connection, so that
    /// the server never closes a connection to which such a client is writing a request.
    pub header_timeout: Duration,
    /// How long a response may make no progress because its client does not read.
    pub write_timeout: Duration,
    /// The most bytes of long responses, over all connections, that wait for their clients. Beyond
    /// it, the responses that have waited for longest are dropped.
    pub unread_bytes_max: usize,
    /// The lame-duck period: how long a stopping port still answers on its open connections; each
    /// response says that it is the last. If a connection were closed while a client writes its
    /// next request, the client could not know that the request was not carried out. This does not
    /// happen to a connection that is used within this time.
    pub lame_duck: Duration,
    /// The most headers per request.
    pub headers_max: usize,
    /// The longest request head, in bytes.
    pub head_bytes_max: usize,
    /// The refusals with `Retry-After` per second beyond which clients that do not wait are held.
    /// `None` if the clients are processes of the store: they wait, and their connections are
    /// shared by many clients.
    pub refusals_per_second: Option<u32>,
}

impl Limits {
    /// Limits for the port that most clients of a process use: as many connections as five eighths
    /// of the files that the process may open, up to 16,384. The rest is for its own requests to
    /// other services, its files, and its other port.
    pub fn main_port() -> Self {
        Self { connections_max: share_of_open_files(open_files(), 5).min(16_384), ..Self::default() }
    }

    /// The same for a port whose clients are not processes of the store, and may not retry lost
    /// requests.
    pub fn public_port() -> Self {
        Self {
            lame_duck: Duration::from_secs(1),
            refusals_per_second: Some(REFUSALS_PER_SECOND_AND_CORE * cores()),
            ..Self::main_port()
        }
    }

    /// Limits for a port that only a few other processes use: one eighth, up to 4096.
    pub fn side_port() -> Self {
        Self { connections_max: share_of_open_files(open_files(), 1).min(4096), ..Self::default() }
    }
}

/// The most files that the process may open; `None` if there is no limit.
fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// The number of threads that can run at once. Respects the CPU quota of a container.
pub(super) fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

fn share_of_open_files(open_files: Option<u64>, eighths: u64) -> usize {
    open_files.map_or(usize::MAX, |files| usize::try_from(files / 8 * eighths).unwrap_or(usize::MAX))
}

impl Default for Limits {
    /// Limits with as many connections as suit any process that may open 1024 files.
    fn default() -> Self {
        Self {
            connections_max: 512,
            header_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            // A quarter of the memory that the chart gives to a frontend. Enough for a hundred
            // clients that read a list of a thousand products at the same time.
            unread_bytes_max: 32 * 1024 * 1024,
            lame_duck: Duration::ZERO,
            headers_max: 64,
            head_bytes_max: 16 * 1024,
            refusals_per_second: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_other_uses() {
        assert_eq!((share_of_open_files(Some(1024), 5), share_of_open_files(Some(1024), 1)), (640, 128));
        assert_eq!(share_of_open_files(None, 1), usize::MAX);
        assert!(Limits::main_port().connections_max <= 16_384 && Limits::side_port().connections_max <= 4096);
    }
}
