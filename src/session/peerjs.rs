//! A client that speaks PeerJS.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::admission::{Admitted, ClientSource, ConnectRequest, Credentials, Rejection, tenant};
use super::farewell::refuse;
use super::handler::{Context, ProtocolHandler, note_ignored, part};
use super::open::OpenSession;
use crate::descriptions::MediaMessage;
use crate::keys::Proof;
use crate::keys::verifier::Claimant;
use crate::node::{Client, Message, Node, Tenant};
use crate::transport::{Disconnect, Socket};
use peerbroker_broker::events::Mistake;
use peerbroker_broker::protocols::peerjs::app;
use peerbroker_broker::protocols::peerjs::rooms::{self, PeerJsRooms};
use peerbroker_broker::protocols::peerjs::{self, Command, Envelope, Kind};
use peerbroker_broker::rooms::{MAX_DATA_BYTES, MAX_WATCHED, Parting, Requester, RoomDialect as _};
use peerbroker_broker::router::{ConnectionInfo, Departure, IdLease};
use peerbroker_core::wire::{
    AppRefusal, CloseReason, DropReason, Frame, GOING_AWAY, MessageKind, NORMAL, PeerId, Refusal, RoomName,
    RoomRefusal, RoomRights, Token,
};

/// It has the tenant of its key, which may be removed before its client has gone.
pub(crate) struct PeerJs(pub(super) Arc<Tenant>);

/// Tells a client that is not served at its address why, and closes its connection. Without an answer on its WebSocket it would
/// only report a lost server.
pub(crate) fn turn_away<S: Socket>(
    mut socket: S,
    node: &Arc<Node>,
    ConnectRequest { query, source, permit }: ConnectRequest,
    refusal: Refusal,
    told: &str,
) -> impl Future<Output = ()> + use<S> {
    let session = OpenSession::new(node, permit);
    let told = peerjs::error(told);
    async move {
        Rejection::of(refusal, &query).note(&session, &source);
        let outbox = socket.open_outbox(session.config().load().limits.outbox_bytes);
        refuse(&mut socket, outbox, &session, Some(told), refusal).await;
    }
}

/// Decides on the credentials of a client.
pub(super) async fn admit(
    node: &Node,
    Credentials { key, id, token, version }: Credentials,
    source: &ClientSource,
) -> Result<(Admitted, PeerJs), Refusal> {
    let ClientSource { origin, address, .. } = source;
    let origin = origin.as_deref();
    let tenant = tenant(node, &key, source).await?;
    let policy = tenant.policy_full();
    let claimant = Claimant { key: &key, id: &id, token: &token, address: *address, origin };
    let verified = policy.verify(&claimant).await;
    let Proof { token, rooms, odd } = verified.map_err(|denied| {
        source.note_mistake(node, || denied.mistake(key.clone(), Some(id.clone()), token.as_str()));
        denied.refusal()
    })?;
    if let Some(odd) = odd {
        source.note_mistake(node, || Mistake::OddToken {
            key: key.clone(),
            id: id.clone(),
            what: odd.what(),
            hint: odd.hint(),
        });
    }
    tenant.note_use();
    let leaves_on_close = policy.settings().leave_on_close;
    let realm = tenant.peers();
    let info = ConnectionInfo { rooms, ..source.info(version) };
    let admitted = Admitted { realm, id, token, leaves_on_close, info, begins_anew: false };
    Ok((admitted, PeerJs(tenant)))
}

impl ProtocolHandler for PeerJs {
    async fn enter(node: &Node, query: &str, source: &ClientSource) -> Result<(Admitted, Self), Rejection> {
        let admitted = match Credentials::parse(query) {
            Ok(credentials) => admit(node, credentials, source).await,
            Err(reason) => Err(reason),
        };
        admitted.map_err(|reason| Rejection::of(reason, query))
    }

    fn tenant(&self) -> &Tenant {
        &self.0
    }

    fn greeting(_id: &PeerId) -> Option<Frame> {
        Some(peerjs::open())
    }

