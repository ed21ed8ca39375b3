//! The loop: frame, decode, route, replies.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::admission::{Entry, Refusal};
use super::farewell::farewell;
use crate::broker::{
    Admittance, Flush, Goodbye, Newcomer, Outbox, Outgoing, Parting, Probe, Registration, Routed,
};
use crate::frame::Frame;
use crate::limits::Counted;
use crate::service::{Client, Service};
use crate::transport::{self, Disconnect, Event, Socket};

/// Reads before other tasks of the worker get their turn. Only a flood fills even one.
const READS_PER_TURN: usize = 2;

/// How often a client that is not read is looked after: whether it has left.
const MAX_PAUSE: Duration = Duration::from_millis(250);

/// What a client and this server say to each other.
pub(super) trait Conversation: Sized + 'static {
    /// What a client is told first when it is in.
    fn greeting() -> Option<Frame>;

    /// Tells a client why it is not admitted.
    fn refusal(refusal: Refusal) -> Frame;

    /// Handles one message; breaks when the client says goodbye.
    fn on_text(&mut self, text: &str, line: &mut Line<'_>) -> ControlFlow<()>;
}

/// What a conversation has at hand.
pub(super) struct Line<'a> {
    pub(super) peer: &'a Registration,
    pub(super) service: &'a Service,
    /// What one read brought for one recipient is written once, when the read is dealt with.
    pub(super) flushes: &'a mut Vec<Flush>,
}

impl Line<'_> {
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
    counted: Option<Counted>,
    entry: F,
) -> impl Future<Output = ()> + use<S, C, F>
where
    S: Socket,
    C: Conversation,
    F: Future<Output = Result<(Entry, C), Refusal>>,
{
    let session = service.begin_session(counted);
    let admission = Box::pin(admit(socket, Arc::clone(service), entry));
    async move {
        let Some((mut socket, registration, conversation, messages_per_second)) = admission.await else {
            return;
        };
        socket.seated(&registration);
        let mut presence = Presence::begin(registration, conversation, messages_per_second, &session);
        let end = poll_fn(|cx| presence.poll(cx, &mut socket)).await;
        if let Some(goodbye) = presence.goodbye(end, &mut socket) {
            goodbye.await;
        }
    }
}

