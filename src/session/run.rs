//! The loop: frame, decode, route, replies.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, ready};
use std::time::Duration;

use super::admission::{Entry, Refusal};
use super::farewell::farewell;
use crate::app::{Client, Service};
use crate::broker::{
    Departure, Flush, IdLease, Outbox, Outgoing, Probe, RegisterOutcome, RegisterRequest, Routed,
};
use crate::limits::ConnectionPermit;
use crate::transport::{self, Disconnect, Event, Socket};
use crate::wire::CloseReason;
use crate::wire::Frame;

/// Reads before other tasks of the worker get their turn. Only a flood fills even one.
const READS_PER_TURN: usize = 2;

/// How often a client that is not read is looked after: whether it has left.
const MAX_PAUSE: Duration = Duration::from_millis(250);

/// What a client and this server say to each other.
pub(super) trait ProtocolHandler: Sized + 'static {
    /// What a client is told first when it is in.
    fn greeting() -> Option<Frame>;

    /// Tells a client why it is not admitted.
    fn refusal(refusal: Refusal) -> Frame;

    /// Handles one message; breaks when the client says goodbye.
    fn on_text(&mut self, text: &str, context: &mut Context<'_>) -> ControlFlow<()>;
}

/// What a handler has at hand.
pub(super) struct Context<'a> {
    pub(super) peer: &'a IdLease,
    pub(super) service: &'a Service,
    /// What one read brought for one recipient is written once, when the read is dealt with.
    pub(super) flushes: &'a mut Vec<Flush>,
}

impl Context<'_> {
    /// Sends something to this very client.
    pub(super) fn reply(&mut self, frame: Frame) {
        self.flushes.extend(self.peer.reply(frame));
    }

    /// Sends something to another peer of the realm, unless it is absent: then it answers `false`.
    pub(super) fn send(&mut self, to: &str, frame: Frame) -> bool {
        match self.peer.route(to, frame, false) {
            Routed::Sent(flush) => self.flushes.extend(flush),
            Routed::Kept => {}
            Routed::Dropped | Routed::Expired => return false,
        }
        true
    }
}

/// Serves one client until it is gone.
///
/// What a client needs only when it comes and goes is boxed, so that the future of one that is
/// just there stays small: there are very many of those.
pub(super) fn run<S, C, F>(
    socket: S,
    service: &Arc<Service>,
    counted: Option<ConnectionPermit>,
    entry: F,
) -> impl Future<Output = ()> + use<S, C, F>
where
    S: Socket,
    C: ProtocolHandler,
    F: Future<Output = Result<(Entry, C), Refusal>>,
{
    let session = service.begin_session(counted);
    let admission = Box::pin(admit(socket, Arc::clone(service), entry));
    async move {
        let Some((mut socket, lease, handler, messages_per_second)) = admission.await else {
            return;
        };
        socket.on_registered(&lease);
        let mut presence = ActiveSession::begin(lease, handler, messages_per_second, &session);
        let end = poll_fn(|cx| presence.poll(cx, &mut socket)).await;
        if let Some(goodbye) = presence.goodbye(end, &mut socket) {
            goodbye.await;
        }
    }
}

/// Registers a client, or tells it why not.
async fn admit<S: Socket, C: ProtocolHandler>(
    mut socket: S,
    service: Arc<Service>,
    entry: impl Future<Output = Result<(Entry, C), Refusal>>,
) -> Option<(S, IdLease, C, u32)> {
    let mut outbox = socket.open_outbox(service.broker.limits().outbox_bytes);
    let refusal = match entry.await {
        Err(refusal) => refusal,
        Ok((entry, handler)) => match register::<S, C>(&entry, &mut socket, &mut outbox, &service).await {
            Ok(lease) => {
                return Some((socket, lease, handler, entry.messages_per_second));
            }
            Err(Refusal::Elsewhere) => Refusal::Elsewhere,
            Err(refusal) => {
                entry.realm.announce_refusal(&entry.id, &entry.token);
                refusal
            }
        },
    };
    log::debug!("refused a client: {refusal:?}");
    // Who is here already has heard all there is to hear.
    if refusal != Refusal::Elsewhere {
        outbox.push_unbounded(Outgoing::notice(C::refusal(refusal)));
    }
    outbox.push_unbounded(Outgoing::notice(Frame::close(refusal.close())));
    let send = move |cx: &mut task::Context<'_>, socket: &mut S| socket.poll_send(cx, &mut outbox);
    farewell(&mut socket, send, &service, false).await;
    None
}

