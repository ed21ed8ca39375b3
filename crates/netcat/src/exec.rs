//! Processes: one for each stream of a command, or for each page.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use peerbroker_peer::Value;
use tokio::io::BufReader;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::lines;
use crate::streams::{Incoming, Outgoing, Stream};

/// The variable with the id of the other end.
pub(crate) const PEER: &str = "PEERBROKER_PEER";
/// Most processes at once.
pub(crate) const MAX_PROCESSES: usize = 256;
/// The time that a process has to end once nobody talks to it.
const GRACE: Duration = Duration::from_secs(5);

/// Starts the command of the shell. It is killed with its `Child`.
fn start(command: &str, peer: &str) -> io::Result<(Child, ChildStdin, ChildStdout)> {
    #[cfg(not(windows))]
    let mut shell = Command::new("sh");
    #[cfg(not(windows))]
    shell.arg("-c").arg(command);
    #[cfg(windows)]
    let mut shell = Command::new("cmd");
    #[cfg(windows)]
    shell.arg("/C").raw_arg(command);
    shell.env(PEER, peer).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = shell.spawn()?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the process has no pipes"));
    };
    Ok((child, stdin, stdout))
}

/// Joins a process to a stream.
pub(crate) async fn run(command: &str, peer: &str, stream: Stream) -> io::Result<()> {
    let (mut child, stdin, stdout) = start(command, peer)?;
    let joined = stream.join(stdout, stdin, Some(&mut child)).await;
    stop(&mut child).await;
    joined
}

/// Joins a process to a page: its lines are messages.
pub(crate) async fn run_lines(
    command: &str,
    peer: &str,
    to: &mut Outgoing<Value>,
    from: &mut Incoming<Value>,
) -> io::Result<()> {
    let (mut child, stdin, stdout) = start(command, peer)?;
    let talked = lines::talk(to, from, &mut BufReader::new(stdout), stdin, true).await;
    if talked.is_ok() {
        // Its stdin is closed, so it should end by itself.
        drop(timeout(GRACE, child.wait()).await);
    }
    stop(&mut child).await;
    talked.map(drop)
}

/// Kills a process that still runs.
async fn stop(child: &mut Child) {
    if matches!(child.try_wait(), Ok(None)) {
        // An error means that it has just ended.
        drop(child.kill().await);
    }
}
