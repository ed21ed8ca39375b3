//! An endless HTTP response for PeerJS 0.3.x clients without a WebSocket. The first line is padding that
//! fills the buffers of proxies; then each message is a line of JSON.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use tokio::time::{Sleep, sleep};

use super::connection::ConnectionState;
use super::{OnEvent, Socket};
use peerbroker_core::clock::{Clock, Instant};
use peerbroker_core::vocabulary::{ConnectionKind, Frame, Opcode};
use peerbroker_router::Disconnect;
use peerbroker_router::{Outbox, PeerHandle};

/// Number of zeros in the first line.
const PADDING: usize = 2048;

/// Time between two messages. The client reads one line for each progress event of its browser, however many
/// have come, and Chromium sends one every 50 ms at most. So if two messages came at once, it would read the
/// second late or never.
const MESSAGE_INTERVAL: Duration = Duration::from_millis(100);

/// Time between two messages while many wait. Some lines come late for the event of their own then, and the
/// fillers behind them make up for those.
const CROWDED_INTERVAL: Duration = Duration::from_millis(60);

/// More messages than these are many: those of two connections at once.
const CROWDED: usize = 16;

/// Number of fillers between the last message and the end of a stream. A page that was busy reads as many
/// lines before it drops the stream, and with it all that it has not read.
const LAST_FILLERS: u32 = 10;

/// Time from the takeover by a client's next stream to the head of that one's answer, at which the client
/// drops the former stream.
pub const HANDOVER: Duration = MESSAGE_INTERVAL.saturating_mul(LAST_FILLERS);

/// Makes the client read one more line: a busy browser sends one progress event for several lines. It begins
/// a line, which [`FILLER_END`] ends before the next message, so fillers alone never add up to lines that the
/// client would have to read, too.
const FILLER: Bytes = Bytes::from_static(b" ");

/// Makes the line of the fillers one without a meaning.
const FILLER_END: &[u8] = b"{}\n";

/// Delays of fillers, in addition to [`MESSAGE_INTERVAL`]. Once there were as many fillers as messages, each
/// delay is a step longer than the one before, up to the longest. Fillers go on until the client renews its
/// stream, because its page may be busy for as long.
const FILLER_STEP: Duration = Duration::from_millis(100);
const LAST_FILLER: Duration = Duration::from_millis(900);

/// Maximum bytes in the outbox. It is small because [`MESSAGE_INTERVAL`] makes a stream slow.
const MAX_WAITING: usize = 256 << 10;

/// A stream that is not renewed within this time has lost its client. Clients renew it after 25 s, or after
/// 90 s if the browser throttles timers.
const MAX_AGE: Duration = Duration::from_secs(300);

/// The session's side of a stream.
///
/// A stream transports no pings, so the server counts its client as alive while it is open, and for a
/// grace period in which the client opens the next stream.
pub struct StreamSocket {
    state: Rc<RefCell<StreamState>>,
    clock: Clock,
    since: Instant,
    /// The grace period after the body is gone.
    grace: Pin<Box<dyn Future<Output = ()>>>,
    /// The next `poll_recv` reports a sign of life.
    alive: bool,
}

/// HTTP's side of a stream: the body of the response. It takes each message out of the outbox under the same
/// lock as a takeover, so that exactly one stream gets the message.
pub struct StreamBody {
    state: Rc<RefCell<StreamState>>,
    /// State of the connection below, which tells when the client leaves; `None` in an embedded broker.
    pub connection: Option<Rc<ConnectionState>>,
    padded: bool,
    pause: Option<Pin<Box<Sleep>>>,
    fillers: FillerSchedule,
}

/// The fillers after the last message. There are none before the first one.
#[derive(Default)]
struct FillerSchedule {
    /// Messages that the client may not have read, if its browser reports each filler by itself.
    unread: usize,
    delay: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Fillers before the end of the stream.
    last: u32,
    /// A line has begun.
    is_within_line: bool,
}

