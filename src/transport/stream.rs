//! An HTTP answer without end, as PeerJS 0.3.x reads it where it has no WebSocket: a first line to get
//! past the buffers on the way, then a line of JSON for each message.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::Stream;
use tokio::time::{Sleep, sleep};

use super::connection::Watch;
use super::{Disconnect, Event, Socket};
use crate::broker::{Link, Outbox};
use crate::frame::{Frame, Opcode};

/// Zeros of the first line.
const PADDING: usize = 2048;

/// Time between two messages. The client reads one line each time something comes; what comes
/// together with another is read late, or never.
const PACE: Duration = Duration::from_millis(50);

/// A stream that is not renewed for so long has lost its client. Clients renew it after 25 s, or after
/// a minute and a half where a browser slows down its timers.
const MAX_AGE: Duration = Duration::from_secs(300);

/// The session's side of a stream.
///
/// No ping goes down it, so it answers for its client: as long as it is open, and for a while after
/// that, in which a client that renews its stream comes with the next one.
pub(crate) struct StreamSocket {
    pipe: Rc<RefCell<Pipe>>,
    since: Instant,
    /// What has to be waited for once the body is gone.
    grace: Pin<Box<dyn Future<Output = ()>>>,
    /// Bytes of the message in the pipe that the outbox does not know as written.
    begun: Option<usize>,
    /// It was looked after; its client is taken for alive.
    alive: bool,
}

/// HTTP's side of a stream: the body of the answer.
pub(crate) struct StreamBody {
    pipe: Rc<RefCell<Pipe>>,
    /// Of the connection below, unless that is another's server's.
    watch: Option<Rc<Watch>>,
    padded: bool,
    pause: Option<Pin<Box<Sleep>>>,
}

/// What the two share; both live on one worker.
#[derive(Default)]
struct Pipe {
    /// On its way to the body, which has asked for it.
    message: Option<Bytes>,
    /// The body has room.
    wanted: bool,
    /// No more messages will come.
    ended: bool,
    /// The body is gone, and with it the client.
    gone: bool,
    socket: Option<Waker>,
    body: Option<Waker>,
}

/// Makes both sides. `grace` is waited for once the body is gone, before the client is.
pub(crate) fn stream(grace: impl Future<Output = ()> + 'static) -> (StreamSocket, StreamBody) {
    let pipe = Rc::<RefCell<Pipe>>::default();
    let body = StreamBody { pipe: Rc::clone(&pipe), watch: None, padded: false, pause: None };
    let grace = Box::pin(grace);
    (StreamSocket { pipe, since: Instant::now(), grace, begun: None, alive: false }, body)
}

impl StreamSocket {
    /// Whether the client has gone away.
    pub(crate) fn is_gone(&self) -> bool {
        self.pipe.borrow().gone
    }
}

impl StreamBody {
    /// Has the stream end when its client leaves.
    pub(crate) fn watch(&mut self, watch: Rc<Watch>) {
        watch.begin_stream();
        self.watch = Some(watch);
    }
}

impl Pipe {
    fn end(&mut self) {
        self.ended = true;
        self.body.take().into_iter().for_each(Waker::wake);
    }
}

impl Socket for StreamSocket {
    const LINK: Link = Link::Stream;

    fn open_outbox(&mut self, limit: usize) -> Outbox {
        Outbox::new(limit, None)
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        on_event: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Poll<Result<(), Disconnect>> {
        if std::mem::take(&mut self.alive) {
            let _ = on_event(Event::Pong);
            return Poll::Ready(Ok(()));
        }
        {
            let mut pipe = self.pipe.borrow_mut();
            if pipe.ended {
                return Poll::Ready(Err(Disconnect::Gone));
            }
            if !pipe.gone {
                pipe.socket = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        ready!(self.grace.as_mut().poll(cx));
        Poll::Ready(Err(Disconnect::Gone))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Poll<io::Result<()>> {
        let mut pipe = self.pipe.borrow_mut();
        self.alive = self.since.elapsed() < MAX_AGE;
        if outbox.is_broken() {
            pipe.message = None;
            pipe.end();
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        pipe.socket = Some(cx.waker().clone());
        if pipe.gone {
            // What waits goes to the next stream; a goodbye reaches nobody.
            return match outbox.front().map(Frame::opcode) {
                Some(Opcode::Close) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                _ => Poll::Pending,
            };
        }
        loop {
            if pipe.message.is_some() {
                return Poll::Pending;
            }
            if let Some(rest) = self.begun.take() {
                outbox.advance(rest);
            }
            let Some(frame) = outbox.front() else {
                return Poll::Ready(Ok(()));
            };
            let len = frame.len();
            match frame.opcode() {
                Opcode::Text if !pipe.wanted => return Poll::Pending,
                Opcode::Text => {
                    pipe.message = Some([frame.payload(), b"\n"].concat().into());
                    pipe.wanted = false;
                    pipe.body.take().into_iter().for_each(Waker::wake);
                    // Begun, so that it is not lost if the body goes without it.
                    self.begun = Some(len - 1);
                    outbox.advance(1);
                }
                Opcode::Close => {
                    outbox.advance(len);
                    pipe.end();
                }
                Opcode::Ping | Opcode::Pong => outbox.advance(len),
            }
        }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.borrow_mut().end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for StreamSocket {
    fn drop(&mut self) {
        self.pipe.borrow_mut().end();
    }
}

impl Stream for StreamBody {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.watch.as_ref().is_some_and(|watch| watch.poll_ended(cx).is_ready()) {
            return Poll::Ready(None);
        }
        if !std::mem::replace(&mut this.padded, true) {
            let mut line = vec![b'0'; PADDING];
            line.push(b'\n');
            return Poll::Ready(Some(Ok(line.into())));
        }
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        let mut pipe = this.pipe.borrow_mut();
        let message = pipe.message.take();
        if message.is_none() && pipe.ended {
            return Poll::Ready(None);
        }
        // Either there is room now, or a message is known to be written.
        pipe.socket.take().into_iter().for_each(Waker::wake);
        match message {
            Some(message) => {
                this.pause = Some(Box::pin(sleep(PACE)));
                Poll::Ready(Some(Ok(message)))
            }
            None => {
                pipe.wanted = true;
                pipe.body = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.gone = true;
        pipe.socket.take().into_iter().for_each(Waker::wake);
    }
}
