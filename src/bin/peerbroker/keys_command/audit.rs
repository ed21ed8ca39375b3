//! Logs the person who has changed a key to the system's log. A server sees the change, but not its author,
//! and only while it runs. A file beside the keys would need a bound, a rotation and rights, and beside Redis
//! there is no place for one.

use std::borrow::Cow;
use std::env;
use std::fmt::Display;
use std::path::Path;
use std::process;

use peerbroker_keys::Key;

use crate::process::{user, write_syslog};

/// The facility `authpriv` and the severity `info` (RFC 5424, section 6.2.1).
const PRIORITY: u8 = 10 * 8 + 6;

/// Writes to a socket of syslog.
pub(super) struct Audit<'a>(pub(super) &'a Path);

impl Audit<'_> {
    /// The change is made already, so the command does not fail if the line cannot be written.
    pub(super) fn record(&self, done: &str, key: &Key) {
        self.write(format_args!("{done} the key {:?}: {}", key.key, key.described()));
    }

    pub(super) fn write(&self, what: impl Display) {
        let line = format!("<{PRIORITY}>peerbroker[{}]: {} {what}", process::id(), who());
        let _ = write_syslog(self.0, line.as_bytes());
    }
}

/// The person at the terminal, as far as the environment shows, and the user of this process. journald notes
/// the user itself.
fn who() -> String {
    let name = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| env::var(name).ok());
    let name = name.map_or(Cow::Borrowed("somebody"), |name| Cow::Owned(format!("{name:?}")));
    let user = user().map(|id| format!(" (uid {id})"));
    format!("{name}{}, with `peerbroker keys`,", user.unwrap_or_default())
}