/// State shared by both sides of a stream; both run on the same worker.
#[derive(Default)]
struct StreamState {
    /// The peer whose messages the stream sends.
    peer: Option<PeerHandle>,
    /// Messages for a client that was refused.
    refusal: VecDeque<Bytes>,
    /// Messages that waited behind the last line.
    behind: usize,
    /// No more messages follow.
    ended: bool,
    /// The body was dropped, because the client left.
    gone: bool,
    socket: Option<Waker>,
    body: Option<Waker>,
}

/// Creates both sides. The client counts as gone for a `grace` period after the body was dropped.
pub fn stream(clock: &Clock, grace: Duration) -> (StreamSocket, StreamBody) {
    let state = Rc::<RefCell<StreamState>>::default();
    let body = StreamBody {
        state: Rc::clone(&state),
        connection: None,
        padded: false,
        pause: None,
        fillers: FillerSchedule::default(),
    };
    let grace = Box::pin(clock.sleep(grace));
    (StreamSocket { state, clock: clock.clone(), since: clock.now(), grace, alive: false }, body)
}

impl StreamState {
    fn end(&mut self) {
        self.ended = true;
        self.wake_body();
    }

    fn wake_body(&mut self) {
        if let Some(body) = self.body.take() {
            body.wake();
        }
    }

    /// The next line, or the end. Pending if there is none yet.
    fn next(&mut self) -> Poll<Option<Bytes>> {
        let take = |outbox: &mut Outbox| (take_line(outbox), outbox.len());
        let taken = self.peer.as_ref().and_then(|peer| peer.with_last_outbox(take));
        let taken = taken.map(|(line, behind)| {
            self.behind = behind;
            line
        });
        match taken.or_else(|| self.refusal.pop_front().map(|line| Poll::Ready(Some(line)))) {
            Some(Poll::Ready(next)) => Poll::Ready(next),
            _ if self.ended => Poll::Ready(None),
            _ => Poll::Pending,
        }
    }
}

/// Takes the message out of the outbox whose turn it is. It counts as written then. Ready with nothing at the
/// end.
fn take_line(outbox: &mut Outbox) -> Poll<Option<Bytes>> {
    loop {
        outbox.give_turn();
        if outbox.is_broken() {
            break;
        }
        let Some(frame) = outbox.front() else { break };
        let opcode = frame.opcode();
        let len = frame.len();
        let line = (opcode == Some(Opcode::Text)).then(|| line(frame));
        outbox.advance(len);
        match (line, opcode) {
            (Some(line), _) => return Poll::Ready(Some(line)),
            (None, Some(Opcode::Close)) => return Poll::Ready(None),
            // Pings, which `StreamSocket` answers.
            (None, _) => {}
        }
    }
    if outbox.is_broken() {
        return Poll::Ready(None);
    }
    outbox.unblock();
    Poll::Pending
}

/// Writes a message as one line. A payload is the sender's own JSON text, and a line break in it could forge
/// a second message. JSON strings contain no raw line breaks, so only whitespace changes.
fn line(message: &Frame) -> Bytes {
    let unbroken = message.payload().iter().map(|&byte| if byte == b'\n' { b' ' } else { byte });
    unbroken.chain([b'\n']).collect()
}

impl Socket for StreamSocket {
    const KIND: ConnectionKind = ConnectionKind::Stream;

    fn open_outbox(&mut self, limit: usize) -> Outbox {
        Outbox::new(limit.min(MAX_WAITING), None)
    }

    fn on_registered(&mut self, peer: &PeerHandle) {
        self.state.borrow_mut().peer = Some(peer.clone());
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, _: OnEvent<'_>) -> Poll<Result<(), Disconnect>> {
        if mem::take(&mut self.alive) {
            return Poll::Ready(Ok(()));
        }
        {
            let mut state = self.state.borrow_mut();
            if state.ended {
                return Poll::Ready(Err(Disconnect::Gone));
            }
            state.socket = Some(cx.waker().clone());
            if !state.gone {
                return Poll::Pending;
            }
        }
        ready!(self.grace.as_mut().poll(cx));
        Poll::Ready(Err(Disconnect::Gone))
    }

