//! A client that speaks PeerJS.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::admission::{Claim, ConnectRequest, Entry, Rejection, Source, active_key, values};
use super::handler::{Context, ProtocolHandler};
use super::run;
use super::sessions::{Client, Message, Sessions};
use crate::auth::Claimant;
use crate::broker::{Flush, Peer, Routed};
use crate::dialect::peerjs::{self, Command, Envelope, Kind};
use crate::node::{MediaMessage, Relayed};
use crate::transport::Socket;
use crate::wire::{DropReason, Frame, MessageKind, Refusal};

pub(super) struct PeerJs;

/// Serves a client at the endpoint of PeerJS.
pub(crate) fn serve<S: Socket>(
    socket: S,
    sessions: &Arc<Sessions>,
    request: ConnectRequest,
) -> impl Future<Output = ()> + use<S> {
    run::serve(socket, sessions, request, entry)
}

/// Admits the client by the query of its URL.
async fn entry(sessions: Arc<Sessions>, query: String, source: Source) -> Result<(Entry, PeerJs), Rejection> {
    let claim = Claim::parse(&query).map_err(|reason| {
        let [key, id] = values(&query, ["key", "id"]);
        Claim::reject(reason, &key, &id)
    });
    Ok((admit(&sessions, claim?, &source).await?, PeerJs))
}

/// Decides on a claim.
pub(super) async fn admit(sessions: &Sessions, claim: Claim, source: &Source) -> Result<Entry, Rejection> {
    let (key, id) = (claim.key.clone(), claim.id.clone());
    let entry = decide(sessions, claim, source).await;
    entry.map_err(|reason| Rejection { reason, key: Some(key), id: Some(id) })
}

async fn decide(
    sessions: &Sessions,
    Claim { key, id, token, version }: Claim,
    source: &Source,
) -> Result<Entry, Refusal> {
    let Source { origin, address } = source;
    let origin = origin.as_deref();
    let active = active_key(&sessions.keys, &key, origin)?;
    let claimant = Claimant { key: &key, id: &id, token: &token, address: *address, origin };
    let token = active.verify(&claimant).await.ok_or(Refusal::TokenRefused)?;
    active.note_use();
    let messages_per_second = active.key.settings.messages_per_second;
    let realm = active.tenant.peers();
    let info = source.info(version);
    Ok(Entry { realm, id, token, messages_per_second, info, begins_anew: false })
}

impl ProtocolHandler for PeerJs {
    fn greeting() -> Option<Frame> {
        Some(peerjs::open())
    }

    fn refusal(refusal: Refusal) -> Frame {
        match refusal {
            Refusal::IdTaken => peerjs::id_taken(&refusal.text()),
            refusal => peerjs::error(&refusal.text()),
        }
    }

    fn waiting() -> Option<Frame> {
        Some(peerjs::waiting())
    }

    fn on_text(&mut self, text: &str, context: &mut Context<'_>) -> ControlFlow<()> {
        match peerjs::decode(text) {
            Command::Relay(envelope) => relay(context.peer, context.sessions, &envelope, context.flushes),
            Command::Leave => return ControlFlow::Break(()),
            Command::Heartbeat | Command::Nothing => {}
        }
        ControlFlow::Continue(())
    }
}

/// Relays a message. If it is lost, its sender gets EXPIRE at once.
pub(super) fn relay(
    peer: &Peer,
    sessions: &Sessions,
    Envelope { kind, dst, payload }: &Envelope<'_>,
    flushes: &mut Vec<Flush>,
) {
    let client = Client { key: peer.key(), id: peer.id() };
    sessions.note_message(client, Message { kind: *kind, dst, payload: *payload });
    let id = peer.id().as_str();
    let relayed = payload.map_or(Relayed::AsItIs, |payload| {
        let message = || match *kind {
            Kind::Offer => MediaMessage::Offer(peerjs::connection(payload)),
            Kind::Answer => MediaMessage::Answer(peerjs::connection(payload)),
            Kind::Candidate => MediaMessage::Candidate,
            Kind::Leave => MediaMessage::Other,
        };
        sessions.relayed(peer, dst, message, payload)
    });
    let payload = match &relayed {
        Relayed::AsItIs => *payload,
        Relayed::Text(text) => Some(&**text),
        Relayed::Nothing => return,
    };
    let frame = peerjs::relay(*kind, id, dst, payload);
    let kind = MessageKind::from(*kind);
    match peer.route(dst, kind, frame) {
        Routed::Delivered(flush) => flushes.extend(flush),
        // A client whose key was revoked is being closed.
        Routed::Queued | Routed::Dropped(DropReason::KeyRevoked) => {}
        Routed::Dropped(_) if kind.waits() => flushes.extend(peer.reply(peerjs::expire(dst, id))),
        Routed::Dropped(_) => {}
    }
}
