//! The loop of a client that has its id: read, handle, flush, until it leaves.

use std::cell::Cell;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::{Duration, Instant};

use log::Level;

use super::admission::{Admitted, ClientSource, ConnectRequest, Rejection};
use super::farewell::farewell;
use super::handler::{Context, ProtocolHandler};
use super::open::OpenSession;
use super::register::register_session;
use crate::descriptions::without_addresses;
use crate::node::Node;
use crate::transport::{self, Disconnect, Event, Flow, Socket, Stop};
use peerbroker_broker::events::{Count, Event as Happened};
use peerbroker_broker::limits::ConnectionPermit;
use peerbroker_broker::router::{Departure, Flush, IdLease, MESSAGES, Outgoing, PeerHandle};
use peerbroker_core::wire::{CloseReason, Frame, GOING_AWAY, Limit};

/// Reads before other tasks of the worker get their turn. Only a flood fills even one.
pub(super) const READS_PER_TURN: usize = 2;

/// Most frames that are handled before other tasks of the worker get their turn. One read may bring thousands.
pub(super) const FRAMES_PER_TURN: u32 = 32;

/// Interval at which we check if a client above its rate limit has left during its pause.
const DEPARTURE_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The client said LEAVE to everybody, or the broker took the id away and said why in the outbox.
const LEFT: Disconnect = Disconnect::ByServer(CloseReason::Left);

/// The flushes that sessions of a worker have left to do.
#[derive(Default)]
struct Unflushed {
    flushes: Vec<Flush>,
    /// The time of the first read that left one, if it is sampled.
    begun: Option<Instant>,
}

impl Unflushed {
    /// Notes the time since the first read.
    fn note_latency(&mut self, node: &Node) {
        let begun = self.begun.take();
        begun.into_iter().for_each(|begun| node.counters().latency.record(begun.elapsed()));
    }
}

thread_local! {
    // Sessions of a worker are polled one after another; the first that leaves flushes is polled again behind the others, and flushes for
    // all: see `ActiveSession::flush`. If it ends before, its `Drop` does.
    static UNFLUSHED: Cell<Unflushed> = const { Cell::new(Unflushed { flushes: Vec::new(), begun: None }) };
}

/// Serves one client of a WebSocket until it is gone, in its protocol.
pub(crate) fn serve<S: Socket, H: ProtocolHandler>(
    socket: S,
    node: &Arc<Node>,
    ConnectRequest { query, source, permit }: ConnectRequest,
) -> impl Future<Output = ()> + use<S, H> {
    let (of, from) = (Arc::clone(node), source.clone());
    run(socket, node, source, permit, async move { H::enter(&of, &query, &from).await })
}

/// Serves one client until it is gone. `admission` admits it.
///
/// Admission and farewell are boxed, so that the future of an idle client stays small: most clients are idle.
pub(super) fn run<S, H, F>(
    socket: S,
    node: &Arc<Node>,
    source: ClientSource,
    permit: Option<ConnectionPermit>,
    admission: F,
) -> impl Future<Output = ()> + use<S, H, F>
where
    S: Socket,
    H: ProtocolHandler,
    F: Future<Output = Result<(Admitted, H), Rejection>>,
{
    let registration = Box::pin(register_session(socket, OpenSession::new(node, permit), source, admission));
    async move {
        // One pattern: a variable for the whole would take space in the future for as long as the client is connected.
        let Some((socket, session, lease, handler)) = registration.await else { return };
        let mut active = ActiveSession::new(socket, session, lease, handler);
        let end = poll_fn(|cx| active.poll(cx)).await;
        if let Some(goodbye) = active.goodbye(end) {
            goodbye.await;
        }
    }
}

/// A registered client. Dropping it gives the id back, and reports its end.
struct ActiveSession<S, H: ProtocolHandler> {
    // Taken when the client leaves: the handler is dropped with the id.
    present: Option<(IdLease, H)>,
    /// The pause of a client above its rate limit: nothing is read until it ends.
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// This session flushes for all of its worker.
    is_flusher: bool,
    socket: S,
    // Dropped last.
    session: OpenSession,
}

