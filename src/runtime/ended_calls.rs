//! An old server whose relayed calls end tells the next server at its address, which has their clients by
//! then.
//!
//! Nothing on the path of a call does it: Chromium reports a path that is refused as `disconnected`
//! (crbug.com/957487), and PeerJS waits for `failed`.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use peerbroker_media_api::EndedCalls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Runtime;
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_events::counted;

/// Pause after an error, such as that of a socket that the server before this one still has.
const RETRY_DELAY: Duration = Duration::from_millis(500);

/// Pause before the next attempt to connect to a server that has not accepted all connections yet.
const CONNECT_DELAY: Duration = Duration::from_millis(5);

/// Most reports that are read at once.
const MAX_READERS: usize = 8;

/// Time limit for a report, which waits in the kernel as a whole.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Most bytes of a report. A relay has fewer calls.
const MAX_REPORT: u64 = 16 << 20;

/// Two clients: their key and their ids.
type Pair = (String, [Box<str>; 2]);

impl Runtime {
    /// Tells clients that are here of calls that the server before this one at an address ends.
    pub(crate) async fn receive_ended_calls(&self, server: SocketAddr) -> Infallible {
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
        let mut reports = Reports::new(listener, is_of_own_user);
        loop {
            self.send_ends(reports.next().await);
        }
    }

    fn send_ends(&self, pairs: Vec<Pair>) {
        let ended = |(key, clients): Pair| Some(EndedCalls { key: ApiKey::parse(&key).ok()?, clients });
        let mut ended: Vec<EndedCalls> = pairs.into_iter().filter_map(ended).collect();
        if let Some(relay) = self.node.relay() {
            relay.calls().forget_connected(&mut ended);
        }
        let told = ended.iter().filter(|ended| self.node.send_end_of_calls(ended)).count();
        let count = counted(told as u64, "pair of clients", "pairs of clients");
        log::info!("{count} heard that the server before this one ends their relayed calls");
    }
}

/// The reports to one server.
struct Reports<F> {
    listener: UnixListener,
    is_own: F,
    readers: JoinSet<io::Result<Vec<Pair>>>,
}

impl<F: FnMut(&UnixStream) -> io::Result<bool>> Reports<F> {
    fn new(listener: UnixListener, is_own: F) -> Self {
        Reports { listener, is_own, readers: JoinSet::new() }
    }

    /// The next report. Connections of other users cost no more than the look at them: every user of the
    /// machine can connect.
    async fn next(&mut self) -> Vec<Pair> {
        loop {
            let has_room = self.readers.len() < MAX_READERS;
            tokio::select! {
                Some(read) = self.readers.join_next() => match read.map_err(io::Error::from).flatten() {
                    Ok(pairs) => return pairs,
                    Err(error) => log::debug!("cannot read which calls end: {error}"),
                },
                accepted = self.listener.accept(), if has_room => match accepted {
                    Ok((stream, _)) => {
                        if (self.is_own)(&stream).unwrap_or(false) {
                            self.readers.spawn(read(stream));
                        }
                    }
                    // Such as that of too many open files, which lasts.
                    Err(error) => {
                        log::debug!("cannot hear which calls end: {error}");
                        sleep(RETRY_DELAY).await;
                    }
                },
            }
        }
    }
}

/// Tells the next server at an address, if there is one, that the calls of these clients end.
pub(super) async fn report(server: SocketAddr, ended: &[EndedCalls]) {
    let sent = timeout(REPORT_TIMEOUT, send(server, ended)).await.map_err(io::Error::from).flatten();
    if let Err(error) = sent {
        log::debug!("cannot tell the next server which calls end: {error}");
    }
}

