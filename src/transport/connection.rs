//! What HTTP speaks through: a connection that gives up on clients that do not go on, and reads no more
//! than HTTP can do something with. A WebSocket takes the bare connection out of it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::exchange::Exchange;
use super::upgrade::{Split, Takeover};
use crate::limits::ConnectionPermit;

/// How long a client may take to read anything at all of an answer.
const STALL: Duration = Duration::from_secs(10);

/// How long a client may take to begin its next request, and then to send the whole head.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection below HTTP.
pub(crate) struct Connection<T> {
    io: T,
    exchange: Rc<Exchange>,
    /// Runs while a write is stuck.
    stall: Option<Pin<Box<Sleep>>>,
    /// HTTP has something to write that does not go through yet.
    is_writing: bool,
    /// Looks from time to time whether the client owes a request for too long.
    overdue: Option<Pin<Box<Sleep>>>,
}

impl<T> Connection<T> {
    /// `counted` is its place among the connections of its address.
    pub(crate) fn new(io: T, counted: Option<ConnectionPermit>) -> Self {
        let exchange = Rc::new(Exchange::new(counted));
        Connection { io, exchange, stall: None, is_writing: false, overdue: None }
    }

    pub(crate) fn exchange(&self) -> Rc<Exchange> {
        Rc::clone(&self.exchange)
    }

