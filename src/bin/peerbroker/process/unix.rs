//! Unix.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The things that this build lacks, for `--help`.
pub const LACKS: Option<&str> = None;

/// The socket of the system's log: syslog(3). Containers have none.
pub const SYSLOG: &str = "/dev/log";

/// Longest time for which a log without a reader delays the caller.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// A variable of a service manager that this system cannot obey, with the reason.
pub fn unusable_variable() -> Option<String> {
    None
}

/// True for the first process of a machine or container, and for one that the first has started, as with `docker run --init`.
pub fn is_main() -> bool {
    std::process::id() == 1 || parent_id() == 1
}

/// The signals that stop the server.
pub struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    pub fn listen() -> io::Result<Self> {
        Ok(Stops { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one.
    pub async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }
}

/// The signal that asks for a reload. Until there is a handler, it ends the process.
pub struct Hangups(Signal);

impl Hangups {
    pub fn listen() -> io::Result<Self> {
        signal(SignalKind::hangup()).map(Hangups)
    }

    /// False if there will be no more.
    pub async fn next(&mut self) -> bool {
        self.0.recv().await.is_some()
    }
}

/// Raises the limit of open files to the highest that this user may have.
pub fn raise_file_limit() -> io::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX).map(drop)
}

/// Writes a line to a socket of syslog.
pub fn write_syslog(socket: &Path, line: &[u8]) -> io::Result<()> {
    let from = UnixDatagram::unbound()?;
    from.set_write_timeout(Some(WRITE_TIMEOUT))?;
    from.send_to(line, socket).map(drop)
}

/// The user of this process.
pub fn user() -> Option<u32> {
    owner(Path::new("/proc/self"))
}

/// The owner of a file or of a directory.
pub fn owner(path: &Path) -> Option<u32> {
    fs::metadata(path).map(|found| found.uid()).ok()
}
