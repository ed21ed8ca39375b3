//! A client whose credentials are good gets its id, or hears why not.

use std::future::poll_fn;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::admission::{Admitted, ClientSource, Rejection};
use super::farewell::{close, refusal_close};
use super::open::OpenSession;
use crate::Node;
use peerbroker_cluster::{ClaimedName, OpenRequest};
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::{Frame, Limit, Refusal};
use peerbroker_events::Count;
use peerbroker_protocols::client::Protocol;
use peerbroker_protocols::key_state::KeyState;
use peerbroker_router::{IdLease, Outbox, RegisterRefusal, RegisterRequest};
use peerbroker_transport::{Socket, SocketEvent};

/// Interval of the check if a client that waits for an id has left.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A client that waits longer for its id is told so.
const TOLD_AFTER: Duration = Duration::from_secs(2);

/// The wait for a first text that tells the dialect of a refused client, and the most reads for it.
const TEXT_WITHIN: Duration = Duration::from_secs(1);
const READS_FOR_TEXT: usize = 4;

/// Registers a client, or tells it the reason of the refusal.
pub(super) async fn register_session<S: Socket, C: Protocol>(
    mut socket: S,
    node: OpenSession,
    source: ClientSource,
    admission: impl Future<Output = Result<(Admitted, C), Rejection>>,
) -> Option<Registered<S, C>> {
    let mut outbox = socket.open_outbox(node.config().load().limits.outbox_bytes);
    let rejection = match admission.await {
        Err(rejection) => rejection,
        Ok((admitted, client)) => {
            match WaitingClient::new::<C>(&mut socket, &mut outbox, &node).register::<C>(&admitted).await {
                Ok(lease) => {
                    socket.on_registered(&lease);
                    return Some(Registered { socket, session: node, key: admitted.key, lease, client });
                }
                Err(reason) => {
                    if reason.is_told() {
                        admitted.realm.announce_refusal(&admitted.id, &admitted.token);
                    }
                    let key = Some(admitted.realm.key().clone());
                    Rejection { reason, key, id: Some(admitted.id), realm: C::REALM }
                }
            }
        }
    };
    let reason = rejection.reason;
    rejection.record(&node, &source);
    let (first, last) = if C::FIRST_TEXT_TELLS {
        // The client sends nothing before its handshake is answered.
        let _ = poll_fn(|cx| socket.poll_send(cx, &mut outbox)).await;
        (first_text(&mut socket, &node).await, refusal_close(reason))
    } else {
        (None, Frame::close(reason.ending().close()))
    };
    let told = C::refusal(reason, first.as_deref()).filter(|_| reason.is_told());
    close(&mut socket, outbox, &node, told.into_iter().chain([last])).await;
    None
}

/// The first text of a client, if it sends one soon, and little before it.
async fn first_text<S: Socket>(socket: &mut S, node: &Node) -> Option<String> {
    let read = async {
        let mut first = None;
        for _ in 0..READS_FOR_TEXT {
            let mut on_event = |event: SocketEvent<'_>| match event {
                SocketEvent::Text(text) => {
                    first = Some(text.to_owned());
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            };
            let read = poll_fn(|cx| socket.poll_recv(cx, &mut on_event)).await;
            if first.is_some() || read.is_err() {
                break;
            }
        }
        first
    };
    tokio::select! {
        first = read => first,
        () = node.clock().sleep(TEXT_WITHIN) => None,
    }
}

/// A client that has its id.
pub(super) struct Registered<S, C> {
    pub(super) socket: S,
    pub(super) session: OpenSession,
    pub(super) key: Arc<KeyState>,
    pub(super) lease: IdLease,
    pub(super) client: C,
}

/// A client that waits for its id.
struct WaitingClient<'a, S> {
    socket: &'a mut S,
    outbox: &'a mut Outbox,
    node: &'a Node,
    /// The frame that tells it that it waits, if its protocol has one.
    notice: fn() -> Option<Frame>,
    /// The time at which it is told; `None` once it was.
    told_at: Option<Instant>,
}

impl<'a, S: Socket> WaitingClient<'a, S> {
    fn new<C: Protocol>(socket: &'a mut S, outbox: &'a mut Outbox, node: &'a Node) -> Self {
        let told_at = node.clock().now() + TOLD_AFTER;
        WaitingClient { socket, outbox, node, notice: C::waiting, told_at: Some(told_at) }
    }

