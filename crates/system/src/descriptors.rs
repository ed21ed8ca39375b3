//! File descriptors: sockets of clients leave the last ones to operators, stores, and requests to other
//! servers.

#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd as _};

/// The most files that this process may have open. `None` without a limit.
#[cfg(unix)]
pub fn limit() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Nofile).current
}

/// Windows has none.
#[cfg(not(unix))]
pub fn limit() -> Option<u64> {
    None
}

/// True if a new socket has one of the last descriptors: the system gives the lowest free one (POSIX, 2.6).
#[cfg(unix)]
pub fn are_scarce(socket: &impl AsFd) -> bool {
    let number = u64::try_from(socket.as_fd().as_raw_fd()).unwrap_or_default();
    limit().is_some_and(|limit| number >= limit - kept(limit))
}

/// Never, without a limit.
#[cfg(not(unix))]
pub fn are_scarce<S>(_: &S) -> bool {
    false
}

/// Descriptors that clients leave free.
#[cfg(unix)]
fn kept(limit: u64) -> u64 {
    (limit / 8).min(64)
}
