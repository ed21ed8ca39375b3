//! The server's own transport: the connection is taken over from HTTP, so that an idle peer keeps
//! no HTTP buffers.
//!
//! Over plain TCP, whoever sends to a peer writes straight into that peer's socket. With TLS only
//! the session's own task can write; there a flush of the outbox wakes it.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use actix_codec::FramedParts;
use actix_http::h1;
use actix_tls::accept::rustls_0_23::TlsStream;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::decoder::Decoder;
use super::unfinished::Unfinished;
use super::{Bounds, Disconnect, Event, Socket};
use crate::broker::{Outbox, Writer};
use crate::wire::Frame;

/// Bytes read at once. One buffer of this size serves all connections of a worker.
const SCRATCH: usize = 64 << 10;

/// Bytes that the kernel keeps until the client has acknowledged them. Linux doubles this for its own
/// needs.
const SEND_BUFFER: usize = 64 << 10;

/// Bytes that the kernel takes before it has sent what it has.
#[cfg(any(target_os = "linux", target_os = "android"))]
const NOT_SENT: u32 = 16 << 10;

thread_local! {
    static SCRATCH_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// A connection that was taken over.
pub(crate) struct UpgradedSocket {
    io: Io,
    opening: Option<Box<Opening>>,
    decoder: Decoder,
}

/// What is needed only once.
struct Opening {
    answer: Vec<u8>,
    writer: Option<Box<dyn Writer>>,
    /// What the client sent behind its handshake, without waiting for the answer.
    early: Result<Unfinished, Disconnect>,
}

enum Io {
    Plain(OwnedReadHalf),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection that can be taken over from HTTP.
pub(crate) trait Takeover: Sized {
    fn split(self) -> Split;
}

/// Its two sides; without a writer, only the session's own task can write.
pub(crate) struct Split {
    io: Io,
    writer: Option<Box<dyn Writer>>,
}

/// Keeps the kernel's queue for this connection short. Its bytes cannot be taken back or overtaken: on a
/// slow link even the ping that asks a client for a sign of life waits until they have gone. A window of
/// this size is enough for signaling on any network.
fn shorten_send_queue(tcp: &TcpStream) {
    let socket = SockRef::from(tcp);
    let set = socket.set_send_buffer_size(SEND_BUFFER);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let set = set.and_then(|()| socket.set_tcp_notsent_lowat(NOT_SENT));
    if let Err(error) = set {
        log::debug!("cannot shorten a send queue: {error}");
    }
}

impl Takeover for TcpStream {
    fn split(self) -> Split {
        shorten_send_queue(&self);
        let (read, write) = self.into_split();
        Split { io: Io::Plain(read), writer: Some(Box::new(TcpWriter(write))) }
    }
}

impl Takeover for TlsStream<TcpStream> {
    fn split(self) -> Split {
        shorten_send_queue(self.get_ref().0);
        Split { io: Io::Tls(Box::new(self)), writer: None }
    }
}

/// Shuts the sending direction down when it is dropped.
struct TcpWriter(OwnedWriteHalf);

impl Writer for TcpWriter {
    fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        match bytes {
            [one] => self.0.try_write(one),
            many => self.0.try_write_vectored(many),
        }
    }
}

impl UpgradedSocket {
    /// Takes the connection over and lets go of HTTP's buffers. `answer` accepts the handshake.
    pub(crate) fn new<T: Takeover>(
        parts: FramedParts<T, h1::Codec>,
        answer: Vec<u8>,
        bounds: Bounds,
    ) -> Self {
        let Split { io, writer } = parts.io.split();
        let early = Unfinished::copy(&parts.read_buf, &bounds.unfinished);
        // Answers to requests in front of the handshake that are not written yet.
        let mut opening = parts.write_buf.to_vec();
        opening.extend_from_slice(&answer);
        UpgradedSocket {
            io,
            opening: Some(Box::new(Opening { answer: opening, writer, early })),
            decoder: Decoder::new(bounds),
        }
    }
}

impl Socket for UpgradedSocket {
    fn open_outbox(&mut self, limit: usize) -> Outbox {
        let opening = self.opening.as_mut();
        let (answer, writer) = opening
            .map(|opening| (std::mem::take(&mut opening.answer), opening.writer.take()))
            .unwrap_or_default();
        let mut outbox = Outbox::direct(limit, writer);
        outbox.push_opening(Frame::raw(answer));
        outbox
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Poll<Result<(), Disconnect>> {
        if let Some(opening) = self.opening.take() {
            let mut early = opening.early?;
            if early.len() > 0 {
                return Poll::Ready(self.decoder.feed(early.bytes_mut(), on_event));
            }
        }
        SCRATCH_BUFFER.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            match ready!(self.io.poll_read(cx, &mut buf)) {
                Ok(()) if buf.filled().is_empty() => Poll::Ready(Err(Disconnect::Gone)),
                Ok(()) => Poll::Ready(self.decoder.feed(buf.filled_mut(), on_event)),
                Err(_) => Poll::Ready(Err(Disconnect::Gone)),
            }
        })
    }

    fn has_left(&mut self, cx: &mut Context<'_>) -> bool {
        // Ready at once, because unread input is there, or else pending with nobody to be woken.
        let ready = match &self.io {
            Io::Plain(read) => pin!(read.ready(Interest::READABLE)).poll(cx),
            Io::Tls(tls) => pin!(tls.get_ref().0.ready(Interest::READABLE)).poll(cx),
        };
        matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(read) => {
                while (!outbox.is_empty() || outbox.is_blocked()) && !outbox.is_broken() {
                    // Asked for first: to try a full socket would wake this task again and again.
                    ready!(read.as_ref().poll_write_ready(cx))?;
                    outbox.unblock();
                    outbox.flush();
                }
                if outbox.is_broken() {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                Poll::Ready(Ok(()))
            }
            Io::Tls(tls) => {
                let mut tls = Pin::new(tls);
                if outbox.is_broken() {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                while !outbox.is_empty() {
                    let mut slices = Outbox::slices();
                    let slices = outbox.gather(&mut slices);
                    let count = ready!(tls.as_mut().poll_write_vectored(cx, slices))?;
                    outbox.advance(count);
                }
                ready!(tls.poll_flush(cx))?;
                outbox.unblock();
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            // Done by the drop of the outbox and its writer.
            Io::Plain(_) => Poll::Ready(Ok(())),
            Io::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

impl Io {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Io::Plain(read) => Pin::new(read).poll_read(cx, buf),
            Io::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}
