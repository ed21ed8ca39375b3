//! The loop of a client that has its id: read, handle, flush, until it leaves.

use std::cell::RefCell;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::{Duration, Instant};

use log::Level;

use super::admission::{Admitted, ClientSource, ConnectRequest, Rejection, enter};
use super::effects::Turn;
use super::farewell::farewell;
use super::open::OpenSession;
use super::register::{Registered, register_session};
use crate::descriptions::without_addresses;
use crate::{Awaited, Node};
use peerbroker_core::vocabulary::{AddressPrefix, CloseReason, Frame, GOING_AWAY};
use peerbroker_events::{Count, Event};
use peerbroker_limits::{ConnectionPermit, QuotaShare};
use peerbroker_protocols::client::{Protocol, report_mistake};
use peerbroker_protocols::key_state::{KeyState, Pause, Spent};
use peerbroker_protocols::mistakes;
use peerbroker_router::{Departure, Disconnect, Flushes, IdLease, MESSAGES, Outgoing, PeerHandle};
use peerbroker_transport::{self as transport, Socket, SocketEvent};

/// Reads before other tasks of the worker get their turn. Only a flood fills even one.
pub(super) const READS_PER_TURN: usize = 2;

/// Most frames that are handled before other tasks of the worker get their turn. One read may bring
/// thousands.
pub(super) const FRAMES_PER_TURN: u32 = 32;

/// Interval at which we check if a client above its rate limit has left during its pause.
const DEPARTURE_CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// Interval at which a client from which nothing is read counts as heard. Shorter than a probe.
const HEARING_INTERVAL: Duration = Duration::from_millis(250);

/// The client said LEAVE to everybody, or the broker took the id away and said why in the outbox.
const LEFT: Disconnect = Disconnect::ByServer(CloseReason::Left);

/// Serves one client of a WebSocket until it is gone, in its protocol.
pub fn serve<S: Socket, C: Protocol>(
    socket: S,
    node: &Arc<Node>,
    ConnectRequest { query, source, permit }: ConnectRequest,
) -> impl Future<Output = ()> + use<S, C> {
    let of = Arc::clone(node);
    let from = source.clone();
    run(socket, node, source, permit, async move { enter::<C>(&of, &query, &from).await })
}

/// Serves one client until it is gone. `admission` admits it.
///
/// Admission and farewell are boxed, so that the future of an idle client stays small: most clients are idle.
pub(super) fn run<S, C, F>(
    socket: S,
    node: &Arc<Node>,
    source: ClientSource,
    permit: Option<ConnectionPermit>,
    admission: F,
) -> impl Future<Output = ()> + use<S, C, F>
where
    S: Socket,
    C: Protocol,
    F: Future<Output = Result<(Admitted, C), Rejection>>,
{
    let registration = Box::pin(register_session(socket, OpenSession::new(node, permit), source, admission));
    async move {
        // One pattern: a variable for the whole would take space in the future for as long as the client is
        // connected.
        let Some(Registered { socket, session, key, lease, client }) = registration.await else { return };
        let mut active = ActiveSession::new(socket, session, key, lease, client);
        let end = poll_fn(|cx| active.poll(cx)).await;
        if let Some(goodbye) = active.goodbye(end) {
            goodbye.await;
        }
    }
}

/// A registered client. Dropping it gives the id back, and reports its end.
struct ActiveSession<S, C: Protocol> {
    // Taken when the client leaves: it is dropped with the id.
    present: Option<(IdLease, C)>,
    key: Arc<KeyState>,
    /// Boxed, because most clients wait for nothing.
    waits: Option<Box<Waits>>,
    /// This session has to write for all of its worker.
    is_writer: bool,
    /// The operator knows that the client is above its rate limit.
    is_told_of_pace: bool,
    socket: S,
    // Dropped last.
    session: OpenSession,
}

/// What the sessions of a worker have left to flush.
///
/// Sessions of a worker are polled one after another. First all that can read do; the first of them that has
/// something to write is polled again behind the others, and then writes for all. So messages of several
/// senders to one recipient are one write, and the code for reading stays in the processor's cache, and then
/// that for writing: writing after each read costs 5 % more of the processor per message.
struct Unflushed {
    flushes: Flushes,
    /// The time of the first read that left one, if it is sampled.
    begun: Option<Instant>,
}

thread_local! {
    static UNFLUSHED: RefCell<Unflushed> =
        const { RefCell::new(Unflushed { flushes: Flushes::new(), begun: None }) };
}

impl Unflushed {
    /// Notes the time since the first read.
    fn record_latency(&mut self, node: &Node) {
        if let Some(begun) = self.begun.take() {
            node.counters().latency.record(begun.elapsed());
        }
    }
}

