//! The loop: frame, decode, route, replies.

use std::future::poll_fn;
use std::ops::{ControlFlow, DerefMut};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::timeout;

use super::admission::{Claim, Refusal};
use crate::broker::{Admittance, Flush, Goodbye, Outbox, Outgoing, Parting, Probe, Registration, Routed};
use crate::dialect::peerjs::{self, Command, Envelope};
use crate::frame::Frame;
use crate::service::{Client, Message, Service};
use crate::transport::{Disconnect, Event, Socket};

/// Reads before other tasks of the worker get their turn.
const READS_PER_TURN: usize = 8;

/// Serves one client until it is gone. `query` is that of its WebSocket address.
pub(crate) async fn run<S: Socket>(mut socket: S, service: Arc<Service>, query: String) {
    let service = service.begin_session();
    let close_timeout = service.config.close_timeout;
    let outbox = socket.open_outbox(service.broker.limits().outbox_bytes);
    let admitted = match Claim::parse(&query) {
        Ok(claim) => admit(&service, claim, outbox).await,
        Err(refusal) => Err((refusal, outbox)),
    };
    drop(query);
    let registration = match admitted {
        Ok(registration) => registration,
        Err((refusal, mut outbox)) => {
            log::debug!("refused a client: {refusal:?}");
            outbox.push_unbounded(Outgoing { frame: refusal.frame(), from: None });
            outbox.push_unbounded(Outgoing { frame: Frame::close(refusal.close()), from: None });
            return farewell(socket, Box::new(outbox), close_timeout, false).await;
        }
    };
    let mut presence = Presence::begin(registration, &service);
    let end = poll_fn(|cx| presence.poll(cx, &mut socket)).await;
    let gone = end == End::Disconnected(Disconnect::Gone);
    let Some(mut parting) = presence.part(gone).filter(|_| !gone) else {
        return;
    };
    // If the broker dismissed it, its close frame is in the outbox already.
    if parting.why() == Goodbye::Left {
        let code = match end {
            End::Disconnected(Disconnect::Closed(code)) => code,
            End::Disconnected(Disconnect::Violation(code)) => Some(code),
            _ => Some(1000),
        };
        let frame = Frame::close(code.map(|code| (code, "")));
        parting.push_unbounded(Outgoing { frame, from: None });
    }
    let closed_by_client = matches!(end, End::Disconnected(Disconnect::Closed(_)));
    farewell(socket, parting, close_timeout, closed_by_client).await;
}

async fn admit(
    service: &Service,
    claim: Claim,
    mut outbox: Outbox,
) -> Result<Registration, (Refusal, Outbox)> {
    let Some(realm) = service.realm(claim.key.as_str()) else {
        return Err((Refusal::InvalidKey, outbox));
    };
    let mut probed = false;
    loop {
        outbox = match realm.register(&claim.id, &claim.token, outbox, peerjs::open()) {
            Admittance::Registered(registration) => return Ok(registration),
            Admittance::Full(outbox) => return Err((Refusal::LimitReached, outbox)),
            Admittance::Closing(outbox) => return Err((Refusal::Closing, outbox)),
            Admittance::Taken(outbox) if probed => return Err((Refusal::IdTaken, outbox)),
            Admittance::Taken(outbox) => outbox,
        };
        // The holder may be a phone that lost its network: only an answer keeps the id.
        match realm.probe(&claim.id) {
            // An error is the answer: the holder gave a sign of life, or is no holder any more.
            Probe::Asked(answered) => drop(answered.await),
            Probe::TooMany => return Err((Refusal::IdTaken, outbox)),
        }
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
            let mut left = false;
            let received = ready!(socket.poll_recv(cx, &mut |event| {
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
            registration.heard();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
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
            registration.reply(Frame::pong(payload));
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
        let payload = payload.map(|payload| payload.get());
        hook(client(registration), Message { kind: *kind, dst, payload });
    }
    let id = registration.id().as_str();
    let frame = peerjs::relay(*kind, id, dst, *payload);
    match registration.route(dst, frame, kind.waits()) {
        Routed::Sent(flush) => flushes.extend(flush),
        Routed::Expired => registration.reply(peerjs::expire(dst, id)),
        Routed::Kept | Routed::Dropped => {}
    }
}

fn client(registration: &Registration) -> Client<'_> {
    Client { key: registration.key(), id: registration.id() }
}

/// Sends the last words, waits for the client's close frame unless it came already, and ends the
/// connection. A close with unread input would be a reset, which may undo what was sent last.
async fn farewell<S: Socket>(
    mut socket: S,
    mut outbox: impl DerefMut<Target = Outbox>,
    close_timeout: Duration,
    closed_by_client: bool,
) {
    let goodbye = async {
        poll_fn(|cx| socket.poll_send(cx, &mut outbox)).await.ok()?;
        if !closed_by_client && next_disconnect(&mut socket).await == Disconnect::Gone {
            return None;
        }
        drop(outbox);
        poll_fn(|cx| socket.poll_shutdown(cx)).await.ok()?;
        while next_disconnect(&mut socket).await != Disconnect::Gone {}
        Some(())
    };
    // A client that does not play along is cut off.
    let _ = timeout(close_timeout, goodbye).await;
}

async fn next_disconnect<S: Socket>(socket: &mut S) -> Disconnect {
    loop {
        let received = poll_fn(|cx| socket.poll_recv(cx, &mut |_| ControlFlow::Continue(()))).await;
        if let Err(disconnect) = received {
            return disconnect;
        }
    }
}
