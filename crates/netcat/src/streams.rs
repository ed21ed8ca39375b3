//! Streams over one connection, each slowed by its own reader only: yamux on messages of bytes.

use std::future::{poll_fn, ready};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready as try_ready};

use bytes::Bytes;
use futures_util::{Sink, Stream as Messages, StreamExt as _, stream};
use tokio::io::{
    AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, BufWriter, ReadBuf, copy_buf, sink, split,
};
use tokio::process::Child;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _, TokioAsyncReadCompatExt as _};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};
use tokio_util::task::AbortOnDropHandle;
use yamux::{Config, Connection, DEFAULT_CREDIT, Mode};

/// The direction to the other end.
pub(crate) type Outgoing<T> = Pin<Box<dyn Sink<T, Error = io::Error> + Send>>;
/// The direction from the other end.
pub(crate) type Incoming<T> = Pin<Box<dyn Messages<Item = io::Result<T>> + Send>>;

/// Most streams of a connection at once.
pub(crate) const MAX_STREAMS: usize = 256;
/// yamux ends a connection that has more streams. Those that have just ended count for a moment.
const HARD_MAX_STREAMS: usize = MAX_STREAMS + 64;
/// The bytes by which the windows of all streams may grow together, beyond 256 KiB for each.
const GROWTH: usize = 3 << 20;
/// Most bytes of a message.
pub(crate) const MAX_MESSAGE: usize = 60 << 10;
/// The header of a frame (yamux, "Header").
const HEADER: usize = 12;

fn config() -> Config {
    let mut config = Config::default();
    config.set_max_num_streams(HARD_MAX_STREAMS);
    config.set_max_connection_receive_window(Some(HARD_MAX_STREAMS * DEFAULT_CREDIT as usize + GROWTH));
    // A frame fills a message.
    config.set_split_send_size(MAX_MESSAGE - HEADER);
    config
}

/// The streams of a connection. Its drop breaks the connection off; `close` ends it.
pub(crate) struct Streams {
    wanted: mpsc::Sender<oneshot::Sender<Stream>>,
    opened: mpsc::Receiver<Stream>,
    driver: AbortOnDropHandle<io::Result<()>>,
}

impl Streams {
    pub(crate) fn new(to: Outgoing<Bytes>, from: Incoming<Bytes>, is_caller: bool) -> Self {
        // yamux says when it is done; a connection that ends without that was lost.
        let lost = stream::once(ready(Err(io::ErrorKind::UnexpectedEof.into())));
        let read = StreamReader::new(from.chain(lost));
        // Gathers frames while a message is on its way.
        let write = BufWriter::with_capacity(MAX_MESSAGE, SinkWriter::new(CopyToBytes::new(to)));
        let mode = if is_caller { Mode::Client } else { Mode::Server };
        let connection = Connection::new(tokio::io::join(read, write).compat(), config(), mode);
        let (wanted, requests) = mpsc::channel(1);
        let (opening, opened) = mpsc::channel(HARD_MAX_STREAMS);
        let driver = AbortOnDropHandle::new(tokio::spawn(drive(connection, requests, opening)));
        Streams { wanted, opened, driver }
    }

    /// Opens a stream, which the other end hears of at once. `None` if the connection has ended.
    pub(crate) async fn open(&self) -> Option<Stream> {
        let (opened, stream) = oneshot::channel();
        self.wanted.send(opened).await.ok()?;
        let mut stream = stream.await.ok()?;
        // yamux tells of a stream with its first frame; ours may be one that listens first.
        poll_fn(|cx| Pin::new(&mut stream).poll_write(cx, &[])).await.ok()?;
        Some(stream)
    }

    /// The next stream that the other end opens; `None` if the connection has ended. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Stream> {
        self.opened.recv().await
    }

    /// Waits for the end of the connection. Cancel safe.
    pub(crate) async fn ended(&self) {
        self.wanted.closed().await;
    }

    /// Tells the other end that all is done, unless it has said so; an error if the connection was lost.
    pub(crate) async fn close(self) -> io::Result<()> {
        drop(self.wanted);
        self.driver.await.map_err(io::Error::other)?
    }
}

