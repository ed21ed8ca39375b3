//! A client that speaks PeerJS.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::admission::{ConnectRequest, Credentials, Entry, Rejection, Source, tenant, values};
use super::admit::refuse;
use super::handler::{Context, ProtocolHandler};
use super::open::OpenSession;
use super::run::run;
use crate::descriptions::{MediaMessage, Relayed};
use crate::dialect::peerjs::{self, Command, Envelope, Kind};
use crate::keys::Settings;
use crate::keys::verifier::Claimant;
use crate::node::{Client, Message, Node};
use crate::router::Routed;
use crate::transport::Socket;
use crate::wire::{DropReason, Frame, MessageKind, Refusal};

pub(super) struct PeerJs;

/// Serves a client at the endpoint of PeerJS.
pub(crate) fn serve<S: Socket>(
    socket: S,
    node: &Arc<Node>,
    ConnectRequest { query, source, permit }: ConnectRequest,
) -> impl Future<Output = ()> + use<S> {
    let entry = entry(Arc::clone(node), query, source.clone());
    run(socket, node, source, permit, entry)
}

/// Tells a client whose path is wrong the path of this server, and closes its connection. Without an answer on its
/// WebSocket it would only report a lost server.
pub(crate) fn redirect<S: Socket>(
    mut socket: S,
    node: &Arc<Node>,
    ConnectRequest { query, source, permit }: ConnectRequest,
    path: &str,
) -> impl Future<Output = ()> + use<S> {
    let session = OpenSession::new(node, permit);
    let refusal = Refusal::WrongPath;
    let told = peerjs::error(&format!("{}: this broker is at {path}", refusal.text()));
    async move {
        let [key, id] = values(&query, ["key", "id"]);
        Credentials::reject(refusal, &key, &id).note(&session, &source);
        let outbox = socket.open_outbox(session.config().load().limits.outbox_bytes);
        refuse(&mut socket, outbox, &session, Some(told), refusal).await;
    }
}

/// Admits the client by the query of its URL.
async fn entry(node: Arc<Node>, query: String, source: Source) -> Result<(Entry, PeerJs), Rejection> {
    let credentials = Credentials::parse(&query).map_err(|reason| {
        let [key, id] = values(&query, ["key", "id"]);
        Credentials::reject(reason, &key, &id)
    });
    Ok((admit(&node, credentials?, &source).await?, PeerJs))
}

/// Decides on a claim.
pub(super) async fn admit(
    node: &Node,
    credentials: Credentials,
    source: &Source,
) -> Result<Entry, Rejection> {
    let (key, id) = (credentials.key.clone(), credentials.id.clone());
    let entry = decide(node, credentials, source).await;
    entry.map_err(|reason| Rejection { reason, key: Some(key), id: Some(id) })
}

async fn decide(
    node: &Node,
    Credentials { key, id, token, version }: Credentials,
    source: &Source,
) -> Result<Entry, Refusal> {
    let Source { origin, address } = source;
    let origin = origin.as_deref();
    let tenant = tenant(node, &key, origin)?;
    let policy = tenant.policy_full();
    let claimant = Claimant { key: &key, id: &id, token: &token, address: *address, origin };
    let token = policy.verify(&claimant).await.ok_or(Refusal::TokenRefused)?;
    tenant.note_use();
    let &Settings { messages_per_second, leave_on_close: leaves_on_close, .. } = policy.settings();
    let realm = tenant.peers();
    let info = source.info(version);
    Ok(Entry { realm, id, token, messages_per_second, leaves_on_close, info, begins_anew: false })
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
        context.node.note_text(context.peer, text);
        match peerjs::decode(text) {
            Command::Relay(envelope) => relay(context, &envelope),
            Command::Leave => return ControlFlow::Break(()),
            Command::Heartbeat | Command::Nothing => {}
        }
        ControlFlow::Continue(())
    }

    fn on_going_away(context: &mut Context<'_>) {
        let peer = context.peer;
        for contact in peer.take_contacts() {
            let frame = peerjs::relay(Kind::Leave, peer.id().as_str(), contact.as_str(), None);
            if let Routed::Delivered(flush) = peer.route(contact.as_str(), MessageKind::Leave, frame) {
                context.flushes.extend(flush);
            }
        }
    }
}

/// Forwards a message. If it is lost, its sender gets EXPIRE at once.
pub(super) fn relay(context: &mut Context<'_>, Envelope { kind, dst, payload }: &Envelope<'_>) {
    let &mut Context { peer, node, .. } = context;
    let client = Client { key: peer.key(), id: peer.id() };
    node.note_message(client, Message { kind: *kind, dst, payload: *payload });
    let id = peer.id().as_str();
    let relayed = payload.map_or(Relayed::AsItIs, |payload| {
        let message = || match *kind {
            Kind::Offer => MediaMessage::Offer(peerjs::connection(payload)),
            Kind::Answer => MediaMessage::Answer(peerjs::connection(payload)),
            Kind::Candidate => MediaMessage::Candidate,
            Kind::Leave => MediaMessage::Other,
        };
        node.relayed(peer, dst, message, payload)
    });
    let payload = match &relayed {
        Relayed::AsItIs => *payload,
        Relayed::Text(text) => Some(&**text),
        Relayed::Nothing => return,
    };
    let frame = peerjs::relay(*kind, id, dst, payload);
    let kind = MessageKind::from(*kind);
    match peer.route(dst, kind, frame) {
        Routed::Delivered(flush) => context.flushes.extend(flush),
        // A client whose key was revoked is being closed.
        Routed::Queued | Routed::Dropped(DropReason::KeyRevoked) => {}
        Routed::Dropped(_) if kind.waits() => context.reply(peerjs::expire(dst, id)),
        Routed::Dropped(_) => {}
    }
}
