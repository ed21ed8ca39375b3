//! From a handshake to an id, or to a refusal.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use super::admission::{Entry, Rejection, Source};
use super::farewell::farewell;
use super::handler::ProtocolHandler;
use super::sessions::Sessions;
use crate::broker::{ConnectionInfo, IdLease, Outbox, Outgoing, Probe, RegisterOutcome, RegisterRequest};
use crate::node::{ClaimedName, OpenRequest, Opening};
use crate::transport::Socket;
use crate::wire::{Frame, Limit, Refusal};

/// How often we check whether a client that waits for an id has left.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A client that has its id.
pub(super) struct Admitted<S, H> {
    pub(super) socket: S,
    pub(super) lease: IdLease,
    pub(super) handler: H,
    pub(super) messages_per_second: u32,
    pub(super) info: ConnectionInfo,
}

/// Registers a client, or tells it why not.
pub(super) async fn admit<S: Socket, H: ProtocolHandler>(
    mut socket: S,
    sessions: Arc<Sessions>,
    source: Source,
    entry: impl Future<Output = Result<(Entry, H), Rejection>>,
) -> Option<Admitted<S, H>> {
    let mut outbox = socket.open_outbox(sessions.config().limits.outbox_bytes);
    let rejection = match entry.await {
        Err(rejection) => rejection,
        Ok((entry, handler)) => match register::<S, H>(&entry, &mut socket, &mut outbox, &sessions).await {
            Ok(lease) => {
                let Entry { messages_per_second, info, .. } = entry;
                return Some(Admitted { socket, lease, handler, messages_per_second, info });
            }
            Err(reason) => {
                if reason.is_told() {
                    entry.realm.announce_refusal(&entry.id, &entry.token);
                }
                Rejection { reason, key: Some(entry.realm.key().clone()), id: Some(entry.id) }
            }
        },
    };
    let reason = rejection.reason;
    sessions.refuse(rejection, &source);
    if reason.is_told() {
        outbox.push_unbounded(Outgoing::notice(H::refusal(reason)));
    }
    outbox.push_unbounded(Outgoing::notice(Frame::close(reason.close())));
    let send = move |cx: &mut task::Context<'_>, socket: &mut S| socket.poll_send(cx, &mut outbox);
    farewell(&mut socket, send, &sessions, false).await;
    None
}

async fn register<S: Socket, H: ProtocolHandler>(
    entry: &Entry,
    socket: &mut S,
    outbox: &mut Outbox,
    sessions: &Sessions,
) -> Result<IdLease, Refusal> {
    let Entry { realm, id, token, info, begins_anew, .. } = entry;
    let mut probed = false;
    loop {
        let outcome = match claim(entry, socket, outbox, sessions).await? {
            None => RegisterOutcome::Taken,
            Some(claimed) => {
                let (link, claim) = (S::LINK, claimed.claim());
                let greeting = H::greeting().filter(|_| *begins_anew || !claimed.continues_stream());
                let request = RegisterRequest { id, token, link, greeting, info: info.clone(), claim };
                let outcome = realm.register(request, outbox);
                if let RegisterOutcome::Registered(_) = outcome {
                    claimed.registered();
                }
                outcome
            }
        };
        match outcome {
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
            sessions.counters().limit_hit(Limit::WaitingForId);
            return Err(Refusal::IdTaken);
        };
        // An error ends the probe too: the holder gave a sign of life, or there is none any more.
        let _ = while_present(answered, socket, outbox, sessions).await?;
    }
}

/// Claims the id in the cluster, if there is one. `None` if a connection of this node has it.
async fn claim<S: Socket>(
    Entry { realm, id, token, .. }: &Entry,
    socket: &mut S,
    outbox: &mut Outbox,
    sessions: &Sessions,
) -> Result<Option<ClaimedName>, Refusal> {
    let Some(membership) = sessions.node.membership() else {
        return Ok(Some(ClaimedName::unclaimed()));
    };
    let request =
        OpenRequest { realm: Arc::clone(realm), id: id.clone(), token: token.clone(), link: S::LINK };
    match while_present(Box::pin(membership.open(request)), socket, outbox, sessions).await? {
        Opening::Granted(claimed) => Ok(Some(claimed)),
        Opening::TakenHere => Ok(None),
        Opening::Taken => Err(Refusal::IdTaken),
        Opening::Elsewhere => Err(Refusal::Elsewhere),
        Opening::Full => Err(Refusal::LimitReached),
        Opening::Unavailable => Err(Refusal::Unavailable),
    }
}

/// Waits for something, unless the client leaves before that.
async fn while_present<S: Socket, T>(
    mut awaited: impl Future<Output = T> + Unpin,
    socket: &mut S,
    outbox: &mut Outbox,
    sessions: &Sessions,
) -> Result<T, Refusal> {
    // The answer to the client's handshake need not wait. If it cannot be sent, the session will find out.
    let _ = poll_fn(|cx| socket.poll_send(cx, outbox)).await;
    loop {
        tokio::select! {
            result = &mut awaited => {
                // The client of an abandoned stream may wait here with its WebSocket too. If the stream registered first,
                // the WebSocket would get no OPEN.
                return if socket.is_abandoned() { Err(Refusal::Elsewhere) } else { Ok(result) };
            }
            () = sessions.sleep(LOOK_INTERVAL) => {}
        }
        if poll_fn(|cx| Poll::Ready(socket.has_left(cx))).await {
            return Err(Refusal::Gone);
        }
    }
}