impl<S: Socket, H: ProtocolHandler> ActiveSession<S, H> {
    fn new(socket: S, session: OpenSession, lease: IdLease, mut handler: H) -> Self {
        let mut flushes = Vec::new();
        handler.on_open(&mut Context { peer: &lease, node: &session, flushes: &mut flushes });
        drop(flushes);
        // A client that reconnects during its rate-limit pause keeps waiting.
        let pause =
            pause_for(lease.charge(0, handler.tenant().policy().settings().messages_per_second), &session);
        ActiveSession { present: Some((lease, handler)), pause, is_flusher: false, socket, session }
    }

    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Disconnect> {
        self.flush();
        let ActiveSession { present, socket, session, .. } = self;
        let Some((lease, handler)) = present else { return Poll::Ready(LEFT) };
        let mut owes_state = false;
        let sent = lease.with_outbox(|outbox| {
            outbox.set_task(cx.waker());
            let sent = socket.poll_send(cx, outbox);
            if sent.is_pending() {
                outbox.block();
            }
            owes_state = outbox.take_owed_state();
            sent
        });
        match sent {
            None => return Poll::Ready(LEFT),
            Some(Poll::Ready(Err(_))) => return Poll::Ready(Disconnect::Gone),
            Some(_) => {}
        }
        if owes_state {
            let mut flushes = Vec::new();
            handler.on_room(&mut Context { peer: lease, node: session, flushes: &mut flushes });
        }
        let mut unflushed = UNFLUSHED.take();
        let of_others = unflushed.flushes.len();
        let polled = self.poll_reads(cx, &mut unflushed);
        // Tasks of recipients write behind all sessions that read now, so they need not be woken later.
        unflushed.flushes.extract_if(of_others.., |flush| !flush.writes()).for_each(Flush::flush);
        if unflushed.flushes.is_empty() {
            unflushed.note_latency(&self.session);
        } else if of_others == 0 {
            self.is_flusher = true;
            // The runtime polls this session again behind all those that can run now.
            cx.waker().wake_by_ref();
        }
        UNFLUSHED.set(unflushed);
        polled
    }

    /// Reads, and handles what came.
    fn poll_reads(
        &mut self,
        cx: &mut task::Context<'_>,
        Unflushed { flushes, begun }: &mut Unflushed,
    ) -> Poll<Disconnect> {
        let ActiveSession { present, pause, socket, session, .. } = self;
        let Some((lease, handler)) = present else { return Poll::Ready(LEFT) };
        let mut left_of_turn = FRAMES_PER_TURN;
        for _ in 0..READS_PER_TURN {
            while let Some(waiting) = pause {
                ready!(waiting.as_mut().poll(cx));
                if socket.has_left(cx) {
                    return Poll::Ready(Disconnect::Gone);
                }
                // We stopped reading, so silence proves nothing.
                lease.heard();
                *pause = pause_for(
                    lease.charge(0, handler.tenant().policy().settings().messages_per_second),
                    session,
                );
            }
            let mut context = Context { peer: lease, node: session, flushes };
            if handler.poll_pending(cx, &mut context).is_pending() {
                // Its message would be kept until the answer comes.
                return if socket.has_left(cx) { Poll::Ready(Disconnect::Gone) } else { Poll::Pending };
            }
            // The first message is one that has waited. It is counted already.
            let has_waited = handler.waits();
            // Not all frames are charged.
            let (mut left, mut messages, mut bytes, mut frames, mut free) = (false, 0, 0, 0, 0);
            // Loaded once for all that a read brings.
            let withholds = handler.tenant().withholds_addresses();
            let counters = session.counters();
            let is_followed = log::log_enabled!(target: MESSAGES, Level::Trace);
            // Before the read: only what is read after the ping answers it. Behind an earlier frame may be LEAVE.
            let is_probed = lease.is_probed();
            let received = ready!(socket.poll_recv(cx, &mut |event| {
                // Checked for each event: the client may have lost its id.
                if !lease.is_current() {
                    return Flow::Break(Stop::After);
                }
                if has_waited && frames == 0 {
                    free += 1;
                } else if let Some(len) = event.message_len() {
                    if flushes.is_empty() && messages == 0 {
                        *begun = counters.sample();
                    }
                    messages += 1;
                    bytes += len as u64;
                } else if matches!(event, Event::Pong) && lease.answers_ping() {
                    // An answer to our own question is free: strangers can have us ask.
                    free += 1;
                }
                frames += 1;
                if is_followed {
                    follow(lease, &event);
                }
                let context = Context { peer: lease, node: session, flushes };
                left |= on_event(handler, context, event, withholds).is_break();
                if handler.waits() {
                    Flow::Break(Stop::Before)
                } else if left || frames >= left_of_turn {
                    Flow::Break(Stop::After)
                } else {
                    Flow::Continue(())
                }
            }));
            left_of_turn = left_of_turn.saturating_sub(frames);
            // Charged before the messages are delivered: a takeover right after them must not get a new burst. Pings,
            // pongs and fragments count too, because they cost CPU time.
            lease.count_messages(messages, bytes);
            let messages_per_second = handler.tenant().policy().settings().messages_per_second;
            let excess = lease.charge(frames - free, messages_per_second);
            if !excess.is_zero() {
                counters.add(Count::LimitHits(Limit::MessagesPerSecond), 1);
            }
            begun.take_if(|_| flushes.is_empty());
            if let (false, Err(disconnect)) = (left, received) {
                return Poll::Ready(disconnect);
            }
            if left || !lease.is_current() {
                return Poll::Ready(LEFT);
            }
            // Part of a frame is a sign of life as well. A probe ends when all that came is handled: its asker would be refused the id
            // of a client that leaves.
            if is_probed {
                lease.heard();
            } else {
                lease.heard_unprobed();
            }
            *pause = pause_for(excess, session);
            if left_of_turn == 0 {
                break;
            }
        }
        transport::give_way(cx);
        Poll::Pending
    }