/// Registers a client, or tells it why not.
async fn admit<S: Socket, C: Conversation>(
    mut socket: S,
    service: Arc<Service>,
    entry: impl Future<Output = Result<(Entry, C), Refusal>>,
) -> Option<(S, Registration, C, u32)> {
    let mut outbox = socket.open_outbox(service.broker.limits().outbox_bytes);
    let refusal = match entry.await {
        Err(refusal) => refusal,
        Ok((entry, conversation)) => match register::<S, C>(&entry, &mut socket, &mut outbox, &service).await
        {
            Ok(registration) => {
                return Some((socket, registration, conversation, entry.messages_per_second));
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
    let send = move |cx: &mut Context<'_>, socket: &mut S| socket.poll_send(cx, &mut outbox);
    farewell(&mut socket, send, &service, false).await;
    None
}

async fn register<S: Socket, C: Conversation>(
    Entry { realm, id, token, about, .. }: &Entry,
    socket: &mut S,
    outbox: &mut Outbox,
    service: &Service,
) -> Result<Registration, Refusal> {
    let mut probed = false;
    loop {
        let newcomer = Newcomer { id, token, link: S::LINK, greeting: C::greeting(), about: about.clone() };
        match realm.register(newcomer, outbox) {
            Admittance::Registered(registration) => return Ok(registration),
            Admittance::Elsewhere => return Err(Refusal::Elsewhere),
            Admittance::Full => return Err(Refusal::LimitReached),
            Admittance::Revoked => return Err(Refusal::InvalidKey),
            Admittance::Closing => return Err(Refusal::Closing),
            Admittance::Taken if probed => return Err(Refusal::IdTaken),
            // The holder may be a phone that lost its network: only an answer keeps the id.
            Admittance::Taken => probed = true,
            // Its owner was closed a moment ago and may come back.
            Admittance::Reserved => {}
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
enum End {
    /// The client said LEAVE to everybody.
    Left,
    /// The broker took the id away and said why in the outbox.
    Dismissed,
    /// The client or the connection ended it.
    Disconnected(Disconnect),
}

impl End {
    /// Nothing can be sent any more.
    fn is_gone(self) -> bool {
        self == End::Disconnected(Disconnect::Gone)
    }

    /// The client has sent its close frame already.
    fn is_by_client(self) -> bool {
        matches!(self, End::Disconnected(Disconnect::Closed(_)))
    }

    /// The close frame for a client that ended it itself.
    fn close(self) -> Frame {
        let code = match self {
            End::Disconnected(Disconnect::Closed(code)) => code,
            End::Disconnected(Disconnect::Violation(code)) => Some(code),
            End::Left | End::Dismissed | End::Disconnected(Disconnect::Gone) => Some(1000),
        };
        Frame::close(code.map(|code| (code, "")))
    }
}

/// A registered client. Dropping it gives everything back: the id, and the hook's goodbye.
struct Presence<'a, C> {
    // Taken when the client parts. What the conversation holds goes with the id.
    present: Option<(Registration, C)>,
    messages_per_second: u32,
    /// Nothing is read until then, because too much came.
    pause: Option<Pin<Box<dyn Future<Output = ()>>>>,
    service: &'a Service,
}

impl<'a, C: Conversation> Presence<'a, C> {
    fn begin(
        registration: Registration,
        conversation: C,
        messages_per_second: u32,
        service: &'a Service,
    ) -> Self {
        if let Some(hook) = &service.hooks.connect {
            hook(Client { key: registration.key(), id: registration.id() });
        }
        // A client that reconnects during its rate-limit pause keeps waiting.
        let pause = pause_for(registration.spend(0, messages_per_second), service);
        Presence { present: Some((registration, conversation)), messages_per_second, pause, service }
    }

    fn poll<S: Socket>(&mut self, cx: &mut Context<'_>, socket: &mut S) -> Poll<End> {
        let Some((registration, conversation)) = &mut self.present else {
            return Poll::Ready(End::Dismissed);
        };
        let sent = registration.with_outbox(|outbox| {
            outbox.set_owner(cx.waker());
            let sent = socket.poll_send(cx, outbox);
            if sent.is_pending() {
                outbox.block();
            }
            sent
        });
        match sent {
            None => return Poll::Ready(End::Dismissed),
            Some(Poll::Ready(Err(_))) => return Poll::Ready(End::Disconnected(Disconnect::Gone)),
            Some(_) => {}
        }
        let mut flushes = Vec::new();
        for _ in 0..READS_PER_TURN {
            while let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                if socket.has_left(cx) {
                    return Poll::Ready(End::Disconnected(Disconnect::Gone));
                }
                // We stopped reading, so silence proves nothing.
                registration.heard();
                self.pause = pause_for(registration.spend(0, self.messages_per_second), self.service);
            }
            let (mut heard, mut left, mut messages, mut frames) = (false, false, 0, 0);
            let received = ready!(socket.poll_recv(cx, &mut |event| {
                // Asked for each: nothing is heard of one whose id was taken away meanwhile.
                if !registration.is_current() {
                    return ControlFlow::Break(());
                }
                if !std::mem::replace(&mut heard, true) {
                    registration.heard();
                }
                messages += u32::from(matches!(event, Event::Text(_) | Event::Binary(_)));
                frames += 1;
                let line = Line { peer: registration, service: self.service, flushes: &mut flushes };
                let flow = on_event(conversation, line, event);
                left |= flow.is_break();
                flow
            }));
            // What one read brought for one recipient is written once.
            flushes.drain(..).for_each(Flush::flush);
            if let Err(disconnect) = received {
                return Poll::Ready(End::Disconnected(disconnect));
            }
            if left {
                return Poll::Ready(End::Left);
            }
            if !registration.is_current() {
                return Poll::Ready(End::Dismissed);
            }
            if !heard {
                // Part of a frame is a sign of life as well.
                registration.heard();
            }
            registration.count_messages(messages);
            // Pings, pongs and fragments take work as well.
            self.pause = pause_for(registration.spend(frames, self.messages_per_second), self.service);
        }
        transport::give_way(cx);
        Poll::Pending
    }

    /// Gives the id back; what is left is to say goodbye, if the client can still hear it.
    fn goodbye<S: Socket>(&mut self, end: End, socket: &mut S) -> Option<Pin<Box<impl Future<Output = ()>>>> {
        let parting = self.part(end.is_gone()).filter(|_| !end.is_gone())?;
        // A client that the broker dismissed has its close frame in the outbox already.
        if parting.why() == Goodbye::Left && end != End::Dismissed {
            parting.with_outbox(|outbox| outbox.push_unbounded(Outgoing::notice(end.close())));
        }
        let send = move |cx: &mut Context<'_>, socket: &mut S| {
            let sent = parting.with_outbox(|outbox| socket.poll_send(cx, outbox));
            sent.unwrap_or(Poll::Ready(Ok(())))
        };
        Some(Box::pin(farewell(socket, send, self.service, end.is_by_client())))
    }
}

impl<C> Presence<'_, C> {
    /// Gives the id back. `dead` says that nothing can be written any more.
    fn part(&mut self, dead: bool) -> Option<Parting> {
        let (registration, conversation) = self.present.take()?;
        drop(conversation);
        let parting = registration.part(dead)?;
        if let Some(hook) = &self.service.hooks.disconnect {
            hook(Client { key: parting.key(), id: parting.id() }, parting.why());
        }
        Some(parting)
    }
}

impl<C> Drop for Presence<'_, C> {
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
fn on_event<C: Conversation>(conversation: &mut C, mut line: Line<'_>, event: Event<'_>) -> ControlFlow<()> {
    match event {
        Event::Text(text) => conversation.on_text(text, &mut line),
        // Some clients send their JSON as bytes.
        Event::Binary(bytes) => {
            conversation.on_text(std::str::from_utf8(bytes).unwrap_or_default(), &mut line)
        }
        Event::Ping(payload) => {
            line.reply(Frame::pong(payload));
            ControlFlow::Continue(())
        }
        Event::Pong | Event::Fragment => ControlFlow::Continue(()),
    }
}
