//! The connection below HTTP. It closes clients that stop reading or sending, and reads only as much as
//! HTTP can handle. A WebSocket takes the inner connection out of it.
//!
//! actix-http has no time limit for writes, for a second head, or while a chunked body is unread. It parses
//! all that it can read before it handles any of it, 3 KB for each pipelined request. It spins while its
//! buffer is full, and continues an answer whose client is gone until writing fails.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::{Payload, Request, Response};
use actix_web::dev::{Service, ServiceResponse};
use bytes::Bytes;
use futures_util::stream::{StreamExt as _, poll_fn};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::TakeOver;
use super::client_stream::ClientStream;
use super::upgrade::{Io, Upgradable};
use peerbroker_limits::ConnectionPermit;
use peerbroker_router::Writer;

/// Time for which a client may read nothing of a response.
const STALL: Duration = Duration::from_secs(10);

/// Time limit for a client to start its first request, and for each complete head.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for which a connection may be idle between two requests.
#[derive(Debug, PartialEq, Eq)]
pub struct IdleTime {
    told: Duration,
    /// The value of `Keep-Alive` that tells the client.
    pub keep_alive: &'static str,
}

/// As in Node.
const OF_CLIENTS: IdleTime = IdleTime { told: Duration::from_secs(5), keep_alive: "timeout=5" };

/// Balancers send the next request on a connection that is as old as theirs may be: 60 s for most, and 600 s
/// on Google Cloud.
const OF_PROXIES: IdleTime = IdleTime { told: Duration::from_secs(620), keep_alive: "timeout=620" };

/// An idle connection ends this much later than its client was told, so that a request that is on its way
/// then is answered.
const IN_FLIGHT: Duration = Duration::from_secs(1);

/// Most connections of each worker that may be idle for as long as those of proxies. They are a tenth of all
/// that it may have, so they cannot keep others out.
const MAX_KEPT: usize = 2500;

/// A connection below HTTP.
pub struct Connection<T> {
    io: T,
    state: Rc<ConnectionState>,
    /// Runs while a write is stuck.
    stall: Option<Pin<Box<Sleep>>>,
    /// HTTP has output that the connection has not taken yet.
    is_writing: bool,
    on_first_bytes: Option<TakeOver<T>>,
    /// Checks from time to time whether the next request is overdue.
    request_timer: Option<Pin<Box<Sleep>>>,
}

impl<T> Connection<T> {
    /// `permit` counts the connection towards the limit of its address.
    pub fn new(io: T, permit: Option<ConnectionPermit>) -> Self {
        let state = Rc::new(ConnectionState::new(permit));
        Connection { io, state, stall: None, is_writing: false, on_first_bytes: None, request_timer: None }
    }

    /// Calls `take` with the first bytes that are read, before HTTP has them. If that is true, it has taken
    /// the connection over, and reading fails.
    pub fn on_first_bytes(mut self, take: impl FnOnce(&T, &[u8]) -> bool + 'static) -> Self {
        self.on_first_bytes = Some(Box::new(take));
        self
    }

    /// The state that the services of this connection share.
    pub fn state(&self) -> Rc<ConnectionState> {
        Rc::clone(&self.state)
    }

    /// Fails a write that is stuck for longer than [`STALL`].
    fn timed<R>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<R>>) -> Poll<io::Result<R>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        self.is_writing = true;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(STALL)));
        stall.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ready when the next request is overdue. HTTP's own timeout is for the first head only. The timer is
    /// not reset for each request; it checks the state when it fires, and so often that no head has more than
    /// its time.
    fn poll_request_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let request_timer = self.request_timer.get_or_insert_with(|| Box::pin(sleep(REQUEST_TIMEOUT)));
        loop {
            ready!(request_timer.as_mut().poll(cx));
            let now = Instant::now();
            let is_waiting = !self.is_writing && !self.state.is_handling();
            let latest = now + REQUEST_TIMEOUT;
            let due = if is_waiting { self.state.due() } else { latest };
            if due <= now {
                return Poll::Ready(());
            }
            request_timer.as_mut().reset(due.min(latest));
        }
    }
}

/// True if these bytes begin a TLS handshake (RFC 8446, section 5.1).
pub fn is_tls(bytes: &[u8]) -> bool {
    bytes.starts_with(&[22, 3])
}

impl<T: Upgradable> Upgradable for Connection<T> {
    fn stream(&self) -> &ClientStream {
        self.io.stream()
    }