/// Runs a connection until its end, which the other end or a drop of `requests` brings.
async fn drive<T: futures_util::AsyncRead + futures_util::AsyncWrite + Unpin>(
    mut connection: Connection<T>,
    mut requests: mpsc::Receiver<oneshot::Sender<Stream>>,
    opening: mpsc::Sender<Stream>,
) -> io::Result<()> {
    let is_lost = Arc::new(AtomicBool::new(false));
    let new = |inner: yamux::Stream| Stream {
        inner: inner.compat(),
        is_shut: false,
        ends_with_other: false,
        is_lost: Arc::clone(&is_lost),
        is_over: Arc::default(),
    };
    let mut request: Option<oneshot::Sender<Stream>> = None;
    let mut is_closing = false;
    let ended = poll_fn(|cx| {
        loop {
            while !is_closing {
                if request.is_none() {
                    match requests.poll_recv(cx) {
                        Poll::Ready(Some(next)) => request = Some(next),
                        Poll::Ready(None) => is_closing = true,
                        Poll::Pending => break,
                    }
                    continue;
                }
                match connection.poll_new_outbound(cx) {
                    Poll::Ready(stream) => {
                        let stream = new(stream?);
                        if let Some(request) = request.take() {
                            // An asker that is gone resets it.
                            drop(request.send(stream));
                        }
                    }
                    Poll::Pending => break,
                }
            }
            if is_closing {
                return connection.poll_close(cx);
            }
            match try_ready!(connection.poll_next_inbound(cx)) {
                // A stream that nobody takes is reset by its drop.
                Some(stream) => drop(opening.try_send(new(stream?))),
                None => return Poll::Ready(Ok(())),
            }
        }
    })
    .await;
    // Before any reader sees the end: all run on one thread.
    is_lost.store(ended.is_err(), Ordering::Relaxed);
    ended.map_err(io::Error::other)
}

/// A stream. Its drop tells the other end that nobody reads it any more, unless it was shut down.
pub(crate) struct Stream {
    inner: Compat<yamux::Stream>,
    is_shut: bool,
    ends_with_other: bool,
    is_lost: Arc<AtomicBool>,
    /// True once the other end has sent all, and reads no more.
    is_over: Arc<AtomicBool>,
}

impl Stream {
    /// Ends our direction once the other end has ended its own.
    pub(crate) fn end_with_other(&mut self) {
        self.ends_with_other = true;
    }

    /// Copies both ways until both have ended. A process may end without reading all; then both ways end.
    pub(crate) async fn join(
        self,
        from: impl AsyncRead,
        to: impl AsyncWrite,
        process: Option<&mut Child>,
    ) -> io::Result<()> {
        let is_over = Arc::clone(&self.is_over);
        let ends_with_other = self.ends_with_other;
        let (read, mut write) = split(self);
        let mut read = BufReader::with_capacity(MAX_MESSAGE, read);
        let from = pin!(from);
        let mut from = BufReader::with_capacity(MAX_MESSAGE, from);
        let is_process = process.is_some();
        let stop = Notify::new();
        // Its end closes the stdin of a process.
        let mut inward = pin!(async {
            let to = to;
            let mut to = pin!(to);
            let copied = copy_buf(&mut read, &mut to).await;
            if is_process && is_closed(&copied) {
                copy_buf(&mut read, &mut sink()).await?;
                return Ok(());
            }
            copied?;
            to.shutdown().await
        });
        let mut outward = pin!(async {
            let copied = tokio::select! {
                copied = copy_buf(&mut from, &mut write) => copied,
                () = stop.notified() => Ok(0),
            };
            match copied {
                // The other end reads no more.
                Err(error) if error.kind() == io::ErrorKind::WriteZero => return Ok(false),
                copied => copied?,
            };
            if let Some(process) = process {
                process.wait().await?;
                return Ok(true);
            }
            write.shutdown().await?;
            Ok::<_, io::Error>(false)
        });
        tokio::select! {
            done = &mut inward => {
                done?;
                if ends_with_other {
                    stop.notify_one();
                }
                if !is_over.load(Ordering::Relaxed) {
                    outward.await?;
                }
            }
            is_done = &mut outward => if !is_done? { inward.await?; }
        }
        Ok(())
    }
}

/// True if a process reads no more. It may go on all the same.
pub(crate) fn is_closed<T>(written: &io::Result<T>) -> bool {
    matches!(written, Err(error) if error.kind() == io::ErrorKind::BrokenPipe)
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.remaining();
        try_ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if buf.remaining() == before && before > 0 {
            if self.is_lost.load(Ordering::Relaxed) {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "the connection was lost",
                )));
            }
            self.is_over.store(!self.is_shut && self.inner.get_ref().is_closed(), Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut = true;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