async fn register<S: Socket, C: ProtocolHandler>(
    Entry { realm, id, token, about, .. }: &Entry,
    socket: &mut S,
    outbox: &mut Outbox,
    service: &Service,
) -> Result<IdLease, Refusal> {
    let mut probed = false;
    loop {
        let newcomer =
            RegisterRequest { id, token, link: S::LINK, greeting: C::greeting(), about: about.clone() };
        match realm.register(newcomer, outbox) {
            RegisterOutcome::Registered(lease) => return Ok(lease),
            RegisterOutcome::Elsewhere => return Err(Refusal::Elsewhere),
            RegisterOutcome::Full => return Err(Refusal::LimitReached),
            RegisterOutcome::Revoked => return Err(Refusal::InvalidKey),
            RegisterOutcome::Closing => return Err(Refusal::Closing),
            RegisterOutcome::Taken if probed => return Err(Refusal::IdTaken),
            // The holder may be a phone that lost its network: only an answer keeps the id.
            RegisterOutcome::Taken => probed = true,
            // Its owner was closed a moment ago and may come back.
            RegisterOutcome::Reserved => {}
        }
        let Probe::Asked(answered) = realm.probe(id) else {
            return Err(Refusal::IdTaken);
        };
        // The answer to the newcomer's handshake need not wait. If it cannot be sent, the session
        // will find out.
        let _ = poll_fn(|cx| socket.poll_send(cx, outbox)).await;
        // The WebSocket of a client whose stream is abandoned may wait for the same, and would not be greeted after
        // a stream was.
        if has_left_meanwhile(answered, socket, service).await || socket.is_abandoned() {
            return Err(Refusal::Elsewhere);
        }
    }
}

/// Waits for the holder of an id, or for its owner. An error is the answer: the holder gave a sign of life, or
/// there is none any more. Says whether the newcomer has left before that; its place is somebody else's then.
async fn has_left_meanwhile<S: Socket>(
    mut answered: impl Future + Unpin,
    socket: &mut S,
    service: &Service,
) -> bool {
    loop {
        tokio::select! {
            _ = &mut answered => return false,
            () = service.sleep(MAX_PAUSE) => {}
        }
        if poll_fn(|cx| Poll::Ready(socket.has_left(cx))).await {
            return true;
        }
    }
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SessionEnd {
    /// The client said LEAVE to everybody.
    Left,
    /// The broker took the id away and said why in the outbox.
    Dismissed,
    /// The client or the connection ended it.
    Disconnected(Disconnect),
}

impl SessionEnd {
    /// Nothing can be sent any more.
    fn is_gone(self) -> bool {
        self == SessionEnd::Disconnected(Disconnect::Gone)
    }

    /// The client has sent its close frame already.
    fn is_by_client(self) -> bool {
        matches!(self, SessionEnd::Disconnected(Disconnect::Closed(_)))
    }

    /// The close frame for a client that ended it itself.
    fn close(self) -> Frame {
        let code = match self {
            SessionEnd::Disconnected(Disconnect::Closed(code)) => code,
            SessionEnd::Disconnected(Disconnect::Violation(code)) => Some(code),
            SessionEnd::Left | SessionEnd::Dismissed | SessionEnd::Disconnected(Disconnect::Gone) => {
                Some(1000)
            }
        };
        Frame::close(code.map(|code| (code, "")))
    }
}

/// A registered client. Dropping it gives everything back: the id, and the hook's goodbye.
struct ActiveSession<'a, C> {
    // Taken when the client parts. What the handler holds goes with the id.
    present: Option<(IdLease, C)>,
    messages_per_second: u32,
    /// Nothing is read until then, because too much came.
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
    service: &'a Service,
}

impl<'a, C: ProtocolHandler> ActiveSession<'a, C> {
    fn begin(lease: IdLease, handler: C, messages_per_second: u32, service: &'a Service) -> Self {
        if let Some(hook) = &service.hooks.connect {
            hook(Client { key: lease.key(), id: lease.id() });
        }
        // A client that reconnects during its rate-limit pause keeps waiting.
        let pause = pause_for(lease.charge(0, messages_per_second), service);
        ActiveSession { present: Some((lease, handler)), messages_per_second, pause, service }
    }

