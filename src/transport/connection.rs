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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::timeout;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_stuck_fails_after_ten_seconds() {
        let (_client, server) = duplex(16);
        let mut connection = Connection::new(server);
        connection.write_all(&[0; 16]).await.unwrap();
        assert!(timeout(STALL - MS, connection.write_all(&[0; 16])).await.is_err(), "waits so long");
        // It is the connection that counts, not who waits.
        let failed = timeout(MS, connection.write_all(&[0; 16])).await.expect("an end");
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_may_go_on_for_as_long_as_something_moves() {
        let (mut client, server) = duplex(16);
        let mut connection = Connection::new(server);
        let write = async {
            connection.write_all(&[7; 64]).await.unwrap();
            drop(connection);
        };
        let read = async {
            for _ in 0..64 {
                sleep(STALL - MS).await;
                assert_eq!(client.read_u8().await.unwrap(), 7);
            }
            assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
        };
        tokio::join!(write, read);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_has_no_time_that_runs_out() {
        let (mut client, server) = duplex(16);
        let mut connection = Connection::new(server);
        for _ in 0..3 {
            connection.write_all(b"answer").await.unwrap();
            client.read_exact(&mut [0; 6]).await.unwrap();
            sleep(STALL * 2).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn beside_a_stream_no_more_is_read_than_its_bound() {
        let (mut client, server) = duplex(2 * READ_BESIDE_STREAM);
        let mut connection = Connection::new(server);
        client.write_all(&[1; 100]).await.unwrap();
        connection.read_exact(&mut [0; 100]).await.unwrap();
        connection.watch().begin_stream();
        client.write_all(&[2; 2 * READ_BESIDE_STREAM]).await.unwrap();
        let (mut buffer, mut count) = ([0; 1000], 0);
        while let Ok(read) = timeout(MS, connection.read(&mut buffer)).await {
            count += read.unwrap();
        }
        assert!((READ_BESIDE_STREAM..READ_BESIDE_STREAM + buffer.len()).contains(&count), "{count}");
        connection.write_all(b"goes on").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_hears_that_its_client_has_left() {
        let (client, server) = duplex(16);
        let mut connection = Connection::new(server);
        let watch = connection.watch();
        watch.begin_stream();
        let mut ended = ended_of(&watch);
        assert!(timeout(MS, &mut ended).await.is_err());
        drop(client);
        assert_eq!(connection.read(&mut [0; 8]).await.unwrap(), 0);
        ended.await;
    }

    fn ended_of(watch: &Rc<Watch>) -> Pin<Box<dyn Future<Output = ()>>> {
        let watch = Rc::clone(watch);
        Box::pin(poll_fn(move |cx| watch.poll_ended(cx)))
    }
}
