//! What HTTP speaks through: a connection that gives up on clients that do not read, and knows when
//! one has left. A WebSocket takes the bare connection out of it.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::upgrade::{Split, Takeover};

/// How long a client may take to read anything at all of an answer.
const STALL: Duration = Duration::from_secs(10);

/// Most bytes that are read while an answer without end is sent: nothing that comes can be answered,
/// and actix-http runs in circles when its buffer is full.
const READ_BESIDE_STREAM: usize = 32 << 10;

/// A connection below HTTP.
pub(crate) struct Connection<T> {
    io: T,
    watch: Rc<Watch>,
    stall: Option<Pin<Box<Sleep>>>,
}

/// Tells an answer without end that its client has left: actix-http writes on until that fails, which
/// may be long after.
#[derive(Default)]
pub(crate) struct Watch {
    ended: Cell<bool>,
    /// Bytes that may still be read, if there is a bound.
    readable: Cell<Option<usize>>,
    waiting: RefCell<Option<Waker>>,
}

impl<T> Connection<T> {
    pub(crate) fn new(io: T) -> Self {
        Connection { io, watch: Rc::default(), stall: None }
    }

    pub(crate) fn watch(&self) -> Rc<Watch> {
        Rc::clone(&self.watch)
    }

    /// Bounds how long a write may be stuck.
    fn timed<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL)));
        stall.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Watch {
    /// From now on an answer without end is sent.
    pub(crate) fn begin_stream(&self) {
        self.readable.set(Some(READ_BESIDE_STREAM));
    }

    /// Ready when the client has left.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ended.get() {
            return Poll::Ready(());
        }
        self.waiting.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn end(&self) {
        self.ended.set(true);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

impl<T: Takeover> Takeover for Connection<T> {
    fn split(self) -> Split {
        self.io.split()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.watch.readable.get() == Some(0) {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        let count = buf.filled().len() - before;
        let left = self.watch.readable.get().map(|readable| readable.saturating_sub(count));
        self.watch.readable.set(left);
        match &read {
            Poll::Ready(Ok(())) if count == 0 && buf.remaining() > 0 => self.watch.end(),
            Poll::Ready(Err(_)) => self.watch.end(),
            _ => {}
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.timed(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.timed(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.timed(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
