//! The loop: frame, decode, route, replies.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::admission::{Claim, Refusal};
use super::farewell::farewell;
use crate::broker::{
    Admittance, Flush, Goodbye, Outbox, Outgoing, Parting, Probe, Realm, Registration, Routed,
};
use crate::dialect::peerjs::{self, Command, Envelope};
use crate::frame::Frame;
use crate::service::{Client, Message, Service};
use crate::transport::{self, Disconnect, Event, Socket};

/// Reads before other tasks of the worker get their turn. Only a flood fills even one.
const READS_PER_TURN: usize = 2;

/// Serves one client until it is gone. `query` is that of its WebSocket address.
///
/// What a client needs only when it comes and goes is boxed, so that the future of one that is
/// just there stays small: there are very many of those.
pub(crate) fn run<S: Socket>(
    socket: S,
    service: &Arc<Service>,
    query: &str,
) -> impl Future<Output = ()> + use<S> {
    let session = service.begin_session();
    let admission = Box::pin(admit(socket, Arc::clone(service), Claim::parse(query)));
    async move {
        let Some((mut socket, registration)) = admission.await else {
            return;
        };
        let mut presence = Presence::begin(registration, &session);
        let end = poll_fn(|cx| presence.poll(cx, &mut socket)).await;
        if let Some(goodbye) = presence.goodbye(end, &mut socket) {
            goodbye.await;
        }
    }
}

/// Registers a client, or tells it why not.
async fn admit<S: Socket>(
    mut socket: S,
    service: Arc<Service>,
    claim: Result<Claim, Refusal>,
) -> Option<(S, Registration)> {
    let mut outbox = socket.open_outbox(service.broker.limits().outbox_bytes);
    let refusal = match claim {
        Err(refusal) => refusal,
        Ok(claim) => match service.realm(claim.key.as_str()) {
            None => Refusal::InvalidKey,
            Some(realm) => match register(&realm, &claim, &mut socket, &mut outbox).await {
                Ok(registration) => return Some((socket, registration)),
                Err(refusal) => refusal,
            },
        },
    };
    log::debug!("refused a client: {refusal:?}");
    outbox.push_unbounded(Outgoing { frame: refusal.frame(), from: None });
    outbox.push_unbounded(Outgoing { frame: Frame::close(refusal.close()), from: None });
    let send = move |cx: &mut Context<'_>, socket: &mut S| socket.poll_send(cx, &mut outbox);
    farewell(&mut socket, send, &service, false).await;
    None
}

