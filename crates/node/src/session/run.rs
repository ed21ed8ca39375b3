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
use super::effects::ClientTurn;
use super::farewell::farewell;
use super::open::OpenSession;
use super::pace::{Budget, FRAMES_PER_TURN, Rest, Step, poll_turn};
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
use peerbroker_transport::{Flow, Socket, SocketEvent};

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
    /// The session has to write for all sessions of its worker.
    is_writer: bool,
    /// The operator knows that the client is above its rate limit.
    is_told_of_pace: bool,
    socket: S,
    // Dropped last.
    session: OpenSession,
}

/// The flushes that the sessions of a worker have left to do.
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
    /// The pause of a client above its rate limit.
    rest: Rest,
    asked: Option<Asked>,
}

/// A question of the client.
struct Asked {
    answer: Awaited,
    /// Until the answer, if the client reads nothing before.
    rest: Rest,
    /// Of the quota of unfinished messages, for the message that the client keeps.
    _kept: QuotaShare,
}

impl<S: Socket, C: Protocol> ActiveSession<S, C> {
    fn new(socket: S, session: OpenSession, key: Arc<KeyState>, lease: IdLease, client: C) -> Self {
        // A client that reconnects during its rate-limit pause keeps waiting.
        let pause = key.charge(&lease, &Spent::default());
        let begin = |Pause { time, .. }| Waits { rest: Rest::of(Some(time), &session), asked: None };
        let waits = pause.map(|pause| Box::new(begin(pause)));
        let present = Some((lease, client));
        let mut active =
            ActiveSession { present, key, waits, is_writer: false, is_told_of_pace: false, socket, session };
        let open = |turn: &mut ClientTurn<'_>, client: &mut C| {
            turn.handle(client, |client, context| client.on_open(context));
        };
        // It keeps nothing yet.
        let _ = Flushes::with(|flushes| active.handle(flushes, open));
        active
    }

    /// Lets the client handle something. The error is the end of its connection.
    fn handle(&mut self, flushes: &mut Flushes, act: impl FnOnce(&mut ClientTurn<'_>, &mut C)) -> Step {
        let ActiveSession { present, key, waits, session, .. } = self;
        let Some((lease, client)) = present else { return Err(LEFT) };
        let mut turn = ClientTurn::new(session, lease, key, flushes);
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
            let polled = poll_turn(cx, FRAMES_PER_TURN, |cx, budget| self.poll_read(cx, unflushed, budget));
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
    fn poll_answer(&mut self, cx: &mut task::Context<'_>, flushes: &mut Flushes) -> Poll<Step> {
        while let Some(asked) = self.waits.as_mut().and_then(|waits| waits.asked.as_mut()) {
            let Some((lease, client)) = &self.present else { return Poll::Ready(Err(LEFT)) };
            let Poll::Ready(answer) = asked.answer.as_mut().poll(cx) else {
                if !client.waits() {
                    return Poll::Ready(Ok(()));
                }
                // We do not read meanwhile, so silence proves nothing.
                lease.mark_alive();
                if asked.rest.is_over() {
                    asked.rest = Rest::of(Some(Duration::MAX), &self.session);
                }
                return asked.rest.poll(cx, &self.session, |_| {
                    lease.mark_alive();
                    Ok(Some(Duration::MAX))
                });
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
    fn poll_waits(&mut self, cx: &mut task::Context<'_>, flushes: &mut Flushes) -> Poll<Step> {
        let ActiveSession { present, key, waits, socket, session, .. } = self;
        let Some((lease, _)) = present else { return Poll::Ready(Err(LEFT)) };
        ready!(waits.get_or_insert_default().rest.poll(cx, session, |cx| {
            if socket.has_left(cx) {
                return Err(Disconnect::Gone);
            }
            // We stopped reading, so silence proves nothing.
            lease.mark_alive();
            Ok(key.charge(lease, &Spent::default()).map(|pause| pause.time))
        }))?;
        if self.poll_answer(cx, flushes)?.is_pending() {
            return if self.socket.has_left(cx) { Poll::Ready(Err(Disconnect::Gone)) } else { Poll::Pending };
        }
        self.waits.take_if(|waits| waits.rest.is_over() && waits.asked.is_none());
        Poll::Ready(Ok(()))
    }

    /// Reads once, and handles what came.
    fn poll_read(
        &mut self,
        cx: &mut task::Context<'_>,
        Unflushed { flushes, begun }: &mut Unflushed,
        budget: &mut Budget,
    ) -> Poll<Step> {
        if self.waits.is_some() {
            ready!(self.poll_waits(cx, flushes))?;
        }
        let ActiveSession { present, key, waits, socket, session, .. } = self;
        let Some((lease, client)) = present else { return Poll::Ready(Err(LEFT)) };
        // Before the read: only what is read after the ping answers it. Behind an earlier frame may be LEAVE.
        let is_probed = lease.is_probed();
        let mut reading = Reading {
            turn: ClientTurn::new(session, lease, key, flushes),
            client,
            budget,
            begun,
            spent: Spent::default(),
            // Loaded once for all that a read brings.
            withholds: key.withholds_addresses(),
            is_followed: log::log_enabled!(target: MESSAGES, Level::Trace),
        };
        let received = ready!(socket.poll_recv(cx, &mut |event| reading.on_event(event)));
        let Reading { turn, client, spent, .. } = reading;
        let left = if turn.left { Err(LEFT) } else { Ok(()) };
        let asked = wait_for_answer(turn, client, waits);
        begun.take_if(|_| flushes.is_empty());
        Poll::Ready(self.end_read(&spent, is_probed, left.and(received).and(asked)))
    }

    /// Charges a read, from which the client goes on, or pauses, or its connection ends.
    fn end_read(&mut self, spent: &Spent, is_probed: bool, end: Step) -> Step {
        let ActiveSession { present, key, waits, session, is_told_of_pace, .. } = self;
        let Some((lease, _)) = present else { return Err(LEFT) };
        // Charged before the messages are delivered: a takeover right after them must not get a new burst.
        // Pings, pongs and fragments count too, because they cost CPU time.
        let pause = key.spend(lease, spent);
        if let Some(pause) = pause {
            session.counters().add(Count::LimitHits(pause.limit), 1);
            if !std::mem::replace(is_told_of_pace, true) {
                report_pace(key, lease, pause);
            }
        }
        end?;
        if !lease.is_current() {
            return Err(LEFT);
        }
        // Part of a frame is a sign of life as well. A probe ends when all that came is handled: its asker
        // would be refused the id of a client that leaves.
        if is_probed {
            lease.mark_alive();
        } else {
            lease.mark_alive_unprobed();
        }
        if let Some(Pause { time, .. }) = pause {
            waits.get_or_insert_default().rest = Rest::of(Some(time), session);
        }
        Ok(())
    }

    /// Gives the id back. The future, if any, closes the connection.
    fn goodbye(&mut self, end: Disconnect) -> Option<Pin<Box<impl Future<Output = ()>>>> {
        if let (Disconnect::Closed(Some(GOING_AWAY)), Some((lease, _))) = (end, &self.present) {
            Flushes::with(|flushes| {
                ClientTurn::new(&self.session, lease, &self.key, flushes).going_away::<C>();
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

/// A read of a client, of which each event is charged and handled.
struct Reading<'a, C> {
    turn: ClientTurn<'a>,
    client: &'a mut C,
    /// The messages and bytes that are charged. Not all frames are charged.
    spent: Spent,
    budget: &'a mut Budget,
    /// The time of the first message, if it is sampled.
    begun: &'a mut Option<Instant>,
    withholds: bool,
    is_followed: bool,
}

impl<C: Protocol> Reading<'_, C> {
    /// Breaks if the client reads no more now.
    // Inline, because each heartbeat comes here.
    #[inline(always)]
    fn on_event(&mut self, event: SocketEvent<'_>) -> Flow {
        // Checked for each event: the client may have lost its id.
        if !self.turn.peer.is_current() {
            return ControlFlow::Break(());
        }
        self.charge(&event);
        if self.is_followed {
            follow(self.turn.peer, &event);
        }
        let before = self.turn.flushes.deliveries();
        self.handle(event);
        let flow = self.budget.take_frame(self.turn.flushes.deliveries().wrapping_sub(before));
        if self.turn.left || self.turn.asked.is_some() { ControlFlow::Break(()) } else { flow }
    }

    #[inline(always)]
    fn charge(&mut self, event: &SocketEvent<'_>) {
        if let Some(len) = event.message_len() {
            if self.turn.flushes.is_empty() && self.spent.messages == 0 {
                *self.begun = self.turn.node.counters().sample();
            }
            self.spent.messages += 1;
            self.spent.bytes += len as u64;
        } else if matches!(event, SocketEvent::Pong) && self.turn.peer.answers_ping() {
            // An answer to our own question is free: strangers can have us ask.
            return;
        }
        self.spent.frames += 1;
    }

    #[inline(always)]
    fn handle(&mut self, event: SocketEvent<'_>) {
        match event {
            SocketEvent::Text(text) => self.on_text(text),
            SocketEvent::Binary(bytes) => {
                let mut is_handled = false;
                self.turn.handle(self.client, |client, context| {
                    is_handled = client.on_binary(bytes, context);
                });
                if !is_handled {
                    // Some clients send their JSON as bytes.
                    self.on_text(mistakes::text_of(bytes));
                }
            }
            SocketEvent::Ping(payload) => {
                self.turn.flushes.extend(self.turn.peer.reply(Frame::pong(payload)));
            }
            SocketEvent::Pong | SocketEvent::Part { .. } | SocketEvent::Fragment => {}
        }
    }

    #[inline(always)]
    fn on_text(&mut self, text: &str) {
        if self.withholds {
            self.pass_on(&without_addresses(text));
        } else {
            self.pass_on(text);
        }
    }

    #[inline(always)]
    fn pass_on(&mut self, text: &str) {
        if C::APP_HEARS {
            self.turn.node.record_text(self.turn.peer, text);
        }
        if C::HEARTBEAT == Some(text) {
            return;
        }
        self.turn.handle(self.client, |client, context| client.on_text(text, context));
    }
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
fn wait_for_answer<C: Protocol>(turn: ClientTurn<'_>, client: &C, waits: &mut Option<Box<Waits>>) -> Step {
    let ClientTurn { node, peer, key, asked, .. } = turn;
    let Some(ask) = asked else { return Ok(()) };
    let mut kept = node.unfinished.share(AddressPrefix::of_remote(peer.address()));
    if kept.set(client.kept_bytes()).is_err() {
        return Err(Disconnect::ByServer(CloseReason::TryAgainLater));
    }
    let answer = node.ask(peer, key, ask);
    waits.get_or_insert_default().asked = Some(Asked { answer, rest: Rest::default(), _kept: kept });
    Ok(())
}
