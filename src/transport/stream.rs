//! An HTTP answer without end, as PeerJS 0.3.x reads it where it has no WebSocket: a first line to get
//! past the buffers on the way, then a line of JSON for each message.

use std::cell::RefCell;
use std::collections::VecDeque;
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

use super::exchange::Exchange;
use super::{Disconnect, Event, Socket};
use crate::broker::{Outbox, Peer};
use crate::wire::Link;
use crate::wire::{Frame, Opcode};

/// Zeros of the first line.
const PADDING: usize = 2048;

/// Time between two messages. The client reads one line each time its browser tells it that something
/// came, and Chromium does so every 50 ms at most: what comes together with another is read late, or
/// never.
const PACE: Duration = Duration::from_millis(100);

/// A line that means nothing. It has a client read one more line, if it read fewer than came: a browser
/// that is busy tells of several at once after all.
const NUDGE: Bytes = Bytes::from_static(b"{}\n");

/// When nudges follow the last message, and each other: as many as there were messages, and no more than
/// these. A page that is busy for seconds is rare, but what it left unread would stay so.
const NUDGES: [Duration; 3] = [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(3)];

/// Most bytes that wait to be sent, because little goes through at that pace.
const MAX_WAITING: usize = 256 << 10;

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
    /// It was looked after; its client is taken for alive.
    alive: bool,
}

/// HTTP's side of a stream: the body of the answer. It takes each message out of the outbox by itself,
/// under the lock under which a successor would, so that a message goes to one of them.
pub(crate) struct StreamBody {
    pipe: Rc<RefCell<Pipe>>,
    /// Of the connection below, unless that is another's server's.
    exchange: Option<Rc<Exchange>>,
    padded: bool,
    pause: Option<Pin<Box<Sleep>>>,
    nudges: Nudges,
}

/// Those that are due once nothing else is.
#[derive(Default)]
struct Nudges {
    left: usize,
    sent: usize,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What the two share; both live on one worker.
#[derive(Default)]
struct Pipe {
    /// Whose messages go out.
    peer: Option<Peer>,
    /// What a client hears that is not admitted.
    refusal: VecDeque<Bytes>,
    /// No more messages will come.
    ended: bool,
    /// The body is gone, and with it the client.
    gone: bool,
    socket: Option<Waker>,
    body: Option<Waker>,
}

/// What the body does next.
enum Next {
    Line(Bytes),
    Nothing,
    End,
}

/// Makes both sides. `grace` is waited for once the body is gone, before the client is.
pub(crate) fn stream(grace: impl Future<Output = ()> + 'static) -> (StreamSocket, StreamBody) {
    let pipe = Rc::<RefCell<Pipe>>::default();
    let body = StreamBody {
        pipe: Rc::clone(&pipe),
        exchange: None,
        padded: false,
        pause: None,
        nudges: Nudges::default(),
    };
    let grace = Box::pin(grace);
    (StreamSocket { pipe, since: Instant::now(), grace, alive: false }, body)
}

impl StreamBody {
    /// Has the stream end when its client leaves.
    pub(crate) fn watch(&mut self, exchange: Rc<Exchange>) {
        self.exchange = Some(exchange);
    }
}

impl Pipe {
    fn end(&mut self) {
        self.ended = true;
        self.wake_body();
    }

    fn wake_body(&mut self) {
        self.body.take().into_iter().for_each(Waker::wake);
    }

    fn next(&mut self) -> Next {
        let taken = self.peer.as_ref().and_then(|peer| peer.with_last_outbox(take_line));
        match taken.or_else(|| self.refusal.pop_front().map(Next::Line)) {
            Some(next) => next,
            None if self.ended => Next::End,
            None => Next::Nothing,
        }
    }
}

/// Takes out the first message. It is written from here on.
fn take_line(outbox: &mut Outbox) -> Next {
    while let Some(frame) = outbox.front().filter(|_| !outbox.is_broken()) {
        let (opcode, len) = (frame.opcode(), frame.len());
        let line = (opcode == Opcode::Text).then(|| line(frame));
        outbox.advance(len);
        match (line, opcode) {
            (Some(line), _) => return Next::Line(line),
            (None, Opcode::Close) => return Next::End,
            // Pings, which the other side answers.
            (None, _) => {}
        }
    }
    if outbox.is_broken() {
        return Next::End;
    }
    outbox.unblock();
    Next::Nothing
}

/// A message as one line. A payload is the sender's own text, and a line break between its values
/// could make a message of its own of what follows; within a text JSON has none.
fn line(message: &Frame) -> Bytes {
    let unbroken = message.payload().iter().map(|&byte| if byte == b'\n' { b' ' } else { byte });
    unbroken.chain([b'\n']).collect()
}

impl Socket for StreamSocket {
    const LINK: Link = Link::Stream;