    async fn register<C: Protocol>(mut self, admitted: &Admitted) -> Result<IdLease, Refusal> {
        let Admitted { key, realm, id, token, info, leaves_on_close, begins_anew, .. } = admitted;
        let mut probed = false;
        loop {
            // It may have waited.
            if self.node.bans.has(info.address, Some(realm.key().as_str())) {
                return Err(Refusal::Banned);
            }
            let outcome = match self.claim(admitted).await? {
                None => Err(RegisterRefusal::Taken),
                Some(mut claimed) => {
                    let kind = S::KIND;
                    let claim = claimed.claim;
                    let greeting = C::greeting(id).filter(|_| *begins_anew || !claimed.continues_stream);
                    let rooms = C::rooms_of(key, id, token);
                    let request = RegisterRequest {
                        id,
                        token,
                        kind,
                        greeting,
                        info: info.clone(),
                        keeps_contacts: *leaves_on_close,
                        hears_room: &|message, takes_over| {
                            let rooms = (!takes_over).then_some(&rooms[..]);
                            C::may_hear(info.rooms.as_ref(), rooms, message)
                        },
                        claim,
                        last_place: claimed.last_place.take(),
                    };
                    let outcome = IdLease::register(realm, request, self.outbox);
                    if outcome.is_ok() {
                        claimed.registered();
                    }
                    outcome
                }
            };
            match outcome {
                Ok(lease) => return Ok(lease),
                Err(RegisterRefusal::Elsewhere) => return Err(Refusal::Elsewhere),
                Err(RegisterRefusal::Full) => return Err(Refusal::LimitReached),
                Err(RegisterRefusal::Revoked) => return Err(Refusal::InvalidKey),
                Err(RegisterRefusal::Closing) => return Err(Refusal::Closing),
                Err(RegisterRefusal::Taken) if probed => return Err(Refusal::IdTaken),
                // The holder may be a phone that lost its network: only an answer keeps the id.
                Err(RegisterRefusal::Taken) => probed = true,
                // Its owner was closed a moment ago and may come back.
                Err(RegisterRefusal::Reserved) => {}
            }
            let Some(answered) = realm.probe(id) else {
                self.node.counters().add(Count::LimitHits(Limit::WaitingForId), 1);
                return Err(Refusal::IdTaken);
            };
            // An error also ends the probe: the holder gave a sign of life, or has left.
            let _ = self.while_present(answered).await?;
        }
    }

    /// Claims the id in the cluster, if there is one. `None` if a connection of this node has it.
    async fn claim(
        &mut self,
        Admitted { realm, id, token, info, .. }: &Admitted,
    ) -> Result<Option<ClaimedName>, Refusal> {
        let Some(membership) = self.node.membership() else { return Ok(Some(ClaimedName::default())) };
        let request = OpenRequest {
            realm: Arc::clone(realm),
            id: id.clone(),
            token: token.clone(),
            kind: S::KIND,
            address: info.address,
        };
        self.while_present(Box::pin(membership.open(request))).await?
    }

    /// Waits for a future, unless the client leaves first.
    async fn while_present<T>(&mut self, mut awaited: impl Future<Output = T> + Unpin) -> Result<T, Refusal> {
        // The answer to the client's handshake need not wait.
        self.send().await;
        loop {
            tokio::select! {
                result = &mut awaited => {
                    // The client of an abandoned stream may wait here with its WebSocket too. If the stream
                    // registered first, the WebSocket would get no OPEN.
                    return if self.socket.is_abandoned() { Err(Refusal::Elsewhere) } else { Ok(result) };
                }
                () = self.node.clock().sleep(LOOK_INTERVAL) => {}
            }
            if poll_fn(|cx| Poll::Ready(self.socket.has_left(cx))).await {
                return Err(Refusal::Gone);
            }
            let now = self.node.clock().now();
            if self.told_at.take_if(|at| *at <= now).is_some()
                && let Some(notice) = (self.notice)()
            {
                self.outbox.push_opening(notice);
                self.send().await;
            }
        }
    }

    /// Writes the outbox. If that fails, the session will notice.
    async fn send(&mut self) {
        let _ = poll_fn(|cx| self.socket.poll_send(cx, self.outbox)).await;
    }
}
