//! Logs the person who has changed a key to the system's log. A server sees the change, but not its author, and only while it runs.
//! A file beside the keys would need a bound, a rotation and rights, and beside Redis there is no place for one.

use std::borrow::Cow;
use std::env;
use std::fmt::Display;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process;
use std::time::Duration;

use peerbroker::keys::Key;
use peerbroker::wire::ApiKey;

/// The socket of the system's log: syslog(3). Containers have none.
pub(super) const SYSLOG: &str = "/dev/log";

/// The facility `authpriv` and the severity `info` (RFC 5424, section 6.2.1).
const PRIORITY: u8 = 10 * 8 + 6;

/// Longest time for which a log without a reader delays the command.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Writes to a socket of syslog.
pub(super) struct Audit<'a>(pub(super) &'a Path);

impl Audit<'_> {
    /// The change is made already, so the command does not fail if the line cannot be written.
    pub(super) fn note(&self, done: &str, key: &Key) {
        self.write(format_args!("{done} the key {:?}: {}", key.key, key.described()));
    }

    pub(super) fn removed(&self, key: &ApiKey) {
        self.write(format_args!("removed the key {key:?}"));
    }

    fn write(&self, what: impl Display) {
        let line = format!("<{PRIORITY}>peerbroker[{}]: {} {what}", process::id(), who());
        let _ = self.send(line.as_bytes());
    }

    fn send(&self, line: &[u8]) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(WRITE_TIMEOUT))?;
        socket.send_to(line, self.0).map(drop)
    }
}

/// The person at the terminal, as far as the environment shows, and the user of this process. journald notes the user itself.
fn who() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| env::var(name).ok());
    let name = name.map_or(Cow::Borrowed("somebody"), |name| Cow::Owned(format!("{name:?}")));
    let user = fs::metadata("/proc/self").map(|myself| format!(" (uid {})", myself.uid()));
    format!("{name}{}, with `peerbroker keys`,", user.unwrap_or_default())
}