    fn open_outbox(&mut self, limit: usize) -> Outbox {
        Outbox::new(limit.min(MAX_WAITING), None)
    }

    fn on_registered(&mut self, peer: &Peer) {
        self.pipe.borrow_mut().peer = Some(peer.clone());
    }

    fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
        _: &mut dyn FnMut(Event<'_>) -> ControlFlow<()>,
    ) -> Poll<Result<(), Disconnect>> {
        if std::mem::take(&mut self.alive) {
            return Poll::Ready(Ok(()));
        }
        {
            let mut pipe = self.pipe.borrow_mut();
            if pipe.ended {
                return Poll::Ready(Err(Disconnect::Gone));
            }
            pipe.socket = Some(cx.waker().clone());
            if !pipe.gone {
                return Poll::Pending;
            }
        }
        ready!(self.grace.as_mut().poll(cx));
        Poll::Ready(Err(Disconnect::Gone))
    }

    fn is_abandoned(&self) -> bool {
        self.pipe.borrow().gone
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Poll<io::Result<()>> {
        self.alive = self.since.elapsed() < MAX_AGE;
        let mut pipe = self.pipe.borrow_mut();
        pipe.socket = Some(cx.waker().clone());
        if pipe.peer.is_none() {
            // Nobody's messages: the client is not admitted, and hears why.
            loop {
                match take_line(outbox) {
                    Next::Line(line) => pipe.refusal.push_back(line),
                    Next::Nothing => break,
                    Next::End => {
                        pipe.end();
                        break;
                    }
                }
            }
        }
        match outbox.front().map(Frame::opcode) {
            None => return Poll::Ready(Ok(())),
            // What waits goes to the next stream; a goodbye reaches nobody.
            Some(Opcode::Close) if pipe.gone => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Some(_) if outbox.is_broken() => {
                pipe.end();
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            Some(_) => {}
        }
        pipe.wake_body();
        Poll::Pending
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
        if this.exchange.as_ref().is_some_and(|exchange| exchange.poll_ended(cx).is_ready()) {
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
        let next = pipe.next();
        // That it is written, or that there is a body to be woken.
        pipe.socket.take().into_iter().for_each(Waker::wake);
        match next {
            Next::Line(line) => {
                this.pause = Some(Box::pin(sleep(PACE)));
                this.nudges.message_sent();
                Poll::Ready(Some(Ok(line)))
            }
            Next::Nothing => {
                pipe.body = Some(cx.waker().clone());
                this.nudges.poll_due(cx).map(|()| Some(Ok(NUDGE)))
            }
            Next::End => {
                pipe.ended = true;
                Poll::Ready(None)
            }
        }
    }
}

impl Nudges {
    fn message_sent(&mut self) {
        self.left = (self.left + 1).min(NUDGES.len());
        self.sent = 0;
        self.timer = None;
    }

    /// Never ready if none is left.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(after) = NUDGES.get(self.sent).filter(|_| self.left > 0) else {
            return Poll::Pending;
        };
        ready!(self.timer.get_or_insert_with(|| Box::pin(sleep(*after))).as_mut().poll(cx));
        self.left -= 1;
        self.sent += 1;
        self.timer = None;
        Poll::Ready(())
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.gone = true;
        pipe.socket.take().into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::Instant;

    use super::*;

    /// What comes next, and after how many milliseconds.
    async fn next(body: &mut StreamBody) -> (u128, Bytes) {
        let begin = Instant::now();
        let line = poll_fn(|cx| Pin::new(&mut *body).poll_next(cx)).await.expect("a line").expect("bytes");
        (begin.elapsed().as_millis(), line)
    }

    fn say(socket: &StreamSocket, line: &'static str) {
        let mut pipe = socket.pipe.borrow_mut();
        pipe.refusal.push_back(Bytes::from_static(line.as_bytes()));
        pipe.wake_body();
    }

    #[tokio::test(start_paused = true)]
    async fn nudges_follow_the_last_message_and_give_way_to_the_next() {
        let (socket, mut body) = stream(std::future::pending());
        assert_eq!(next(&mut body).await.1.len(), PADDING + 1);
        ["1\n", "2\n"].into_iter().for_each(|line| say(&socket, line));
        assert_eq!(next(&mut body).await, (0, "1\n".into()));
        assert_eq!(next(&mut body).await, (100, "2\n".into()));
        assert_eq!(next(&mut body).await, (400, NUDGE));
        say(&socket, "3\n");
        assert_eq!(next(&mut body).await, (0, "3\n".into()));
        assert_eq!(next(&mut body).await, (400, NUDGE));
        assert_eq!(next(&mut body).await, (1000, NUDGE));
        let nothing = tokio::time::timeout(Duration::from_secs(60), next(&mut body)).await;
        assert!(nothing.is_err(), "as many as there were messages");
    }
}