async fn register<S: Socket>(
    realm: &Arc<Realm>,
    claim: &Claim,
    socket: &mut S,
    outbox: &mut Outbox,
) -> Result<Registration, Refusal> {
    let mut probed = false;
    loop {
        match realm.register(&claim.id, &claim.token, outbox, peerjs::open()) {
            Admittance::Registered(registration) => return Ok(registration),
            Admittance::Full => return Err(Refusal::LimitReached),
            Admittance::Closing => return Err(Refusal::Closing),
            Admittance::Taken if probed => return Err(Refusal::IdTaken),
            Admittance::Taken => {}
        }
        // The holder may be a phone that lost its network: only an answer keeps the id.
        let Probe::Asked(answered) = realm.probe(&claim.id) else {
            return Err(Refusal::IdTaken);
        };
        // The answer to the newcomer's handshake need not wait. If it cannot be sent, the session
        // will find out.
        let _ = poll_fn(|cx| socket.poll_send(cx, outbox)).await;
        // An error is the answer: the holder gave a sign of life, or is no holder any more.
        drop(answered.await);
        probed = true;
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
struct Presence<'a> {
    // Taken when the client parts.
    registration: Option<Registration>,
    service: &'a Service,
}

impl<'a> Presence<'a> {
    fn begin(registration: Registration, service: &'a Service) -> Self {
        if let Some(hook) = &service.hooks.connect {
            hook(client(&registration));
        }
        Presence { registration: Some(registration), service }
    }

    fn poll<S: Socket>(&self, cx: &mut Context<'_>, socket: &mut S) -> Poll<End> {
        let Some(registration) = &self.registration else {
            return Poll::Ready(End::Dismissed);
        };
        let sent = registration.with_outbox(|outbox| {
            outbox.set_owner(cx.waker());
            socket.poll_send(cx, outbox)
        });
        match sent {
            None => return Poll::Ready(End::Dismissed),
            Some(Poll::Ready(Err(_))) => return Poll::Ready(End::Disconnected(Disconnect::Gone)),
            Some(_) => {}
        }
        let mut flushes = Vec::new();
        for _ in 0..READS_PER_TURN {
            let (mut heard, mut left) = (false, false);
            let received = ready!(socket.poll_recv(cx, &mut |event| {
                // Asked for each: nothing is heard of one whose id was taken away meanwhile.
                if !registration.is_current() {
                    return ControlFlow::Break(());
                }
                if !std::mem::replace(&mut heard, true) {
                    registration.heard();
                }
                let flow = on_event(registration, self.service, event, &mut flushes);
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
        }
        transport::give_way(cx);
        Poll::Pending
    }

    /// Gives the id back; what is left is to say goodbye, if the client can still hear it.
    fn goodbye<S: Socket>(&mut self, end: End, socket: &mut S) -> Option<Pin<Box<impl Future<Output = ()>>>> {
        let parting = self.part(end.is_gone()).filter(|_| !end.is_gone())?;
        // A client that the broker dismissed has its close frame in the outbox already.
        if parting.why() == Goodbye::Left {
            parting.with_outbox(|outbox| outbox.push_unbounded(Outgoing { frame: end.close(), from: None }));
        }
        let send = move |cx: &mut Context<'_>, socket: &mut S| {
            let sent = parting.with_outbox(|outbox| socket.poll_send(cx, outbox));
            sent.unwrap_or(Poll::Ready(Ok(())))
        };
        Some(Box::pin(farewell(socket, send, self.service, end.is_by_client())))
    }

    /// Gives the id back. `dead` says that nothing can be written any more.
    fn part(&mut self, dead: bool) -> Option<Parting> {
        let registration = self.registration.take()?;
        let parting = registration.part(dead)?;
        if let Some(hook) = &self.service.hooks.disconnect {
            hook(Client { key: parting.key(), id: parting.id() }, parting.why());
        }
        Some(parting)
    }
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        drop(self.part(true));
    }
}

/// Handles one event; breaks when the client says goodbye.
fn on_event(
    registration: &Registration,
    service: &Service,
    event: Event<'_>,
    flushes: &mut Vec<Flush>,
) -> ControlFlow<()> {
    let text = match event {
        Event::Text(text) => text,
        // Some clients send their JSON as bytes.
        Event::Binary(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        Event::Ping(payload) => {
            flushes.extend(registration.reply(Frame::pong(payload)));
            return ControlFlow::Continue(());
        }
        Event::Pong => return ControlFlow::Continue(()),
    };
    match peerjs::decode(text) {
        Command::Relay(envelope) => relay(registration, service, &envelope, flushes),
        Command::Leave => return ControlFlow::Break(()),
        Command::Heartbeat | Command::Nothing => {}
    }
    ControlFlow::Continue(())
}

fn relay(
    registration: &Registration,
    service: &Service,
    Envelope { kind, dst, payload }: &Envelope<'_>,
    flushes: &mut Vec<Flush>,
) {
    if let Some(hook) = &service.hooks.message {
        hook(client(registration), Message { kind: *kind, dst, payload: *payload });
    }
    let id = registration.id().as_str();
    let frame = peerjs::relay(*kind, id, dst, *payload);
    match registration.route(dst, frame, kind.waits()) {
        Routed::Sent(flush) => flushes.extend(flush),
        Routed::Expired => flushes.extend(registration.reply(peerjs::expire(dst, id))),
        Routed::Kept | Routed::Dropped => {}
    }
}

fn client(registration: &Registration) -> Client<'_> {
    Client { key: registration.key(), id: registration.id() }
}
