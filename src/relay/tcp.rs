//! TCP for clients without UDP: one thread that serves all connections, with a frame for each datagram.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

use super::calls::Calls;
use super::endpoint::Endpoint;
use super::framing::{self, Frames, Spoken, spoken};
use super::outlet::Outlet;
use super::pace::{Pace, Sender};
use super::session::CONSENT;
use super::streams::Streams;
use super::stun::Stun;
use super::turn_port::TurnPort;

/// Datagrams that are written at once.
const AT_ONCE: usize = 16;

/// What the kernel keeps for a client that reads slowly. More would only be late.
const SEND_BUFFER: usize = 1 << 16;

/// The most that one system call brings, and that a client over its rate limit leaves in memory.
const READ: usize = 1 << 14;

/// What is read before it is known what a client speaks, a little more than that takes.
const GREETING: usize = 32;

/// How long a client may take to prove that it is one.
const TO_PROVE: Duration = Duration::from_secs(5);

/// How long to wait after a connection could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a connection may be silent.
const SILENT: Duration = Duration::from_millis(CONSENT);

/// Binds an address for TCP.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A server that starts again finds connections of the last one.
    socket.set_reuse_address(true)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// What serves all connections.
pub(super) struct Server {
    pub(super) streams: Arc<Streams>,
    pub(super) outlet: Outlet,
    pub(super) calls: Arc<Calls>,
    /// What serves clients of TURN at this port.
    pub(super) turn: Option<Arc<dyn TurnPort>>,
    /// The number of the thread.
    pub(super) thread: usize,
}

impl Server {
    /// Accepts connections until `open` closes.
    pub(super) async fn run(self, listeners: Vec<TcpListener>, mut open: watch::Receiver<()>) {
        let server = Rc::new(self);
        let scratch = Rc::new(RefCell::new(vec![0; READ]));
        let tasks = LocalSet::new();
        for listener in listeners {
            let (server, scratch) = (Rc::clone(&server), Rc::clone(&scratch));
            tasks.spawn_local(async move {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => server.accept(listener, &scratch).await,
                    Err(error) => log::error!("the relay takes no TCP connections: {error}"),
                }
            });
        }
        // An error means that the relay is gone.
        let _ = tasks.run_until(open.changed()).await;
    }

    async fn accept(self: Rc<Self>, listener: tokio::net::TcpListener, scratch: &Rc<RefCell<Vec<u8>>>) {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let Some(place) = self.streams.admit(from) else { continue };
                    let (server, scratch) = (Rc::clone(&self), Rc::clone(scratch));
                    tokio::task::spawn_local(async move {
                        server.serve(stream, from, &scratch).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    log::debug!("the relay cannot accept a connection: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    async fn serve(&self, mut stream: TcpStream, from: SocketAddr, scratch: &RefCell<Vec<u8>>) {
        let _ = stream.set_nodelay(true);
        let opened = Instant::now();
        let Ok(Some((language, read))) = timeout(TO_PROVE, greeting(&mut stream)).await else { return };
        match (language, &self.turn) {
            (Spoken::Framed, _) => self.relay(stream, from, opened, &read, scratch).await,
            (Spoken::Turn, Some(turn)) => turn.serve(stream, read, from).await,
            // The TURN server has TLS at its own port.
            (Spoken::Turn | Spoken::Tls | Spoken::Unknown, _) => {}
        }
    }

    /// Serves a client of a call, of which `read` was read already.
    async fn relay(
        &self,
        mut stream: TcpStream,
        from: SocketAddr,
        opened: Instant,
        read: &[u8],
        scratch: &RefCell<Vec<u8>>,
    ) {
        let (own, waiting) = self.streams.open(from);
        let (reader, writer) = stream.split();
        tokio::select! {
            () = self.read(reader, from, opened, read, scratch) => {}
            () = write(writer, waiting) => {}
        }
        if self.streams.close(from, &own) {
            self.calls.leave(Endpoint::tcp(from));
        }
    }

    /// Reads until the connection ends, or has to.
    async fn read(
        &self,
        reader: ReadHalf<'_>,
        from: SocketAddr,
        opened: Instant,
        read: &[u8],
        scratch: &RefCell<Vec<u8>>,
    ) {
        let (from, mut frames, mut pace) = (Endpoint::tcp(from), Frames::default(), Pace::new());
        frames.add(read);
        while self.handle(from, &mut frames, &mut pace).await {
            frames.shrink();
            let patience = match self.calls.is_client(from) {
                true => SILENT,
                false => TO_PROVE.saturating_sub(opened.elapsed()),
            };
            if !matches!(timeout(patience, reader.readable()).await, Ok(Ok(()))) {
                return;
            }
            // A client that sends without end does not keep the others waiting.
            tokio::task::consume_budget().await;
            let mut scratch = scratch.borrow_mut();
            match reader.try_read(&mut scratch) {
                Ok(0) => return,
                Ok(count) => frames.add(scratch.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Handles the frames that are complete, at the pace of their sender. False if the connection has to end.
    async fn handle(&self, from: Endpoint, frames: &mut Frames, pace: &mut Pace) -> bool {
        let sender = match self.calls.is_client(from) {
            true => {
                let bytes_per_second = self.calls.config.load().relay_limits.bytes_per_second;
                Sender::Client { bytes_per_second }
            }
            false => Sender::Stranger,
        };
        loop {
            let Ok(length) = frames.next(|datagram| self.on_datagram(from, datagram)) else { return false };
            let Some(length) = length else { return true };
            if pace.charge(length, sender).await.is_err() {
                return false;
            }
        }
    }

    fn on_datagram(&self, from: Endpoint, datagram: &[u8]) -> usize {
        if Stun::is_stun(datagram) {
            self.calls.on_stun(self.thread, from, datagram, |to, bytes| self.send(to, bytes));
        } else if let Some(to) = self.calls.forward(self.thread, from, 1, datagram.len()) {
            self.send(to, datagram);
        }
        datagram.len()
    }

    fn send(&self, to: Endpoint, bytes: &[u8]) {
        if !self.outlet.send(to, bytes, bytes.len()) {
            self.calls.count_full(self.thread);
        }
    }
}

/// What a client speaks, and what was read of it to know that. `None` if it ends before.
async fn greeting(stream: &mut TcpStream) -> Option<(Spoken, BytesMut)> {
    let mut read = BytesMut::with_capacity(GREETING);
    loop {
        if let Some(language) = spoken(&read) {
            return Some((language, read));
        }
        // As much as there is room for.
        if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
            return None;
        }
    }
}

/// Writes what waits, until the connection fails.
async fn write(mut writer: WriteHalf<'_>, mut waiting: mpsc::Receiver<Box<[u8]>>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, AT_ONCE).await > 0 {
        let mut bytes = Vec::new();
        batch.drain(..).for_each(|datagram| framing::write(&datagram, &mut bytes));
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}
