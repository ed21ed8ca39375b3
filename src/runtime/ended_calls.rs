//! An old server whose relayed calls end tells the next server at its address, which has their clients by then.
//!
//! Nothing on the path of a call does it: Chromium reports a path that is refused as `disconnected` (crbug.com/957487), and PeerJS
//! waits for `failed`.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use peerbroker_core::media_api::EndedCalls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::Runtime;
use crate::events::counted;
use crate::wire::ApiKey;

/// Pause after an error, such as that of a socket that the server before this one still has.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Time limit for a report, which waits in the kernel as a whole.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Most bytes of a report. A relay has fewer calls.
const MAX_REPORT: u64 = 16 << 20;

/// Two clients: their key and their ids.
type Pair = (String, [Box<str>; 2]);

impl Runtime {
    /// Tells clients that are here of calls that the server before this one at an address ends.
    pub(crate) async fn hear_of_ended_calls(&self, server: SocketAddr) -> Infallible {
        let listener = loop {
            match UnixListener::bind(name(server)) {
                Ok(listener) => break listener,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    self.node.clock().sleep(RETRY_DELAY).await;
                }
                Err(error) => {
                    log::debug!("cannot hear which calls end: {error}");
                    return pending().await;
                }
            }
        };
        loop {
            let report = async {
                let (stream, _) = listener.accept().await?;
                timeout(REPORT_TIMEOUT, read(stream)).await?
            };
            match report.await {
                Ok(pairs) => self.tell_all(pairs),
                Err(error) => {
                    log::debug!("cannot read which calls end: {error}");
                    self.node.clock().sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    fn tell_all(&self, pairs: Vec<Pair>) {
        let ended = |(key, clients): Pair| Some(EndedCalls { key: ApiKey::parse(&key).ok()?, clients });
        let mut ended: Vec<EndedCalls> = pairs.into_iter().filter_map(ended).collect();
        if let Some(relay) = self.node.relay() {
            relay.calls().forget_connected(&mut ended);
        }
        let told = ended.iter().filter(|ended| self.node.tell_of_end(ended)).count();
        let count = counted(told as u64, "pair of clients", "pairs of clients");
        log::info!("{count} heard that the server before this one ends their relayed calls");
    }
}

/// Tells the next server at an address, if there is one, that the calls of these clients end.
pub(super) async fn report(server: SocketAddr, ended: &[EndedCalls]) {
    let sent = async {
        let mut stream = UnixStream::connect(name(server)).await?;
        check_user(&stream)?;
        let pairs: Vec<_> = ended.iter().map(|ended| (ended.key.as_str(), &ended.clients)).collect();
        stream.write_all(&serde_json::to_vec(&pairs)?).await
    };
    let sent = timeout(REPORT_TIMEOUT, sent).await.map_err(io::Error::from).flatten();
    if let Err(error) = sent {
        log::debug!("cannot tell the next server which calls end: {error}");
    }
}

async fn read(stream: UnixStream) -> io::Result<Vec<Pair>> {
    check_user(&stream)?;
    let mut report = Vec::new();
    stream.take(MAX_REPORT).read_to_end(&mut report).await?;
    Ok(serde_json::from_slice(&report)?)
}

/// Fails if the program at the other end has another user: only servers of one user share a port.
fn check_user(stream: &UnixStream) -> io::Result<()> {
    let (own, _) = UnixStream::pair()?;
    let is_same = stream.peer_cred()?.uid() == own.peer_cred()?.uid();
    is_same.then_some(()).ok_or_else(|| io::ErrorKind::PermissionDenied.into())
}

/// The socket of the server that has an address now. Linux keeps such names beside the ports: no file is left behind.
fn name(server: SocketAddr) -> String {
    format!("\0peerbroker-calls-{server}")
}