    fn poll<S: Socket>(&mut self, cx: &mut task::Context<'_>, socket: &mut S) -> Poll<SessionEnd> {
        let Some((lease, handler)) = &mut self.present else {
            return Poll::Ready(SessionEnd::Dismissed);
        };
        let sent = lease.with_outbox(|outbox| {
            outbox.set_owner(cx.waker());
            let sent = socket.poll_send(cx, outbox);
            if sent.is_pending() {
                outbox.block();
            }
            sent
        });
        match sent {
            None => return Poll::Ready(SessionEnd::Dismissed),
            Some(Poll::Ready(Err(_))) => return Poll::Ready(SessionEnd::Disconnected(Disconnect::Gone)),
            Some(_) => {}
        }
        let mut flushes = Vec::new();
        for _ in 0..READS_PER_TURN {
            while let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                if socket.has_left(cx) {
                    return Poll::Ready(SessionEnd::Disconnected(Disconnect::Gone));
                }
                // We stopped reading, so silence proves nothing.
                lease.heard();
                self.pause = pause_for(lease.charge(0, self.messages_per_second), self.service);
            }
            let (mut heard, mut left, mut messages, mut frames) = (false, false, 0, 0);
            let received = ready!(socket.poll_recv(cx, &mut |event| {
                // Asked for each: nothing is heard of one whose id was taken away meanwhile.
                if !lease.is_current() {
                    return ControlFlow::Break(());
                }
                if !std::mem::replace(&mut heard, true) {
                    lease.heard();
                }
                messages += u32::from(matches!(event, Event::Text(_) | Event::Binary(_)));
                frames += 1;
                let context = Context { peer: lease, service: self.service, flushes: &mut flushes };
                let flow = on_event(handler, context, event);
                left |= flow.is_break();
                flow
            }));
            // What one read brought for one recipient is written once.
            flushes.drain(..).for_each(Flush::flush);
            if let Err(disconnect) = received {
                return Poll::Ready(SessionEnd::Disconnected(disconnect));
            }
            if left {
                return Poll::Ready(SessionEnd::Left);
            }
            if !lease.is_current() {
                return Poll::Ready(SessionEnd::Dismissed);
            }
            if !heard {
                // Part of a frame is a sign of life as well.
                lease.heard();
            }
            lease.count_messages(messages);
            // Pings, pongs and fragments take work as well.
            self.pause = pause_for(lease.charge(frames, self.messages_per_second), self.service);
        }
        transport::give_way(cx);
        Poll::Pending
    }

    /// Gives the id back; what is left is to say goodbye, if the client can still hear it.
    fn goodbye<S: Socket>(
        &mut self,
        end: SessionEnd,
        socket: &mut S,
    ) -> Option<Pin<Box<impl Future<Output = ()>>>> {
        let parting = self.part(end.is_gone()).filter(|_| !end.is_gone())?;
        // A client that the broker dismissed has its close frame in the outbox already.
        if parting.why() == CloseReason::Left && end != SessionEnd::Dismissed {
            parting.with_outbox(|outbox| outbox.push_unbounded(Outgoing::notice(end.close())));
        }
        let send = move |cx: &mut task::Context<'_>, socket: &mut S| {
            let sent = parting.with_outbox(|outbox| socket.poll_send(cx, outbox));
            sent.unwrap_or(Poll::Ready(Ok(())))
        };
        Some(Box::pin(farewell(socket, send, self.service, end.is_by_client())))
    }
}

impl<C> ActiveSession<'_, C> {
    /// Gives the id back. `dead` says that nothing can be written any more.
    fn part(&mut self, dead: bool) -> Option<Departure> {
        let (lease, handler) = self.present.take()?;
        drop(handler);
        let parting = lease.part(dead)?;
        if let Some(hook) = &self.service.hooks.disconnect {
            hook(Client { key: parting.key(), id: parting.id() }, parting.why());
        }
        Some(parting)
    }
}

impl<C> Drop for ActiveSession<'_, C> {
    fn drop(&mut self) {
        drop(self.part(true));
    }
}

/// Waits while too much was sent, for a part of the time if it is long.
fn pause_for(excess: Duration, service: &Service) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
    let pause = excess.min(MAX_PAUSE);
    if pause.is_zero() { None } else { Some(Box::pin(service.sleep(pause))) }
}

/// Handles one event; breaks when the client says goodbye.
fn on_event<C: ProtocolHandler>(
    handler: &mut C,
    mut context: Context<'_>,
    event: Event<'_>,
) -> ControlFlow<()> {
    match event {
        Event::Text(text) => handler.on_text(text, &mut context),
        // Some clients send their JSON as bytes.
        Event::Binary(bytes) => handler.on_text(std::str::from_utf8(bytes).unwrap_or_default(), &mut context),
        Event::Ping(payload) => {
            context.reply(Frame::pong(payload));
            ControlFlow::Continue(())
        }
        Event::Pong | Event::Fragment => ControlFlow::Continue(()),
    }
}
