//! Windows.

use std::env;
use std::future::pending;
use std::io;
use std::path::Path;

use peerbroker::{Listen, PeerBroker};
use tokio::signal::windows::{CtrlBreak, CtrlC, ctrl_break, ctrl_c};

pub const LACKS: Option<&str> = Some(
    "\
On Windows, Ctrl-C and Ctrl-Break stop the server, and there are no other signals. A changed file of
--config is read again, but there is no SIGHUP. --reuse_port, and the sockets and reports of systemd
(LISTEN_FDS, NOTIFY_SOCKET), are refused. Files have no modes: whoever may read a directory may read
the keys and secrets in it.",
);

pub const SYSLOG: &str = "";

pub fn unusable_variable() -> Option<String> {
    env::var_os("NOTIFY_SOCKET").is_some().then(|| {
        "NOTIFY_SOCKET is set, but a program on Windows cannot report to systemd: remove the variable"
            .to_owned()
    })
}

pub fn is_main() -> bool {
    false
}

pub struct Stops {
    c: CtrlC,
    brk: CtrlBreak,
}

impl Stops {
    pub fn listen() -> io::Result<Self> {
        Ok(Stops { c: ctrl_c()?, brk: ctrl_break()? })
    }

    /// The key that was pressed with Ctrl.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! { _ = self.c.recv() => "C", _ = self.brk.recv() => "Break" }
    }
}

pub struct Hangups;

impl Hangups {
    pub fn listen() -> io::Result<Self> {
        Ok(Hangups)
    }

    pub async fn next(&mut self) -> bool {
        pending().await
    }
}

/// Raises nothing: Windows has no limit of open files.
pub fn raise_file_limit() -> io::Result<u64> {
    Ok(u64::MAX)
}

pub fn memory(_: &Path) -> Option<u64> {
    None
}

pub fn write_syslog(_: &Path, _: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub fn user() -> Option<u32> {
    None
}

pub fn owner(_: &Path) -> Option<u32> {
    None
}

pub fn follow(_: &PeerBroker, _: &Listen) -> io::Result<()> {
    Ok(())
}

pub async fn report(_: PeerBroker) {}