    /// Gives the id back. The future, if any, closes the connection.
    fn goodbye(&mut self, end: Disconnect) -> Option<Pin<Box<impl Future<Output = ()>>>> {
        if let (Disconnect::Closed(Some(GOING_AWAY)), Some((lease, _))) = (end, &self.present) {
            let mut flushes = Vec::new();
            H::on_going_away(&mut Context { peer: lease, node: &self.session, flushes: &mut flushes });
        }
        let departure = self.depart(end).filter(|_| end != Disconnect::Gone)?;
        // A client that the broker dismissed has its close frame in the outbox already.
        if departure.by_session {
            departure.peer.with_last_outbox(|outbox| outbox.push_unbounded(Outgoing::notice(end.close())));
        }
        let send = move |cx: &mut task::Context<'_>, socket: &mut S| {
            let sent = departure.peer.with_last_outbox(|outbox| socket.poll_send(cx, outbox));
            sent.unwrap_or(Poll::Ready(Ok(())))
        };
        let closed_by_client = matches!(end, Disconnect::Closed(_));
        Some(Box::pin(farewell(&mut self.socket, send, &self.session, closed_by_client)))
    }
}

impl<S, H: ProtocolHandler> ActiveSession<S, H> {
    /// Flushes for all sessions of this worker, if this one has to.
    ///
    /// First those read that can, and then one of them flushes for all: messages of several senders to one recipient are written
    /// together, and the kernel's code for reading stays in the processor's cache, and then that for writing.
    fn flush(&mut self) {
        if !std::mem::take(&mut self.is_flusher) {
            return;
        }
        // Here as well, because a worker that has always something to do never waits for it.
        if let Some(membership) = self.session.membership() {
            membership.wait_until_sure();
        }
        let mut unflushed = UNFLUSHED.take();
        unflushed.flushes.drain(..).for_each(Flush::flush);
        unflushed.note_latency(&self.session);
        UNFLUSHED.set(unflushed);
    }

    /// Gives the id back.
    fn depart(&mut self, end: Disconnect) -> Option<Departure> {
        // If it was to flush for all, nobody else would.
        self.flush();
        let (lease, handler) = self.present.take()?;
        let departure = handler.depart(lease, end)?;
        self.session.events().emit(|| Happened::PeerDisconnected(departure.ended.clone()));
        Some(departure)
    }
}

impl<S, H: ProtocolHandler> Drop for ActiveSession<S, H> {
    fn drop(&mut self) {
        drop(self.depart(Disconnect::Gone));
    }
}

/// The pause of a client above its rate limit, cut into parts so that we notice when it leaves.
fn pause_for(excess: Duration, node: &Node) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
    let pause = excess.min(DEPARTURE_CHECK_INTERVAL);
    if pause.is_zero() { None } else { Some(Box::pin(node.clock().sleep(pause))) }
}

/// Says in the log that a client has sent a message.
#[cold]
fn follow(peer: &PeerHandle, event: &Event<'_>) {
    if let Some(bytes) = event.message_len() {
        log::trace!(target: MESSAGES, "{} ({:?}) sent {bytes} bytes", peer.connection(), peer.id().as_str());
    }
}

/// Handles one event; breaks when the client says goodbye.
// Inline, because each heartbeat comes here.
#[inline(always)]
fn on_event<H: ProtocolHandler>(
    handler: &mut H,
    mut context: Context<'_>,
    event: Event<'_>,
    withholds: bool,
) -> ControlFlow<()> {
    match event {
        Event::Text(text) if withholds => handler.on_text(&without_addresses(text), &mut context),
        // The same text, on the path of every message.
        Event::Text(text) => handler.on_text(text, &mut context),
        // Some clients send their JSON as bytes.
        Event::Binary(bytes) => match handler.on_binary(bytes, &mut context) {
            Some(flow) => flow,
            None => {
                let text = std::str::from_utf8(bytes).unwrap_or_default();
                match withholds {
                    true => handler.on_text(&without_addresses(text), &mut context),
                    false => handler.on_text(text, &mut context),
                }
            }
        },
        Event::Ping(payload) => {
            context.reply(Frame::pong(payload));
            ControlFlow::Continue(())
        }
        Event::Pong | Event::Fragment => ControlFlow::Continue(()),
    }
}