    fn refusal(refusal: Refusal) -> Frame {
        match refusal {
            Refusal::IdTaken => peerjs::id_taken(&refusal.text()),
            refusal => peerjs::error(&refusal.text()),
        }
    }

    fn rooms_of(&self, id: &PeerId, token: &Token) -> Vec<RoomName> {
        self.0.existing_rooms().map(|rooms| rooms.rooms_of(id, token, None)).unwrap_or_default()
    }

    fn may_hear(&self, rights: Option<&RoomRights>, rooms: Option<&[RoomName]>, message: &Frame) -> bool {
        PeerJsRooms.may_hear(rights, rooms, message)
    }

    fn waiting() -> Option<Frame> {
        Some(peerjs::waiting())
    }

    fn on_open(&mut self, context: &mut Context<'_>) {
        if let Some(rooms) = self.0.existing_rooms() {
            rooms.opened(context.peer);
        }
    }

    fn on_room(&mut self, context: &mut Context<'_>) {
        if let Some(rooms) = self.0.existing_rooms() {
            rooms.catch_up(context.peer, context.flushes);
        }
    }

    fn depart(self, lease: IdLease, end: Disconnect) -> Option<Departure> {
        let departure = part(lease, end)?;
        if let Some(rooms) = self.0.existing_rooms() {
            rooms.departed(&departure.peer, parting(&departure, end));
        }
        Some(departure)
    }

    fn on_text(&mut self, text: &str, context: &mut Context<'_>) -> ControlFlow<()> {
        context.node.note_text(context.peer, text);
        // Before all else: most texts are this one.
        if text == peerjs::HEARTBEAT {
            return ControlFlow::Continue(());
        }
        self.obey(&peerjs::decode(text), context)
    }

    fn on_going_away(context: &mut Context<'_>) {
        let peer = context.peer;
        for contact in peer.take_contacts() {
            let frame = peerjs::forward(Kind::Leave, peer.id().as_str(), contact.as_str(), None);
            // A contact that has gone need not know.
            let _ = peer.route(contact.as_str(), MessageKind::Leave, frame).promise(context.flushes);
        }
    }
}

impl PeerJs {
    /// Does what a text says; breaks when the client says goodbye.
    // Inline, because each heartbeat comes here, and the call cost 3 % of one.
    #[inline]
    pub(super) fn obey(&self, command: &Command<'_>, context: &mut Context<'_>) -> ControlFlow<()> {
        match command {
            Command::Forward(envelope) => forward(context, envelope),
            Command::Leave => return ControlFlow::Break(()),
            Command::Room(kind, asked) => request(context, &self.0, *kind, asked),
            Command::App(message) => send_to_app(context, message),
            Command::Heartbeat => {}
            Command::Ignored => note_ignored(context.peer),
        }
        ControlFlow::Continue(())
    }
}

/// Forwards a message. If it is lost, its sender gets EXPIRE at once.
fn forward(context: &mut Context<'_>, Envelope { kind, dst, payload }: &Envelope<'_>) {
    let &mut Context { peer, node, .. } = context;
    let client = Client { key: peer.key(), id: peer.id() };
    node.note_message(client, Message { kind: *kind, dst, payload: *payload });
    let id = peer.id().as_str();
    let relayed = payload.map(|payload| {
        let message = || match *kind {
            Kind::Offer => MediaMessage::Offer(peerjs::connection(payload)),
            Kind::Answer => MediaMessage::Answer(peerjs::connection(payload)),
            Kind::Candidate => MediaMessage::Candidate,
            Kind::Leave => MediaMessage::Other,
        };
        node.prepare_for_relay(peer, dst, message, payload)
    });
    // The recipient may not have this one, such as a candidate with the address of its sender.
    if matches!(relayed, Some(None)) {
        return;
    }
    let frame = peerjs::forward(*kind, id, dst, relayed.flatten().as_deref());
    let kind = MessageKind::from(*kind);
    let routed = peer.route(dst, kind, frame).promise(context.flushes);
    // A client whose key was revoked is being closed.
    if routed.is_err_and(|reason| kind.waits() && reason != DropReason::KeyRevoked) {
        context.reply(peerjs::expire(dst, id));
    }
}

