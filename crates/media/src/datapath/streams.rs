//! Messages on connections, over TCP or TLS: one loop reads, one writes, and both never wait for another connection.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use parking_lot::Mutex;
use peerbroker_core::media_api::{Host, Permit};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::pace::{Pace, Sender};

/// The most bytes of one read, which a client over its rate limit can leave in memory.
const READ: usize = 1 << 14;

/// Bytes that wait for a client. More are dropped, as a network does.
const MAX_WAITING: usize = 64 << 10;

thread_local! {
    /// The buffer for reading, shared so that a waiting connection needs none.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// Counts connections: all of a server, and those of each address.
pub(crate) struct Connections {
    host: Arc<dyn Host>,
    open: Arc<()>,
}

impl Connections {
    pub(crate) fn new(host: Arc<dyn Host>) -> Self {
        Connections { host, open: Arc::default() }
    }

    /// A place for a connection, unless there are `max` or its address has too many. The drop gives it back.
    pub(crate) fn admit(&self, from: SocketAddr, max: usize) -> Option<(Arc<()>, Permit)> {
        Some((self.admit_counted(max)?, self.host.admit(from.ip())?))
    }

    /// A place for a connection that somebody else has counted for its address, unless there are `max`.
    pub(crate) fn admit_counted(&self, max: usize) -> Option<Arc<()>> {
        let place = Arc::clone(&self.open);
        (Arc::strong_count(&place) <= max.saturating_add(1)).then_some(place)
    }
}

/// The bytes that wait for the client of a connection.
#[derive(Default)]
pub(crate) struct Outbox {
    pub(crate) waiting: Mutex<Vec<u8>>,
    filled: Notify,
}

impl Outbox {
    /// Adds a message in parts. Never waits. False if there is no room.
    pub(crate) fn send(&self, parts: &[&[u8]]) -> bool {
        let mut waiting = self.waiting.lock();
        let was_empty = waiting.is_empty();
        if waiting.len() + parts.iter().map(|part| part.len()).sum::<usize>() > MAX_WAITING {
            return false;
        }
        parts.iter().for_each(|part| waiting.extend_from_slice(part));
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
        true
    }

    /// Takes the waiting bytes, as soon as there are any.
    async fn take(&self) -> Vec<u8> {
        loop {
            let waiting = std::mem::take(&mut *self.waiting.lock());
            if !waiting.is_empty() {
                return waiting;
            }
            self.filled.notified().await;
        }
    }
}

/// The place of a message in the bytes of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Framed {
    pub(crate) message: Range<usize>,
    /// The next one begins here.
    pub(crate) end: usize,
}

/// The messages of one connection, and what becomes of them.
pub(crate) trait Protocol {
    /// Time for a client to prove that it is one.
    const TO_PROVE: Duration;

    /// Time in which a client has to read some of the bytes for it.
    const TO_READ: Duration;

    /// The first message. `None` until it is complete.
    fn first(bytes: &[u8]) -> io::Result<Option<Framed>>;

    /// The number of bytes that are written at once.
    fn at_once(waiting: &[u8]) -> usize {
        waiting.len()
    }

    /// Handles a message. `None` ends the connection.
    fn receive(&self, message: &[u8]) -> Option<Sender>;

    /// Asked when [`TO_PROVE`](Self::TO_PROVE) is over, about a client that is silent since then: the time to ask again. `None`
    /// ends the connection.
    fn patience(&self, silent_since: Instant) -> Option<Instant>;
}

/// Serves a connection that was `opened` then until it ends. `read` has its first bytes.
pub(crate) async fn serve<P: Protocol>(
    protocol: &P,
    (reader, writer): (impl AsyncRead, impl AsyncWrite),
    outbox: &Outbox,
    opened: Instant,
    read: BytesMut,
) -> io::Result<()> {
    tokio::select! {
        ended = receive(protocol, reader, opened, read) => ended,
        ended = write::<P>(outbox, writer) => ended,
    }
}

async fn receive<P: Protocol>(
    protocol: &P,
    reader: impl AsyncRead,
    opened: Instant,
    mut unread: BytesMut,
) -> io::Result<()> {
    let (mut reader, mut ask) = (pin!(reader), pin!(sleep_until(opened + P::TO_PROVE)));
    let mut pace = Pace::new();
    loop {
        while let Some(Framed { message, end }) = P::first(&unread)? {
            let (message, length) = (unread.get(message.clone()).unwrap_or_default(), message.len());
            let sender = protocol.receive(message).ok_or(io::ErrorKind::QuotaExceeded)?;
            unread.advance(end);
            pace.charge(length, sender).await.map_err(|_| io::ErrorKind::QuotaExceeded)?;
        }
        // Returns the memory of handled bytes.
        unread = BytesMut::from(&unread[..]);
        let silent_since = Instant::now();
        let count = loop {
            tokio::select! {
                count = poll_fn(|cx| poll_read(cx, reader.as_mut(), &mut unread)) => break count?,
                () = &mut ask => {
                    let next = protocol.patience(silent_since).ok_or(io::ErrorKind::TimedOut)?;
                    ask.as_mut().reset(next);
                }
            }
        };
        if count == 0 {
            return Ok(());
        }
    }
}

/// Adds what has come.
fn poll_read(
    cx: &mut Context<'_>,
    reader: Pin<&mut impl AsyncRead>,
    unread: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let mut scratch = ReadBuf::new(scratch);
        ready!(reader.poll_read(cx, &mut scratch))?;
        unread.extend_from_slice(scratch.filled());
        Poll::Ready(Ok(scratch.filled().len()))
    })
}

async fn write<P: Protocol>(outbox: &Outbox, writer: impl AsyncWrite) -> io::Result<()> {
    let mut writer = pin!(writer);
    loop {
        let waiting = outbox.take().await;
        let mut waiting = &waiting[..];
        while !waiting.is_empty() {
            let (mut part, rest) = waiting.split_at_checked(P::at_once(waiting)).unwrap_or((waiting, &[]));
            while !part.is_empty() {
                let count = timeout(P::TO_READ, writer.write(part)).await??;
                if count == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                part = part.get(count..).unwrap_or_default();
            }
            waiting = rest;
        }
        timeout(P::TO_READ, writer.flush()).await??;
    }
}
