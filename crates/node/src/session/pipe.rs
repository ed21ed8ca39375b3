//! An end of a pipe, from admission to goodbye: what it sends goes to the other end, unread.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{self, Poll, ready};

use super::admission::{ClientSource, ConnectRequest, Rejection};
use super::farewell::{close, farewell, refusal_close};
use super::open::OpenSession;
use super::pace::{Budget, Rest, Step, UNREAD_FRAMES_PER_TURN, poll_turn};
use super::pipe_place::{PipePlace, find};
use crate::Node;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{CloseReason, ConnId, Fragment, Frame, RealmKind};
use peerbroker_events::Count;
use peerbroker_protocols::key_state::Pause;
use peerbroker_protocols::pipes::{PipeEnd, PipeTurn};
use peerbroker_router::Disconnect;
use peerbroker_transport::{Socket, SocketEvent};

/// Serves one end of a pipe until it is gone.
pub fn serve_end<S: Socket + 'static>(
    socket: S,
    node: &Arc<Node>,
    ConnectRequest { query, source, permit }: ConnectRequest,
) -> impl Future<Output = ()> + use<S> {
    let session = OpenSession::new(node, permit);
    // Boxed, so that the future of an idle end stays small.
    let opening = Box::pin(open(socket, session, query, source));
    async move {
        let Some(mut end) = opening.await else { return };
        let over = poll_fn(|cx| end.poll(cx)).await;
        Box::pin(end.goodbye(over)).await;
    }
}

/// An end that is connected.
struct ActiveEnd<S> {
    end: PipeEnd,
    /// The pause of an end above a rate: nothing is read before its turn, which no later end delays.
    rest: Rest,
    turn: Instant,
    /// The message that is not whole yet, and the connection that gets it; `None` behind it if nobody does.
    unfinished: Option<Option<ConnId>>,
    socket: S,
    // Dropped last.
    session: OpenSession,
}

/// Connects an end, or tells it the reason of the refusal. `None` once it is gone.
async fn open<S: Socket>(
    mut socket: S,
    session: OpenSession,
    query: String,
    source: ClientSource,
) -> Option<ActiveEnd<S>> {
    let place = find(&session, &query, &source).await;
    let outbox = socket.open_outbox(session.config().load().limits.outbox_bytes);
    match place {
        Ok(PipePlace::Here(reserved, attach)) => {
            let end = reserved.connect(&attach, outbox);
            let (rest, turn) = Default::default();
            let mut active = ActiveEnd { end, rest, turn, unfinished: None, socket, session };
            active.wait(active.end.charge(0, 0, active.session.clock().now()));
            return Some(active);
        }
        Ok(PipePlace::There(proxy)) => proxy.carry(socket, outbox, &session).await,
        Err(refusal) => {
            let rejection = Rejection::of(refusal, &query, RealmKind::PeerJs);
            Rejection { id: None, ..rejection }.record(&session, &source);
            close(&mut socket, outbox, &session, [refusal_close(refusal)]).await;
        }
    }
    None
}

impl<S: Socket> ActiveEnd<S> {
    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Disconnect> {
        poll_turn(cx, UNREAD_FRAMES_PER_TURN, |cx, budget| self.poll_read(cx, budget))
    }

    /// Reads once, and passes on what came.
    fn poll_read(&mut self, cx: &mut task::Context<'_>, budget: &mut Budget) -> Poll<Step> {
        let to = match self.end.turn(cx, |cx, outbox| self.socket.poll_send(cx, outbox)) {
            PipeTurn::Over(end) => return Poll::Ready(Err(end)),
            PipeTurn::Wait => return Poll::Pending,
            PipeTurn::Alone => None,
            PipeTurn::Pass(to) => Some(to),
        };
        let ActiveEnd { end, rest, turn, session, .. } = self;
        ready!(rest.poll(cx, session, |_| {
            let now = session.clock().now();
            let left = turn.saturating_since(now);
            let owed = end.charge(0, 0, now).filter(|_| !left.is_zero());
            Ok(owed.map(|pause| pause.time.min(left)))
        }))?;
        // A connection that lacks the beginning of a message gets nothing of it.
        let skips = self.unfinished.is_some_and(|begun_for| begun_for != to || to.is_none());
        let mut read = Read { is_within: self.unfinished.is_some(), skips, ..Read::default() };
        let received = ready!(self.socket.poll_recv(cx, &mut |event| {
            read.add(&event);
            budget.take_frame(0)
        }));
        let now = self.session.clock().now();
        let pause = self.end.charge(read.bytes, read.events, now);
        if let Some(payload) = &read.ping {
            self.end.answer_ping(payload);
        }
        self.unfinished = read.is_within.then(|| to.filter(|_| !read.skips));
        if let Some(to) = to.filter(|_| !read.frames.is_empty()) {
            self.end.pass(to, read.frames, read.is_within && !read.skips, now);
        }
        if read.has_text {
            return Poll::Ready(Err(Disconnect::ByServer(CloseReason::WrongMessage)));
        }
        received?;
        if let Some(pause) = &pause {
            self.session.counters().add(Count::LimitHits(pause.limit), 1);
        }
        self.wait(pause);
        Poll::Ready(Ok(()))
    }

    /// Reads nothing for as long as this.
    fn wait(&mut self, pause: Option<Pause>) {
        let time = pause.map(|pause| pause.time);
        if let Some(time) = time {
            self.turn = self.session.clock().now() + time;
        }
        self.rest = Rest::of(time, &self.session);
    }

    async fn goodbye(self, over: Disconnect) {
        let ActiveEnd { end, mut socket, session, .. } = self;
        end.leave(over);
        if over == Disconnect::Gone {
            return;
        }
        end.push_last(over.close());
        let send = move |cx: &mut task::Context<'_>, socket: &mut S| {
            end.with_outbox(|outbox| socket.poll_send(cx, outbox))
        };
        farewell(&mut socket, send, &session, matches!(over, Disconnect::Closed(_))).await;
    }
}

/// The messages of one read.
#[derive(Default)]
struct Read {
    /// The messages in frames for the other end.
    frames: Vec<u8>,
    /// Bytes of payloads.
    bytes: usize,
    events: usize,
    /// The latest one: RFC 6455, section 5.5.3, lets it stand for all.
    ping: Option<Vec<u8>>,
    has_text: bool,
    /// The last message is not whole.
    is_within: bool,
    /// The rest of the message is dropped.
    skips: bool,
}

impl Read {
    fn add(&mut self, event: &SocketEvent<'_>) {
        self.events += 1;
        match event {
            SocketEvent::Binary(payload) => self.append(payload, Fragment::WHOLE),
            SocketEvent::Part { text: false, bytes, place } => self.append(bytes, *place),
            SocketEvent::Text(_) | SocketEvent::Part { .. } => self.has_text = true,
            SocketEvent::Ping(payload) => self.ping = Some(payload.to_vec()),
            SocketEvent::Pong | SocketEvent::Fragment => {}
        }
    }

    fn append(&mut self, payload: &[u8], place: Fragment) {
        self.bytes += payload.len();
        self.is_within = !place.is_last;
        self.skips &= !place.is_first;
        if self.skips {
            return;
        }
        self.frames.reserve(payload.len() + LONGEST_HEADER);
        Frame::append_fragment(&mut self.frames, payload, place);
    }
}

/// Bytes of the header of a frame to a client.
const LONGEST_HEADER: usize = 10;