async fn send(server: SocketAddr, ended: &[EndedCalls]) -> io::Result<()> {
    let mut stream = loop {
        match UnixStream::connect(name(server)).await {
            // Its backlog is full, and it will soon have looked at those that are in it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(CONNECT_DELAY).await,
            connected => break connected?,
        }
    };
    // Another user may have taken the name, and must not hear who talks to whom.
    if !is_of_own_user(&stream)? {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let pairs: Vec<_> = ended.iter().map(|ended| (ended.key.as_str(), &ended.clients)).collect();
    stream.write_all(&serde_json::to_vec(&pairs)?).await
}

async fn read(stream: UnixStream) -> io::Result<Vec<Pair>> {
    let mut report = Vec::new();
    timeout(REPORT_TIMEOUT, stream.take(MAX_REPORT).read_to_end(&mut report)).await??;
    Ok(serde_json::from_slice(&report)?)
}

/// True if the program at the other end has the user of this one: only servers of one user share a port.
fn is_of_own_user(stream: &UnixStream) -> io::Result<bool> {
    let (own, _) = UnixStream::pair()?;
    Ok(stream.peer_cred()?.uid() == own.peer_cred()?.uid())
}

/// The socket of the server that has an address now. Linux keeps such names beside the ports: no file is left
/// behind.
fn name(server: SocketAddr) -> String {
    format!("\0peerbroker-calls-{server}")
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, SockAddr, Socket, Type};
    use tokio::time::Instant;

    use super::*;

    /// The address of a server that no other process has.
    fn server(port: u16) -> SocketAddr {
        let [_, a, b, c] = std::process::id().to_be_bytes();
        ([127, a, b, c], port).into()
    }

    fn listener(server: SocketAddr, backlog: i32) -> UnixListener {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).unwrap();
        socket.bind(&SockAddr::unix(name(server)).unwrap()).unwrap();
        socket.listen(backlog).unwrap();
        UnixListener::from_std(socket.into()).unwrap()
    }

    async fn connect(server: SocketAddr) -> io::Result<UnixStream> {
        UnixStream::connect(name(server)).await
    }

    async fn report_to(server: SocketAddr) {
        let key = ApiKey::parse("k").unwrap();
        report(server, &[EndedCalls { key, clients: ["a".into(), "b".into()] }]).await;
    }

    fn reported() -> Vec<Pair> {
        vec![("k".to_owned(), ["a".into(), "b".into()])]
    }

    #[tokio::test(start_paused = true)]
    async fn connections_of_other_users_hold_up_no_report() {
        let server = server(1);
        let mut seen = 0;
        let own_is_last = |_: &UnixStream| {
            seen += 1;
            Ok(seen > 100)
        };
        let mut reports = Reports::new(listener(server, 128), own_is_last);
        let mut strangers = Vec::new();
        for _ in 0..100 {
            strangers.push(connect(server).await.unwrap());
        }
        let start = Instant::now();
        let (heard, ()) = tokio::join!(reports.next(), report_to(server));
        assert_eq!((heard, start.elapsed()), (reported(), Duration::ZERO));
        for mut stranger in strangers {
            assert_eq!(stranger.read(&mut [0]).await.unwrap(), 0, "it was closed");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reports_that_do_not_come_hold_up_no_other_and_few_of_them_are_waited_for() {
        let server = server(2);
        let mut reports = Reports::new(listener(server, 128), is_of_own_user);
        let mut silent = Vec::new();
        for _ in 1..MAX_READERS {
            silent.push(connect(server).await.unwrap());
        }
        let start = Instant::now();
        let (heard, ()) = tokio::join!(reports.next(), report_to(server));
        assert_eq!((heard, start.elapsed()), (reported(), Duration::ZERO));
        silent.push(connect(server).await.unwrap());
        let (heard, ()) = tokio::join!(reports.next(), report_to(server));
        assert_eq!(heard, reported());
        assert!(start.elapsed() >= REPORT_TIMEOUT, "they were waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_waits_for_room_in_the_backlog() {
        let server = server(3);
        let mut reports = Reports::new(listener(server, 1), is_of_own_user);
        let mut others = Vec::new();
        let full = loop {
            match connect(server).await {
                Ok(other) => others.push(other),
                Err(error) => break error.kind(),
            }
        };
        assert_eq!(full, io::ErrorKind::WouldBlock);
        let (heard, ()) = tokio::join!(reports.next(), report_to(server));
        assert_eq!(heard, reported());
    }
}