    fn into_halves(self) -> (Io, Option<Box<dyn Writer>>) {
        self.io.into_halves()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Connection<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.poll_request_timeout(cx).is_ready() {
            // HTTP ends an idle connection in good order, as if its client had, and TLS with a goodbye.
            let ended = if this.state.is_idle() { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) };
            return Poll::Ready(ended);
        }
        if this.is_writing {
            return this.state.pause_reading(cx);
        }
        let most = ready!(this.state.poll_readable(cx)).min(buf.remaining());
        let mut some = ReadBuf::new(buf.initialize_unfilled_to(most));
        let read = Pin::new(&mut this.io).poll_read(cx, &mut some);
        let count = some.filled().len();
        if count > 0
            && let Some(take) = this.on_first_bytes.take()
            && take(&this.io, some.filled())
        {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        match &read {
            Poll::Ready(Ok(())) if count > 0 => this.state.has_read(count),
            Poll::Ready(Ok(())) if most == 0 => {}
            Poll::Ready(_) => this.state.end(),
            Poll::Pending => this.state.has_read_all(),
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

    /// HTTP flushes after it has written everything. The time for the next request starts here, so a client
    /// that reads slowly loses none of it.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        let flushed = ready!(self.timed(cx, flushed));
        if std::mem::take(&mut self.is_writing) {
            self.state.restart_request_timeout();
            self.state.resume_reading();
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.timed(cx, shut)
    }
}

/// Maximum bytes that HTTP gets at once. It parses all requests in them, at 3 KB of memory each, before it
/// handles the second. So this limits pipelining to 38 minimal requests, or two or three of a browser.
const READ_SIZE: usize = 1 << 10;

/// Bytes that are read while a request is handled. Without a read, the end of the connection would go
/// unnoticed.
const READ_AHEAD: usize = 64;

/// State shared by a connection and its requests.
pub struct ConnectionState {
    permit: Option<ConnectionPermit>,
    active_requests: Cell<usize>,
    /// The time at which the server began to wait for a request: after the last response, or at the first
    /// byte of a head.
    waiting_since: Cell<Instant>,
    head_begun: Cell<bool>,
    has_answered: Cell<bool>,
    /// Requests for an id, up to 255.
    ids: Cell<u8>,
    kept: RefCell<Option<Kept>>,
    /// Nobody has read to the end of a request's body, so it may never come.
    owes_body: Cell<bool>,
    /// Bytes that HTTP may still read before it must handle its input.
    readable: Cell<usize>,
    ended: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    watcher: RefCell<Option<Waker>>,
}

/// A connection that may be idle for as long as one of a proxy.
struct Kept {
    may_stay: Box<dyn Fn() -> bool>,
    _permit: IdlePermit,
}

/// A place among the [`MAX_KEPT`] of a worker.
struct IdlePermit;

thread_local! {
    static PLACES_TAKEN: Cell<usize> = const { Cell::new(0) };
}

impl IdlePermit {
    fn take() -> Option<Self> {
        let taken = PLACES_TAKEN.get();
        (taken < MAX_KEPT).then(|| {
            PLACES_TAKEN.set(taken + 1);
            IdlePermit
        })
    }
}

impl Drop for IdlePermit {
    fn drop(&mut self) {
        PLACES_TAKEN.set(PLACES_TAKEN.get().saturating_sub(1));
    }
}

/// Marks a request as being handled, until HTTP has the complete response.
struct ActiveRequest(Rc<ConnectionState>);

impl ConnectionState {
    fn new(permit: Option<ConnectionPermit>) -> Self {
        ConnectionState {
            permit,
            active_requests: Cell::default(),
            waiting_since: Cell::new(Instant::now()),
            head_begun: Cell::default(),
            has_answered: Cell::default(),
            ids: Cell::default(),
            kept: RefCell::default(),
            owes_body: Cell::default(),
            readable: Cell::new(READ_SIZE),
            ended: Cell::default(),
            reader: RefCell::default(),
            watcher: RefCell::default(),
        }
    }

    /// Counts the connection towards the limit of its address.
    pub fn permit(&self) -> Option<&ConnectionPermit> {
        self.permit.as_ref()
    }

    /// Counts a request for an id. Returns the number of them.
    pub fn count_id(&self) -> u8 {
        self.ids.set(self.ids.get().saturating_add(1));
        self.ids.get()
    }

    /// Lets the connection be idle for as long as one of a proxy, while `may_stay` is true and the worker has
    /// a place.
    pub fn keep_while(&self, may_stay: impl Fn() -> bool + 'static) {
        let mut kept = self.kept.borrow_mut();
        if kept.is_none() {
            *kept = IdlePermit::take().map(|permit| Kept { may_stay: Box::new(may_stay), _permit: permit });
        }
    }

    /// Time for which the connection may be idle. A connection that waits for a body is not idle, and ends
    /// soon.
    pub fn idle_time(&self) -> &'static IdleTime {
        let is_kept =
            !self.owes_body.get() && self.kept.borrow().as_ref().is_some_and(|kept| (kept.may_stay)());
        if is_kept { &OF_PROXIES } else { &OF_CLIENTS }
    }

    /// True between two requests.
    fn is_idle(&self) -> bool {
        self.has_answered.get() && !self.head_begun.get()
    }

    /// The time at which the next request is overdue.
    fn due(&self) -> Instant {
        let time = if self.is_idle() { self.idle_time().told + IN_FLIGHT } else { REQUEST_TIMEOUT };
        self.waiting_since.get() + time
    }

    /// Ready when the client has closed its side.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ended.get() {
            return Poll::Ready(());
        }
        self.watcher.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn end(&self) {
        self.ended.set(true);
        if let Some(watcher) = self.watcher.take() {
            watcher.wake();
        }
    }

