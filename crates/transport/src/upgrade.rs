//! The server's own transport. It takes the connection over from HTTP, so that an idle peer keeps no
//! HTTP buffers.
//!
//! Over plain TCP, the sender of a message writes directly into the recipient's socket. With TLS only
//! the recipient's task can write; a flush of its outbox wakes it.

use std::cell::RefCell;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use actix_codec::FramedParts;
use actix_http::h1;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::client_stream::{ClientStream, ReadHalf};
use super::decoder::Decoder;
use super::tls_stream::TlsStream;
use super::{OnEvent, Socket};
use peerbroker_core::vocabulary::Frame;
use peerbroker_router::Disconnect;
use peerbroker_router::{Outbox, Writer};

/// Maximum bytes per read. All connections of a worker share one buffer of this size.
const SCRATCH: usize = 64 << 10;

/// Size of the kernel's send buffer. Linux doubles it for its bookkeeping (socket(7), `SO_SNDBUF`).
const SEND_BUFFER: usize = 64 << 10;

thread_local! {
    static SCRATCH_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into_boxed_slice());
}

/// A WebSocket on a connection taken over from HTTP.
pub struct UpgradedSocket {
    io: Io,
    handshake: Option<Box<HandshakeData>>,
    decoder: Decoder,
}

/// Data that only the start of the session needs. Boxed, so that it is freed after that.
#[derive(Default)]
struct HandshakeData {
    response: Vec<u8>,
    writer: Option<Box<dyn Writer>>,
}

/// The reading direction of a connection, and the writing one too if only the session's own task can write.
pub enum Io {
    /// The writing direction belongs to the outbox.
    Plain(ReadHalf),
    /// Both directions share the state of TLS.
    Tls(Box<TlsStream<ClientStream>>),
}

/// A connection that can be upgraded from HTTP to a WebSocket.
pub trait Upgradable: Sized {
    /// The connection below, as the kernel has it.
    fn stream(&self) -> &ClientStream;

    /// The two directions. Without a writer, only the session's own task can write.
    fn into_halves(self) -> (Io, Option<Box<dyn Writer>>);
}

/// Keeps the kernel's send queue short. Nothing can overtake its bytes, so on a slow network a ping would
/// wait behind them. Signaling needs no larger window. The listener has limited the unsent ones.
fn shorten_send_queue(io: &ClientStream) {
    if let Err(error) = io.set_send_buffer_size(SEND_BUFFER) {
        log::debug!("cannot shorten a send queue: {error}");
    }
}

impl Upgradable for ClientStream {
    fn stream(&self) -> &ClientStream {
        self
    }

    fn into_halves(self) -> (Io, Option<Box<dyn Writer>>) {
        let (read, write) = ClientStream::into_halves(self);
        (Io::Plain(read), Some(write))
    }
}

impl Upgradable for Box<TlsStream<ClientStream>> {
    fn stream(&self) -> &ClientStream {
        self.get_ref()
    }

    fn into_halves(self) -> (Io, Option<Box<dyn Writer>>) {
        (Io::Tls(self), None)
    }
}

/// A connection that is being taken over from HTTP.
pub struct Upgrade<T> {
    /// The connection, and what was read behind the request.
    pub parts: FramedParts<T, h1::Codec>,
    /// Accepts the handshake.
    pub response: Vec<u8>,
    /// Reads the frames.
    pub decoder: Decoder,
}

impl<T: Upgradable> Upgrade<T> {
    /// Begins the WebSocket, and drops the buffers of HTTP. The outbox of the socket has the answer to the
    /// handshake.
    pub fn open(self) -> UpgradedSocket {
        let Upgrade { parts, response, decoder } = self;
        // Behind responses to earlier requests on this connection, which may still be unwritten.
        let response = [&parts.write_buf[..], &response].concat();
        // Of messages that are passed on in parts, the kernel may keep as much unsent as the way needs.
        if !decoder.is_in_parts() {
            shorten_send_queue(parts.io.stream());
        }
        let (io, writer) = parts.io.into_halves();
        // The client may have sent something before it got the response.
        let decoder = decoder.with_input(&parts.read_buf);
        UpgradedSocket { io, handshake: Some(Box::new(HandshakeData { response, writer })), decoder }
    }
}

impl Socket for UpgradedSocket {
    fn open_outbox(&mut self, limit: usize) -> Outbox {
        let HandshakeData { response, writer } = self.handshake.take().map(|data| *data).unwrap_or_default();
        let mut outbox = Outbox::direct(limit, writer);
        outbox.push_opening(Frame::raw(response));
        outbox
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, on_event: OnEvent<'_>) -> Poll<Result<(), Disconnect>> {
        if let Some(resumed) = self.decoder.resume(on_event) {
            return Poll::Ready(resumed);
        }
        SCRATCH_BUFFER.with_borrow_mut(|scratch| {
            let mut buf = ReadBuf::new(scratch);
            let read = match &mut self.io {
                Io::Plain(read) => read.poll_read(cx, &mut buf),
                Io::Tls(tls) => Pin::new(tls).poll_read(cx, &mut buf),
            };
            match ready!(read) {
                Ok(()) if buf.filled().is_empty() => Poll::Ready(Err(Disconnect::Gone)),
                Ok(()) => Poll::Ready(self.decoder.feed(buf.filled_mut(), on_event)),
                Err(_) => Poll::Ready(Err(Disconnect::Gone)),
            }
        })
    }

    fn has_left(&mut self, cx: &mut Context<'_>) -> bool {
        // Unread input makes this ready at once. Otherwise it stays pending and registers no waker.
        let ready = match &self.io {
            Io::Plain(read) => read.poll_readable(cx),
            Io::Tls(tls) => pin!(tls.get_ref().ready(Interest::READABLE)).poll(cx),
        };
        matches!(ready, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(read) => {
                while (!outbox.is_empty() || outbox.is_blocked()) && !outbox.is_broken() {
                    // A write to a full socket would wake this task in a loop, so check first.
                    ready!(read.poll_writable(cx))?;
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

    fn begin_shutdown(&mut self) {
        if let Io::Tls(tls) = &mut self.io {
            tls.end();
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            // The drop of the outbox and its writer has done this.
            Io::Plain(_) => Poll::Ready(Ok(())),
            Io::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