/// Hands a message over to the app's server. The answer of the app comes later.
fn send_to_app(context: &mut Context<'_>, request: &rooms::Request<'_>) {
    let &mut Context { peer, node, .. } = context;
    let id = request.id(AppRefusal::InvalidRequest);
    let taken = id.and_then(|id| node.send_to_app(peer, request.payload, id));
    if let Err(refusal) = taken {
        if let Some(limit) = refusal.ending().limit {
            node.events().limit_hit(limit, Some(peer.realm().key()), peer.address());
        }
        context.reply(app::refused(id.ok().flatten(), refusal));
    }
}

/// The rooms of a client that says goodbye, or may not come back, do not wait for it.
fn parting(departure: &Departure, end: Disconnect) -> Parting {
    let ended_by = |reason| match reason {
        CloseReason::Left | CloseReason::Kicked | CloseReason::Banned | CloseReason::KeyRevoked => {
            Parting::ForGood
        }
        _ => Parting::Lost,
    };
    match end {
        _ if !departure.by_session => ended_by(departure.ended.reason),
        Disconnect::Closed(Some(NORMAL)) => Parting::ForGood,
        Disconnect::Closed(Some(GOING_AWAY)) => Parting::PageGone,
        Disconnect::ByServer(CloseReason::Left) => Parting::ForGood,
        Disconnect::Closed(_) | Disconnect::ByServer(_) | Disconnect::Gone => Parting::Lost,
    }
}

/// Handles a request about a room, or about ids to watch.
fn request(context: &mut Context<'_>, tenant: &Arc<Tenant>, kind: rooms::Kind, request: &rooms::Request<'_>) {
    if let Err(refusal) = fulfil(context, tenant, kind, request) {
        if let Some(limit) = refusal.ending().limit {
            context.node.events().limit_hit(limit, Some(tenant.key()), context.peer.address());
        }
        context.reply(rooms::refused(kind, request, refusal));
    }
}

fn fulfil(
    context: &mut Context<'_>,
    tenant: &Arc<Tenant>,
    kind: rooms::Kind,
    request: &rooms::Request<'_>,
) -> Result<(), RoomRefusal> {
    let name = || {
        let name = RoomName::parse(request.room.as_deref().unwrap_or_default());
        name.map_err(RoomRefusal::InvalidRoom)
    };
    let data = || match request.data {
        Some(data) if data.len() > MAX_DATA_BYTES => Err(RoomRefusal::DataTooLong),
        data => Ok(data),
    };
    let existing = || tenant.existing_rooms().ok_or(RoomRefusal::NotMember);
    let (are_on, most, messages_per_second) = {
        let policy = tenant.policy();
        let settings = policy.settings();
        (settings.allow_rooms, settings.room_members, settings.messages_per_second)
    };
    let Context { peer, flushes, .. } = context;
    // Each id is a question of its own, so it counts as a message.
    let ids = || {
        let ids = request.ids(MAX_WATCHED)?;
        peer.charge(u32::try_from(ids.len()).unwrap_or(u32::MAX), messages_per_second);
        Ok(ids)
    };
    let requester = &mut Requester { peer, request: request.id(RoomRefusal::InvalidRequest)?, flushes };
    match kind {
        // A client can always leave.
        rooms::Kind::Leave => existing()?.leave(requester, name()?.as_str()),
        rooms::Kind::Unwatch => tenant.rooms().unwatch(requester, &ids()?),
        _ if !are_on => Err(RoomRefusal::Off),
        rooms::Kind::Join => tenant.rooms().join(requester, name()?, data()?, most),
        rooms::Kind::Update => existing()?.update(requester, name()?.as_str(), data()?),
        rooms::Kind::Send => {
            existing()?.send(requester, name()?.as_str(), request.dst.as_deref(), request.payload)
        }
        rooms::Kind::Watch => tenant.rooms().watch(requester, &ids()?, most),
    }
}
