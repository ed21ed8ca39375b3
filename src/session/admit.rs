//! From a handshake to an id, or to a refusal.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use super::admission::{Entry, Rejection, Source};
use super::farewell::farewell;
use super::handler::ProtocolHandler;
use super::sessions::Sessions;
use crate::broker::{ConnectionInfo, IdLease, Outbox, Outgoing, Probe, RegisterOutcome, RegisterRequest};
use crate::clock::millis;
use crate::node::{ClaimedName, OpenRequest, Opening};
use crate::transport::Socket;
use crate::wire::{Frame, Limit, Refusal};

/// How often we check whether a client that waits for an id has left.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A client that waits longer for its id is told so.
const TOLD_AFTER: Duration = Duration::from_secs(2);

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
        Ok((entry, handler)) => {
            match Waiting::<S, H>::new(&mut socket, &mut outbox, &sessions).register(&entry).await {
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
            }
        }
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

/// A client that waits for its id.
struct Waiting<'a, S, H> {
    socket: &'a mut S,
    outbox: &'a mut Outbox,
    sessions: &'a Sessions,
    /// When it is told that it waits; `None` once it was.
    told_at: Option<u64>,
    handler: PhantomData<H>,
}

impl<'a, S: Socket, H: ProtocolHandler> Waiting<'a, S, H> {
    fn new(socket: &'a mut S, outbox: &'a mut Outbox, sessions: &'a Sessions) -> Self {
        let told_at = sessions.node.clock().now().saturating_add(millis(TOLD_AFTER));
        Waiting { socket, outbox, sessions, told_at: Some(told_at), handler: PhantomData }
    }

    async fn register(mut self, entry: &Entry) -> Result<IdLease, Refusal> {
        let Entry { realm, id, token, info, begins_anew, .. } = entry;
        let mut probed = false;
        loop {
            let outcome = match self.claim(entry).await? {
                None => RegisterOutcome::Taken,
                Some(claimed) => {
                    let (link, claim) = (S::LINK, claimed.claim());
                    let greeting = H::greeting().filter(|_| *begins_anew || !claimed.continues_stream());
                    let request = RegisterRequest { id, token, link, greeting, info: info.clone(), claim };
                    let outcome = realm.register(request, self.outbox);
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
                self.sessions.counters().limit_hit(Limit::WaitingForId);
                return Err(Refusal::IdTaken);
            };
            // An error ends the probe too: the holder gave a sign of life, or there is none any more.
            let _ = self.while_present(answered).await?;
        }
    }

    /// Claims the id in the cluster, if there is one. `None` if a connection of this node has it.
    async fn claim(
        &mut self,
        Entry { realm, id, token, info, .. }: &Entry,
    ) -> Result<Option<ClaimedName>, Refusal> {
        let Some(membership) = self.sessions.node.membership() else {
            return Ok(Some(ClaimedName::unclaimed()));
        };
        let request = OpenRequest {
            realm: Arc::clone(realm),
            id: id.clone(),
            token: token.clone(),
            link: S::LINK,
            address: info.address,
        };
        match self.while_present(Box::pin(membership.open(request))).await? {
            Opening::Granted(claimed) => Ok(Some(claimed)),
            Opening::TakenHere => Ok(None),
            Opening::Taken => Err(Refusal::IdTaken),
            Opening::Elsewhere => Err(Refusal::Elsewhere),
            Opening::Full => Err(Refusal::LimitReached),
            Opening::Unavailable => Err(Refusal::Unavailable),
        }
    }

    /// Waits for something, unless the client leaves before that.
    async fn while_present<T>(&mut self, mut awaited: impl Future<Output = T> + Unpin) -> Result<T, Refusal> {
        // The answer to the client's handshake need not wait.
        self.send().await;
        loop {
            tokio::select! {
                result = &mut awaited => {
                    // The client of an abandoned stream may wait here with its WebSocket too. If the stream registered first,
                    // the WebSocket would get no OPEN.
                    return if self.socket.is_abandoned() { Err(Refusal::Elsewhere) } else { Ok(result) };
                }
                () = self.sessions.sleep(LOOK_INTERVAL) => {}
            }
            if poll_fn(|cx| Poll::Ready(self.socket.has_left(cx))).await {
                return Err(Refusal::Gone);
            }
            let now = self.sessions.node.clock().now();
            if self.told_at.take_if(|at| *at <= now).is_some()
                && let Some(notice) = H::waiting()
            {
                self.outbox.push_opening(notice);
                self.send().await;
            }
        }
    }

    /// Writes what the outbox holds. If that fails, the session will find out.
    async fn send(&mut self) {
        let _ = poll_fn(|cx| self.socket.poll_send(cx, self.outbox)).await;
    }
}
