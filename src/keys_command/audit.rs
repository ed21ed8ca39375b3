//! Tells the system's log who has changed which key. A server sees the change, but not who made it, and only while it runs.

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

/// Longest time for which a log that is not read delays the command.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes to a socket of syslog.
pub(super) struct Audit<'a>(pub(super) &'a Path);

impl Audit<'_> {
    pub(super) fn added(&self, key: &Key) {
        self.note(format_args!("added the key {:?}: {}", key.key, key.described()));
    }

    pub(super) fn imported(&self, key: &Key) {
        self.note(format_args!("imported the key {:?}: {}", key.key, key.described()));
    }

    pub(super) fn changed(&self, key: &Key) {
        self.note(format_args!("changed the key {:?}: {}", key.key, key.described()));
    }

    pub(super) fn removed(&self, key: &ApiKey) {
        self.note(format_args!("removed the key {key:?}"));
    }

    /// The change is made already. So it is no failure of the command if nobody takes the line.
    fn note(&self, what: impl Display) {
        let line = format!("<{PRIORITY}>peerbroker[{}]: {} {what}", process::id(), who());
        let _ = self.send(line.as_bytes());
    }

    fn send(&self, line: &[u8]) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.send_to(line, self.0).map(drop)
    }
}

/// The person at the terminal, as far as the environment tells, and the user of this process. journald notes the user itself.
fn who() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| env::var(name).ok());
    let name = name.map_or(Cow::Borrowed("somebody"), |name| Cow::Owned(format!("{name:?}")));
    let user = fs::metadata("/proc/self").map(|myself| format!(" (uid {})", myself.uid()));
    format!("{name}{}, with `peerbroker keys`,", user.unwrap_or_default())
}
