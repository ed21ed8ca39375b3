//! A client that speaks PeerJS.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::admission::{Claim, Entry, Refusal, Source, key_in_force};

use super::run::{Context, ProtocolHandler};
use crate::app::{Client, Message, Service};
use crate::auth::Claimant;
use crate::broker::{Flush, Peer, Routed};
use crate::dialect::peerjs::{self, Command, Envelope};
use crate::wire::Frame;

pub(super) struct PeerJs;

/// What the client asks for in the query of its address.
pub(super) async fn entry(
    service: Arc<Service>,
    query: String,
    source: Source,
) -> Result<(Entry, PeerJs), Refusal> {
    admit(&service, Claim::parse(&query)?, &source).await
}

/// Decides on a claim.
pub(super) async fn admit(
    service: &Service,
    Claim { key, id, token, version }: Claim,
    source: &Source,
) -> Result<(Entry, PeerJs), Refusal> {
    let Source { origin, address } = source;
    let origin = origin.as_deref();
    let active = key_in_force(service, &key, origin)?;
    let claimant = Claimant { key: &key, id: &id, token: &token, address: *address, origin };
    let token = active.verify(&claimant).await.ok_or(Refusal::TokenRefused)?;
    active.note_use();
    let messages_per_second = active.key.settings.messages_per_second;
    let realm = Arc::clone(&active.tenant.peers);
    Ok((Entry { realm, id, token, messages_per_second, about: source.about(version) }, PeerJs))
}

impl ProtocolHandler for PeerJs {
    fn greeting() -> Option<Frame> {
        Some(peerjs::open())
    }

    fn refusal(refusal: Refusal) -> Frame {
        match refusal {
            Refusal::IdTaken => peerjs::id_taken(),
            refusal => peerjs::error(&refusal.text()),
        }
    }

    fn on_text(&mut self, text: &str, context: &mut Context<'_>) -> ControlFlow<()> {
        match peerjs::decode(text) {
            Command::Relay(envelope) => relay(context.peer, context.service, &envelope, context.flushes),
            Command::Leave => return ControlFlow::Break(()),
            Command::Heartbeat | Command::Nothing => {}
        }
        ControlFlow::Continue(())
    }
}

/// Passes a message on; its sender hears at once if it is lost.
pub(super) fn relay(
    peer: &Peer,
    service: &Service,
    Envelope { kind, dst, payload }: &Envelope<'_>,
    flushes: &mut Vec<Flush>,
) {
    if let Some(hook) = &service.hooks.message {
        let client = Client { key: peer.key(), id: peer.id() };
        hook(client, Message { kind: *kind, dst, payload: *payload });
    }
    let id = peer.id().as_str();
    let frame = peerjs::relay(*kind, id, dst, *payload);
    match peer.route(dst, frame, kind.waits()) {
        Routed::Sent(flush) => flushes.extend(flush),
        Routed::Expired => flushes.extend(peer.reply(peerjs::expire(dst, id))),
        Routed::Kept | Routed::Dropped => {}
    }
}