/// The things for which a session waits.
#[derive(Default)]
struct Waits {
    /// The pause of a client above its rate limit: nothing is read until it ends.
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
    asked: Option<Asked>,
}

/// A question of the client.
struct Asked {
    answer: Awaited,
    /// The time until a client from which nothing is read counts as heard again.
    hearing: Option<Pin<Box<dyn Future<Output = ()>>>>,
    /// Of the quota of unfinished messages, for the message that the client keeps.
    _kept: QuotaShare,
}

impl<S: Socket, C: Protocol> ActiveSession<S, C> {
    fn new(socket: S, session: OpenSession, key: Arc<KeyState>, lease: IdLease, client: C) -> Self {
        // A client that reconnects during its rate-limit pause keeps waiting.
        let pause = wait(key.charge(&lease, &Spent::default()), &session);
        let waits = pause.map(|pause| Box::new(Waits { pause: Some(pause), asked: None }));
        let present = Some((lease, client));
        let mut active =
            ActiveSession { present, key, waits, is_writer: false, is_told_of_pace: false, socket, session };
        let open = |turn: &mut Turn<'_>, client: &mut C| {
            turn.handle(client, |client, context| client.on_open(context));
        };
        // It keeps nothing yet.
        let _ = Flushes::with(|flushes| active.handle(flushes, open));
        active
    }

    /// Lets the client handle something. The error is the end of its connection.
    fn handle(
        &mut self,
        flushes: &mut Flushes,
        act: impl FnOnce(&mut Turn<'_>, &mut C),
    ) -> Result<(), Disconnect> {
        let ActiveSession { present, key, waits, session, .. } = self;
        let Some((lease, client)) = present else { return Err(LEFT) };
        let mut turn = Turn::new(session, lease, key, flushes);
        act(&mut turn, client);
        if turn.left {
            return Err(LEFT);
        }
        wait_for_answer(turn, client, waits)
    }

    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Disconnect> {
        self.write_for_worker();
        let ActiveSession { present, socket, key, .. } = self;
        let Some((lease, _)) = present else { return Poll::Ready(LEFT) };
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
        if owes_state && let Some(rooms) = key.existing_rooms(C::REALM) {
            Flushes::with(|flushes| rooms.catch_up(lease, flushes));
        }
        UNFLUSHED.with_borrow_mut(|unflushed| {
            let of_others = unflushed.flushes.len();
            // Before it reads, because a hook may panic.
            self.is_writer = of_others == 0;
            let polled = self.poll_reads(cx, unflushed);
            // Tasks of recipients write behind all sessions that read now, so they need not be woken later.
            unflushed.flushes.wake_tasks(of_others);
            if unflushed.flushes.is_empty() {
                unflushed.record_latency(&self.session);
                self.is_writer = false;
            } else if self.is_writer {
                // The runtime polls this session again behind all those that can run now.
                cx.waker().wake_by_ref();
            }
            polled
        })
    }

    /// Waits for the answer to what the client has asked, if it has asked, and lets it go on.
    fn poll_answer(
        &mut self,
        cx: &mut task::Context<'_>,
        flushes: &mut Flushes,
    ) -> Poll<Result<(), Disconnect>> {
        while let Some(asked) = self.waits.as_mut().and_then(|waits| waits.asked.as_mut()) {
            let Some((lease, client)) = &self.present else { return Poll::Ready(Err(LEFT)) };
            let Poll::Ready(answer) = asked.answer.as_mut().poll(cx) else {
                if !client.waits() {
                    return Poll::Ready(Ok(()));
                }
                // We do not read meanwhile, so silence proves nothing.
                loop {
                    lease.mark_alive();
                    let sleep = || Box::pin(self.session.clock().sleep(HEARING_INTERVAL)) as Pin<Box<_>>;
                    ready!(asked.hearing.get_or_insert_with(sleep).as_mut().poll(cx));
                    asked.hearing = None;
                }
            };
            let is_current = lease.is_current();
            if let Some(waits) = &mut self.waits {
                waits.asked = None;
            }
            if !is_current {
                return Poll::Ready(Err(LEFT));
            }
            self.handle(flushes, |turn, client| {
                turn.handle(client, |client, context| client.on_answer(answer, context));
            })?;
        }
        Poll::Ready(Ok(()))
    }

    /// Waits while the client is above its rate limit, or for an answer without which it reads nothing.
    fn poll_waits(
        &mut self,
        cx: &mut task::Context<'_>,
        flushes: &mut Flushes,
    ) -> Poll<Result<(), Disconnect>> {
        while let Some(pause) = self.waits.as_mut().and_then(|waits| waits.pause.as_mut()) {
            let Some((lease, _)) = &self.present else { return Poll::Ready(Err(LEFT)) };
            ready!(pause.as_mut().poll(cx));
            if self.socket.has_left(cx) {
                return Poll::Ready(Err(Disconnect::Gone));
            }
            // We stopped reading, so silence proves nothing.
            lease.mark_alive();
            let pause = wait(self.key.charge(lease, &Spent::default()), &self.session);
            if let Some(waits) = &mut self.waits {
                waits.pause = pause;
            }
        }
        if self.poll_answer(cx, flushes)?.is_pending() {
            return if self.socket.has_left(cx) { Poll::Ready(Err(Disconnect::Gone)) } else { Poll::Pending };
        }
        self.waits.take_if(|waits| waits.pause.is_none() && waits.asked.is_none());
        Poll::Ready(Ok(()))
    }

    /// Reads, and handles what came.
    fn poll_reads(
        &mut self,
        cx: &mut task::Context<'_>,
        Unflushed { flushes, begun }: &mut Unflushed,
    ) -> Poll<Disconnect> {
        let mut left_of_turn = FRAMES_PER_TURN;
        for _ in 0..READS_PER_TURN {
            if self.waits.is_some()
                && let Err(end) = ready!(self.poll_waits(cx, flushes))
            {
                return Poll::Ready(end);
            }
            let ActiveSession { present, key, waits, socket, session, is_told_of_pace, .. } = self;
            let Some((lease, client)) = present else { return Poll::Ready(LEFT) };
            // Not all frames are charged.
            let mut spent = Spent::default();
            let mut frames = 0;
            // Loaded once for all that a read brings.
            let withholds = key.settings().withholds_addresses();
            let counters = session.counters();
            let is_followed = log::log_enabled!(target: MESSAGES, Level::Trace);
            // Before the read: only what is read after the ping answers it. Behind an earlier frame may be
            // LEAVE.
            let is_probed = lease.is_probed();
            let mut turn = Turn::new(session, lease, key, flushes);
            let received = ready!(socket.poll_recv(cx, &mut |event| {
                // Checked for each event: the client may have lost its id.
                if !lease.is_current() {
                    return ControlFlow::Break(());
                }
                if let Some(len) = event.message_len() {
                    if turn.flushes.is_empty() && spent.messages == 0 {
                        *begun = counters.sample();
                    }
                    spent.messages += 1;
                    spent.bytes += len as u64;
                    spent.frames += 1;
                } else if !matches!(event, SocketEvent::Pong) || !lease.answers_ping() {
                    // An answer to our own question is free: strangers can have us ask.
                    spent.frames += 1;
                }
                frames += 1;
                if is_followed {
                    follow(lease, &event);
                }
                on_event(client, &mut turn, event, withholds);
                if turn.left || turn.asked.is_some() || frames >= left_of_turn {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            }));
            let left = turn.left;
            let asked = wait_for_answer(turn, client, waits);
            left_of_turn = left_of_turn.saturating_sub(frames);
            // Charged before the messages are delivered: a takeover right after them must not get a new
            // burst. Pings, pongs and fragments count too, because they cost CPU time.
            let pause = key.spend(lease, &spent);
            if let Some(pause) = pause {
                counters.add(Count::LimitHits(pause.limit), 1);
                if !std::mem::replace(is_told_of_pace, true) {
                    report_pace(key, lease, pause);
                }
            }
            begun.take_if(|_| flushes.is_empty());
            if let (false, Err(disconnect)) = (left, received.and(asked)) {
                return Poll::Ready(disconnect);
            }
            if left || !lease.is_current() {
                return Poll::Ready(LEFT);
            }
            // Part of a frame is a sign of life as well. A probe ends when all that came is handled: its
            // asker would be refused the id of a client that leaves.
            if is_probed {
                lease.mark_alive();
            } else {
                lease.mark_alive_unprobed();
            }
            if let Some(pause) = wait(pause, session) {
                waits.get_or_insert_default().pause = Some(pause);
            }
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
            Flushes::with(|flushes| {
                Turn::new(&self.session, lease, &self.key, flushes).going_away::<C>();
            });
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

impl<S, C: Protocol> ActiveSession<S, C> {
    /// Writes what all sessions of this worker have read, if this one has to.
    fn write_for_worker(&mut self) {
        if !std::mem::take(&mut self.is_writer) {
            return;
        }
        // Here as well, because a worker that has always something to do never waits for it.
        if let Some(membership) = self.session.membership() {
            membership.wait_until_sure();
        }
        UNFLUSHED.with_borrow_mut(|unflushed| {
            unflushed.flushes.flush();
            unflushed.record_latency(&self.session);
        });
    }

    /// Gives the id back.
    fn depart(&mut self, end: Disconnect) -> Option<Departure> {
        // If it was to write for all, nobody else would.
        self.write_for_worker();
        let (lease, mut client) = self.present.take()?;
        client.release();
        // If the connection is broken, so is its outbox.
        let departure = lease.part(end.reason(), end == Disconnect::Gone);
        client.departed(departure.as_ref(), end, &self.key);
        let departure = departure?;
        if departure.ended.reason == CloseReason::TooBig {
            report_size(&self.session, &self.key, &departure.peer);
        }
        self.session.events().emit(|| Event::PeerDisconnected(departure.ended.clone()));
        Some(departure)
    }
}

impl<S, C: Protocol> Drop for ActiveSession<S, C> {
    fn drop(&mut self) {
        drop(self.depart(Disconnect::Gone));
    }
}

/// Waits for a pause, cut into parts so that we notice when the client leaves.
pub(super) fn wait(pause: Option<Pause>, node: &Node) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
    let time = pause?.time.min(DEPARTURE_CHECK_INTERVAL);
    Some(Box::pin(node.clock().sleep(time)))
}

/// Tells the operator that the messages of a client are read later.
#[cold]
fn report_pace(key: &KeyState, peer: &PeerHandle, pause: Pause) {
    report_mistake(key, peer, || {
        let Pause { limit, per_second, .. } = pause;
        let what = format!("sends more messages than --{} allows", limit.row().flag.unwrap_or_default());
        let pace =
            format!("they are read later. It may send {per_second} per second, and bursts of ten times that");
        (what, format!("{pace}. Does its page answer every message with another one?"))
    });
}

/// Tells the operator that a message was too long.
#[cold]
fn report_size(node: &Node, key: &KeyState, peer: &PeerHandle) {
    report_mistake(key, peer, || {
        let most = node.config().load().max_message_bytes;
        let what = "sent a message that is longer than --max_message_bytes allows".to_owned();
        (what, format!("its connection was closed with 1009: a message has at most {most} bytes"))
    });
}

/// Says in the log that a client has sent a message.
#[cold]
fn follow(peer: &PeerHandle, event: &SocketEvent<'_>) {
    if let Some(bytes) = event.message_len() {
        log::trace!(target: MESSAGES, "{} ({:?}) sent {bytes} bytes", peer.connection(), peer.id().as_str());
    }
}

/// Waits for the answer to what a client has asked, if it has asked. The error is the end of a client that
/// keeps too much meanwhile.
fn wait_for_answer<C: Protocol>(
    turn: Turn<'_>,
    client: &C,
    waits: &mut Option<Box<Waits>>,
) -> Result<(), Disconnect> {
    let Turn { node, peer, key, asked, .. } = turn;
    let Some(ask) = asked else { return Ok(()) };
    let mut kept = node.unfinished.share(AddressPrefix::of_remote(peer.address()));
    if kept.set(client.kept_bytes()).is_err() {
        return Err(Disconnect::ByServer(CloseReason::TryAgainLater));
    }
    let answer = node.ask(peer, key, ask);
    waits.get_or_insert_default().asked = Some(Asked { answer, hearing: None, _kept: kept });
    Ok(())
}

/// Handles one event.
// Inline, because each heartbeat comes here.
#[inline(always)]
fn on_event<C: Protocol>(client: &mut C, turn: &mut Turn<'_>, event: SocketEvent<'_>, withholds: bool) {
    match event {
        SocketEvent::Text(text) if withholds => on_text(client, turn, &without_addresses(text)),
        // The same text, on the path of every message.
        SocketEvent::Text(text) => on_text(client, turn, text),
        SocketEvent::Binary(bytes) => {
            let mut is_handled = false;
            turn.handle(client, |client, context| is_handled = client.on_binary(bytes, context));
            if !is_handled {
                // Some clients send their JSON as bytes.
                let text = mistakes::text_of(bytes);
                match withholds {
                    true => on_text(client, turn, &without_addresses(text)),
                    false => on_text(client, turn, text),
                }
            }
        }
        SocketEvent::Ping(payload) => turn.flushes.extend(turn.peer.reply(Frame::pong(payload))),
        SocketEvent::Pong | SocketEvent::Part { .. } | SocketEvent::Fragment => {}
    }
}

#[inline(always)]
fn on_text<C: Protocol>(client: &mut C, turn: &mut Turn<'_>, text: &str) {
    if C::APP_HEARS {
        turn.node.record_text(turn.peer, text);
    }
    if C::HEARTBEAT == Some(text) {
        return;
    }
    turn.handle(client, |client, context| client.on_text(text, context));
}