    fn is_handling(&self) -> bool {
        self.active_requests.get() > 0
    }

    /// Restarts the time for the next request.
    fn restart_request_timeout(&self) {
        self.waiting_since.set(Instant::now());
    }

    /// The number of bytes that may be read now.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<usize> {
        match self.readable.get() {
            0 if self.is_handling() => self.pause_reading(cx),
            0 => {
                // HTTP handles its input before it is polled again.
                self.readable.set(READ_SIZE);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            readable => Poll::Ready(readable),
        }
    }

    fn has_read(&self, count: usize) {
        self.readable.set(self.readable.get().saturating_sub(count));
        if !self.is_handling() && !self.head_begun.replace(true) {
            self.restart_request_timeout();
        }
    }

    fn has_read_all(&self) {
        if !self.is_handling() {
            self.readable.set(READ_SIZE);
        }
    }

    /// Stops reading until [`resume_reading`](Self::resume_reading).
    fn pause_reading<R>(&self, cx: &mut Context<'_>) -> Poll<R> {
        self.reader.replace(Some(cx.waker().clone()));
        Poll::Pending
    }

    fn resume_reading(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn handle(self: &Rc<Self>) -> ActiveRequest {
        self.active_requests.set(self.active_requests.get() + 1);
        self.readable.set(self.readable.get().min(READ_AHEAD));
        ActiveRequest(Rc::clone(self))
    }

    /// A handler waits for more of a body.
    fn want_body(&self) {
        self.readable.set(READ_SIZE);
        self.resume_reading();
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let requests = &self.0.active_requests;
        requests.set(requests.get().saturating_sub(1));
        self.0.head_begun.set(false);
        self.0.has_answered.set(true);
        self.0.restart_request_timeout();
        self.0.resume_reading();
    }
}

/// Lets the service handle a request and marks it as active on its connection.
pub fn handle<S>(
    mut request: Request,
    service: &S,
) -> impl Future<Output = Result<Response<ResponseBody>, S::Error>> + use<S>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>>,
{
    let active = request.conn_data::<Rc<ConnectionState>>().map(ConnectionState::handle);
    if let (Some(ActiveRequest(connection)), payload) = (&active, request.payload()) {
        // The body of the request before, if it had one, ended in front of this head.
        connection.owes_body.set(!matches!(payload, Payload::None));
        if connection.owes_body.get() {
            let connection = Rc::clone(connection);
            let mut body = payload.take();
            // The connection reads it only as fast as the handler asks for it.
            let paced = poll_fn(move |cx| {
                let next = body.poll_next_unpin(cx);
                match &next {
                    Poll::Pending => connection.want_body(),
                    Poll::Ready(None) => connection.owes_body.set(false),
                    Poll::Ready(Some(_)) => {}
                }
                next
            });
            *payload = Payload::Stream { payload: Box::pin(paced) };
        }
    }
    let response = service.call(request);
    async move {
        let response: Response<BoxBody> = response.await?.into();
        Ok(response.map_body(|_, body| ResponseBody { body, _active: active }))
    }
}

/// The body of a response. HTTP drops it after reading all of it, which ends the request.
pub struct ResponseBody {
    body: BoxBody,
    _active: Option<ActiveRequest>,
}

impl MessageBody for ResponseBody {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
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
    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_stuck_fails_after_ten_seconds() {
        let (_client, server) = duplex(16);
        let mut connection = Connection::new(server, None);
        connection.write_all(&[0; 16]).await.unwrap();
        assert!(
            timeout(Duration::from_secs(10) - MS, connection.write_all(&[0; 16])).await.is_err(),
            "not before ten seconds"
        );
        // The timeout belongs to the connection, so the second call does not restart it.
        let failed = timeout(MS, connection.write_all(&[0; 16])).await.expect("an end");
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_is_served_while_it_reads_something() {
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

    /// Reads like HTTP: it is polled again when it is woken.
    async fn read(connection: &mut Connection<DuplexStream>) -> io::Result<usize> {
        connection.read(&mut [0; 8 << 10]).await
    }

    async fn is_held(connection: &mut Connection<DuplexStream>) -> bool {
        timeout(MS, read(connection)).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_finish_its_head_times_out_even_if_bytes_keep_coming() {
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
    async fn the_request_timeout_stops_while_a_request_is_handled_and_restarts_after_it() {
        let (mut client, server) = duplex(16);
        let mut connection = Connection::new(server, None);
        for _ in 0..3 {
            client.write_all(b"request").await.unwrap();
            assert_eq!(read(&mut connection).await.unwrap(), 7);
            let active = connection.state().handle();
            assert!(timeout(REQUEST_TIMEOUT * 10, read(&mut connection)).await.is_err());
            drop(active);
        }
        assert!(timeout(OF_CLIENTS.told + IN_FLIGHT - MS, read(&mut connection)).await.is_err());
        assert_eq!(timeout(2 * MS, read(&mut connection)).await.expect("an end").unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_after_a_long_pause_has_no_more_time_than_the_first() {
        let (mut client, server) = duplex(16);
        let mut connection = Connection::new(server, None);
        connection.state().keep_while(|| true);
        drop(connection.state().handle());
        assert!(timeout(Duration::from_secs(601), read(&mut connection)).await.is_err());
        client.write_all(b"half").await.unwrap();
        assert_eq!(read(&mut connection).await.unwrap(), 4);
        assert!(timeout(REQUEST_TIMEOUT - MS, read(&mut connection)).await.is_err());
        let failed = timeout(2 * MS, read(&mut connection)).await.expect("an end").unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_worker_keeps_so_many_connections_and_no_more() {
        let connections: Vec<_> = (0..MAX_KEPT + 1).map(|_| ConnectionState::new(None)).collect();
        connections.iter().for_each(|connection| connection.keep_while(|| true));
        let are_kept = connections.iter().filter(|connection| connection.idle_time() == &OF_PROXIES).count();
        assert_eq!(are_kept, MAX_KEPT);
        drop(connections);
        let next = ConnectionState::new(None);
        next.keep_while(|| true);
        assert_eq!(next.idle_time(), &OF_PROXIES);
    }

    #[test]
    fn a_client_is_told_the_time_that_holds() {
        for time in [OF_CLIENTS, OF_PROXIES] {
            assert_eq!(time.keep_alive, format!("timeout={}", time.told.as_secs()));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_its_response_slowly_does_not_exceed_the_request_timeout() {
        let (mut client, server) = duplex(16);
        let mut connection = Connection::new(server, None);
        connection.write_all(&[0; 16]).await.unwrap();
        for _ in 0..4 {
            assert!(timeout(STALL - MS, connection.write_all(&[0])).await.is_err());
            assert!(is_held(&mut connection).await, "nothing is read before the response is written");
            client.read_exact(&mut [0]).await.unwrap();
            connection.write_all(&[0]).await.unwrap();
        }
        connection.flush().await.unwrap();
        client.write_all(b"next").await.unwrap();
        assert_eq!(read(&mut connection).await.unwrap(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn during_a_request_only_its_body_and_a_few_bytes_are_read() {
        let (mut client, server) = duplex(100 * READ_SIZE);
        let mut connection = Connection::new(server, None);
        client.write_all(b"request").await.unwrap();
        assert_eq!(read(&mut connection).await.unwrap(), 7);
        let active = connection.state().handle();
        client.write_all(&[1; 50 * READ_SIZE]).await.unwrap();
        assert_eq!(read(&mut connection).await.unwrap(), READ_AHEAD);
        assert!(is_held(&mut connection).await);
        for _ in 0..3 {
            connection.state().want_body();
            assert_eq!(read(&mut connection).await.unwrap(), READ_SIZE);
            assert!(is_held(&mut connection).await);
        }
        drop(active);
        assert_eq!(read(&mut connection).await.unwrap(), READ_SIZE);
    }

    #[tokio::test(start_paused = true)]
    async fn reading_resumes_when_the_request_is_answered() {
        let (mut client, server) = duplex(100 * READ_SIZE);
        let mut connection = Connection::new(server, None);
        client.write_all(b"request").await.unwrap();
        assert_eq!(read(&mut connection).await.unwrap(), 7);
        let active = connection.state().handle();
        client.write_all(&[1; 50 * READ_SIZE]).await.unwrap();
        assert_eq!(read(&mut connection).await.unwrap(), READ_AHEAD);
        let response = async {
            sleep(MS).await;
            drop(active);
        };
        let (count, ()) = join!(read(&mut connection), response);
        assert_eq!(count.unwrap(), READ_SIZE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_told_when_its_client_leaves() {
        let (client, server) = duplex(16);
        let mut connection = Connection::new(server, None);
        let state = connection.state();
        let _active = state.handle();
        let mut ended = pin!(poll_fn(|cx| state.poll_ended(cx)));
        assert!(timeout(MS, &mut ended).await.is_err());
        drop(client);
        assert_eq!(read(&mut connection).await.unwrap(), 0);
        ended.await;
    }
}