    /// Bounds how long a write may be stuck.
    fn timed<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        self.is_writing = true;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL)));
        stall.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ready when the client has owed a request for too long, whatever HTTP thinks of it. The timer is not set
    /// anew for each request: it runs out, and looks how it stands.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let overdue = self.overdue.get_or_insert_with(|| Box::pin(sleep(REQUEST_TIMEOUT)));
        loop {
            ready!(overdue.as_mut().poll(cx));
            let now = Instant::now();
            let is_owing = !self.is_writing && !self.exchange.is_handling();
            let due = if is_owing { self.exchange.owing_since() } else { now } + REQUEST_TIMEOUT;
            if due <= now {
                return Poll::Ready(());
            }
            overdue.as_mut().reset(due);
        }
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
        let this = &mut *self;
        if this.poll_overdue(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if this.is_writing {
            return this.exchange.hold_back(cx);
        }
        let most = ready!(this.exchange.poll_readable(cx)).min(buf.remaining());
        let mut some = ReadBuf::new(buf.initialize_unfilled_to(most));
        let read = Pin::new(&mut this.io).poll_read(cx, &mut some);
        let count = some.filled().len();
        match &read {
            Poll::Ready(Ok(())) if count > 0 => this.exchange.has_read(count),
            Poll::Ready(Ok(())) if most == 0 => {}
            Poll::Ready(_) => this.exchange.end(),
            Poll::Pending => this.exchange.has_read_all(),
        }
        buf.advance(count);
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

    /// HTTP flushes when all that it has is written, so a client that was slow to read owes a request only
    /// from here on.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        let flushed = ready!(self.timed(cx, flushed));
        if std::mem::take(&mut self.is_writing) {
            self.exchange.restart_time();
            self.exchange.resume();
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.timed(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::join;
    use tokio::time::timeout;

    use super::*;
    use crate::transport::exchange::{AHEAD, TURN};

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_stuck_fails_after_ten_seconds() {
        let (_client, server) = duplex(16);
        let mut connection = Connection::new(server, None);
        connection.write_all(&[0; 16]).await.unwrap();
        assert!(
            timeout(Duration::from_secs(10) - MS, connection.write_all(&[0; 16])).await.is_err(),
            "waits so long"
        );
        // It is the connection that counts, not who waits.
        let failed = timeout(MS, connection.write_all(&[0; 16])).await.expect("an end");
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_may_go_on_for_as_long_as_something_moves() {
        let (mut client, server) = duplex(16);
        let mut connection = Connection::new(server, None);
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

    /// What HTTP does: it reads, and is polled again if it is woken.
    async fn read(connection: &mut Connection<DuplexStream>) -> io::Result<usize> {
        connection.read(&mut [0; 8 << 10]).await
    }

    async fn is_held(connection: &mut Connection<DuplexStream>) -> bool {
        timeout(MS, read(connection)).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_finish_a_head_is_cut_off_however_many_bytes_come() {
        let (mut client, server) = duplex(16);
        let mut connection = Connection::new(server, None);
        sleep(REQUEST_TIMEOUT - MS).await;
        let begin = Instant::now();
        let drip = async {
            while client.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        };
        let serve = async {
            let error = loop {
                match read(&mut connection).await {
                    Ok(count) => assert_eq!(count, 1),
                    Err(error) => break error,
                }
            };
            drop(connection);
            error.kind()
        };
        let (failed, ()) = join!(serve, drip);
        assert_eq!(failed, io::ErrorKind::TimedOut);
        let took = begin.elapsed();
        assert!(
            took >= REQUEST_TIMEOUT && took < REQUEST_TIMEOUT + 2 * MS + Duration::from_secs(1),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn no_time_runs_out_while_a_request_is_handled_and_one_begins_after_it() {
        let (mut client, server) = duplex(16);
        let mut connection = Connection::new(server, None);
        for _ in 0..3 {
            client.write_all(b"request").await.unwrap();
            assert_eq!(read(&mut connection).await.unwrap(), 7);
            let handled = connection.exchange().handle();
            assert!(timeout(REQUEST_TIMEOUT * 10, read(&mut connection)).await.is_err());
            drop(handled);
        }
        assert!(timeout(REQUEST_TIMEOUT - MS, read(&mut connection)).await.is_err());
        let failed = timeout(2 * MS, read(&mut connection)).await.expect("an end").unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_slow_to_read_an_answer_owes_no_request_meanwhile() {
        let (mut client, server) = duplex(16);
        let mut connection = Connection::new(server, None);
        connection.write_all(&[0; 16]).await.unwrap();
        for _ in 0..4 {
            assert!(timeout(STALL - MS, connection.write_all(&[0])).await.is_err());
            assert!(is_held(&mut connection).await, "nothing is read before the answer is written");
            client.read_exact(&mut [0]).await.unwrap();
            connection.write_all(&[0]).await.unwrap();
        }
        connection.flush().await.unwrap();
        client.write_all(b"next").await.unwrap();
        assert_eq!(read(&mut connection).await.unwrap(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn beside_a_request_hardly_anything_is_read_but_the_body_that_is_waited_for() {
        let (mut client, server) = duplex(100 * TURN);
        let mut connection = Connection::new(server, None);
        client.write_all(b"request").await.unwrap();
        assert_eq!(read(&mut connection).await.unwrap(), 7);
        let handled = connection.exchange().handle();
        client.write_all(&[1; 50 * TURN]).await.unwrap();
        assert_eq!(read(&mut connection).await.unwrap(), AHEAD);
        assert!(is_held(&mut connection).await);
        for _ in 0..3 {
            connection.exchange().want_body();
            assert_eq!(read(&mut connection).await.unwrap(), TURN);
            assert!(is_held(&mut connection).await);
        }
        drop(handled);
        assert_eq!(read(&mut connection).await.unwrap(), TURN);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_held_back_goes_on_when_the_request_is_answered() {
        let (mut client, server) = duplex(100 * TURN);
        let mut connection = Connection::new(server, None);
        client.write_all(b"request").await.unwrap();
        assert_eq!(read(&mut connection).await.unwrap(), 7);
        let handled = connection.exchange().handle();
        client.write_all(&[1; 50 * TURN]).await.unwrap();
        assert_eq!(read(&mut connection).await.unwrap(), AHEAD);
        let answer = async {
            sleep(MS).await;
            drop(handled);
        };
        let (count, ()) = join!(read(&mut connection), answer);
        assert_eq!(count.unwrap(), TURN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_hears_that_its_client_has_left() {
        let (client, server) = duplex(16);
        let mut connection = Connection::new(server, None);
        let exchange = connection.exchange();
        let _handled = exchange.handle();
        let mut ended = pin!(poll_fn(|cx| exchange.poll_ended(cx)));
        assert!(timeout(MS, &mut ended).await.is_err());
        drop(client);
        assert_eq!(read(&mut connection).await.unwrap(), 0);
        ended.await;
    }
}