    fn is_abandoned(&self) -> bool {
        self.state.borrow().gone
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Poll<io::Result<()>> {
        self.alive = self.clock.now().saturating_since(self.since) < MAX_AGE;
        let mut state = self.state.borrow_mut();
        state.socket = Some(cx.waker().clone());
        if state.peer.is_none() {
            // The client was refused, and these messages say why.
            while let Poll::Ready(next) = take_line(outbox) {
                let Some(line) = next else {
                    state.end();
                    break;
                };
                state.refusal.push_back(line);
            }
        }
        match outbox.front().map(Frame::opcode) {
            None => return Poll::Ready(Ok(())),
            // The next stream gets the messages; a close frame is dropped.
            Some(Some(Opcode::Close)) if state.gone => {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            Some(_) if outbox.is_broken() => {
                state.end();
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            Some(_) => {}
        }
        state.wake_body();
        Poll::Pending
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.borrow_mut().end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for StreamSocket {
    fn drop(&mut self) {
        self.state.borrow_mut().end();
    }
}

impl Stream for StreamBody {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.connection.as_ref().is_some_and(|connection| connection.poll_ended(cx).is_ready()) {
            return Poll::Ready(None);
        }
        if !mem::replace(&mut this.padded, true) {
            let mut line = vec![b'0'; PADDING];
            line.push(b'\n');
            return Poll::Ready(Some(Ok(line.into())));
        }
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        let mut state = this.state.borrow_mut();
        let next = state.next();
        // Tell the socket that a message was written, or that the body waits.
        if let Some(waker) = state.socket.take() {
            waker.wake();
        }
        let chunk = match next {
            Poll::Ready(Some(line)) => this.fillers.before(line),
            Poll::Pending => {
                state.body = Some(cx.waker().clone());
                ready!(this.fillers.poll_due(cx));
                FILLER
            }
            Poll::Ready(None) => {
                state.ended = true;
                if !this.fillers.take_last() {
                    return Poll::Ready(None);
                }
                FILLER
            }
        };
        // Behind a filler, too: otherwise the browser could report a message up to 50 ms late, because it has
        // just reported the filler. A client that renews its stream meanwhile would never read it.
        let interval = if state.behind > CROWDED { CROWDED_INTERVAL } else { MESSAGE_INTERVAL };
        this.pause = Some(Box::pin(sleep(interval)));
        Poll::Ready(Some(Ok(chunk)))
    }
}

impl FillerSchedule {
    /// Notes that a message is sent now. Returns what to send.
    fn before(&mut self, message: Bytes) -> Bytes {
        self.unread += 1;
        self.last = LAST_FILLERS;
        self.delay = Some(Duration::ZERO);
        self.timer = None;
        if mem::take(&mut self.is_within_line) { [FILLER_END, &*message].concat().into() } else { message }
    }

    /// True if one more filler is to be sent before the end of the stream.
    fn take_last(&mut self) -> bool {
        let is_one_left = self.last > 0;
        self.last = self.last.saturating_sub(1);
        is_one_left
    }

    /// Pending forever if no message was sent.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(delay) = self.delay else { return Poll::Pending };
        ready!(self.timer.get_or_insert_with(|| Box::pin(sleep(delay))).as_mut().poll(cx));
        match self.unread.checked_sub(1) {
            Some(left) => self.unread = left,
            None => self.delay = Some((delay + FILLER_STEP).min(LAST_FILLER)),
        }
        self.timer = None;
        self.is_within_line = true;
        Poll::Ready(())
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        let mut state = self.state.borrow_mut();
        state.gone = true;
        if let Some(waker) = state.socket.take() {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use tokio::time::Instant;

    use super::*;

    /// Returns the next line, and after how many milliseconds it came.
    async fn next(body: &mut StreamBody) -> (u128, Bytes) {
        let begin = Instant::now();
        let line = poll_fn(|cx| Pin::new(&mut *body).poll_next(cx)).await.expect("a line").expect("bytes");
        (begin.elapsed().as_millis(), line)
    }

    fn say(socket: &StreamSocket, line: &'static str) {
        let mut state = socket.state.borrow_mut();
        state.refusal.push_back(Bytes::from_static(line.as_bytes()));
        state.wake_body();
    }

    #[tokio::test(start_paused = true)]
    async fn fillers_follow_as_many_as_messages_then_ever_more_slowly_and_do_not_end() {
        let (socket, mut body) = stream(&Clock::manual(), Duration::ZERO);
        assert_eq!(next(&mut body).await.1.len(), PADDING + 1);
        for line in ["1\n", "2\n"] {
            say(&socket, line);
        }
        assert_eq!(next(&mut body).await, (0, "1\n".into()));
        assert_eq!(next(&mut body).await, (100, "2\n".into()));
        assert_eq!(next(&mut body).await, (100, FILLER));
        say(&socket, "3\n");
        assert_eq!(next(&mut body).await, (100, "{}\n3\n".into()));
        for delay in [100, 100, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1000, 1000] {
            assert_eq!(next(&mut body).await, (delay, FILLER));
        }
        say(&socket, "4\n");
        assert_eq!(next(&mut body).await, (100, "{}\n4\n".into()));
        assert_eq!(next(&mut body).await, (100, FILLER));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_with_messages_ends_behind_fillers_and_one_without_at_once() {
        for messages in [&["1\n", "2\n"][..], &[]] {
            let (socket, mut body) = stream(&Clock::manual(), Duration::ZERO);
            messages.iter().for_each(|line| say(&socket, line));
            drop(socket);
            assert_eq!(next(&mut body).await.1.len(), PADDING + 1);
            let begun = Instant::now();
            for line in messages {
                assert_eq!(next(&mut body).await.1, line);
            }
            let mut fillers = 0;
            while let Some(filler) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
                assert_eq!(filler, Ok(FILLER));
                fillers += 1;
            }
            assert_eq!(fillers, if messages.is_empty() { 0 } else { LAST_FILLERS });
            assert!(messages.is_empty() || begun.elapsed() >= HANDOVER);
        }
    }

    /// Reads a stream as PeerJS 0.3 does: one line for each event of the browser, and a line that has not
    /// ended at the next one.
    #[derive(Default)]
    struct Client {
        text: String,
        index: usize,
        unfinished: Option<usize>,
        messages: Vec<u32>,
    }

    impl Client {
        fn event(&mut self) {
            let lines: Vec<_> = self.text.split('\n').collect();
            let unfinished = self.unfinished.take().map(|index| lines[index]);
            let mut line = None;
            if let Some(next) = lines.get(self.index).filter(|line| !line.is_empty()) {
                self.index += 1;
                if self.index == lines.len() {
                    self.unfinished = Some(self.index - 1);
                } else {
                    line = Some(*next);
                }
            }
            // Others are `{}`, or no JSON yet.
            let lines = [unfinished, line].into_iter().flatten();
            self.messages.extend(lines.filter_map(|line| line.parse::<u32>().ok()));
        }
    }

    proptest! {
        #[test]
        fn a_busy_browser_reads_every_message(
            chunks in vec((0_usize..4, any::<bool>()), 1..60),
        ) {
            let mut fillers = FillerSchedule::default();
            let mut client = Client::default();
            let mut sent = 0;
            for (fillers_before, is_reported) in chunks {
                for _ in 0..fillers_before.min(sent as usize) {
                    fillers.is_within_line = true;
                    client.text.push(' ');
                    if is_reported {
                        client.event();
                    }
                }
                let message = fillers.before(format!("{sent}\n").into());
                sent += 1;
                client.text.push_str(std::str::from_utf8(&message).unwrap());
                if is_reported {
                    client.event();
                }
            }
            // More lines than messages may be unread: those of the fillers.
            for _ in 0..2 * sent {
                client.text.push(' ');
                client.event();
            }
            prop_assert_eq!(client.messages, (0..sent).collect::<Vec<_>>());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_without_messages_has_no_fillers() {
        let (_socket, mut body) = stream(&Clock::manual(), Duration::ZERO);
        assert_eq!(next(&mut body).await.1.len(), PADDING + 1);
        let nothing = tokio::time::timeout(Duration::from_secs(60), next(&mut body)).await;
        assert!(nothing.is_err());
    }
}
