//! A client that speaks PeerJS. All that it must remember is in its rooms and its outbox.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::near::{self, Guess};
use super::rooms::{self, PeerJsRooms};
use super::{Envelope, Kind, PeerJsCommand};
use crate::client::{AppRequest, Context, Description, Effect, FirstInVain, Lost, Message, Protocol};
use crate::key_state::{KeyState, Spent};
use crate::signal::SignalKind;
use peerbroker_core::vocabulary::{
    AppRefusal, CloseReason, DropReason, Frame, GOING_AWAY, InvalidName, MessageKind, NORMAL, PeerId,
    RealmKind, Refusal, RoomName, RoomRefusal, RoomRights, Token,
};
use peerbroker_rooms::{MAX_DATA_BYTES, MAX_WATCHED, Parting, RoomFrames};
use peerbroker_router::{Departure, Disconnect};

/// A client that speaks PeerJS.
#[derive(Debug, Default)]
pub struct PeerJs {
    in_vain: FirstInVain,
}

impl Protocol for PeerJs {
    const REALM: RealmKind = RealmKind::PeerJs;
    const ROOMS: &'static dyn RoomFrames = &PeerJsRooms;
    const HAS_CREDENTIALS: bool = true;
    const APP_HEARS: bool = true;
    const HEARS_OF_CALLS: bool = true;
    const HEARTBEAT: Option<&'static str> = Some(super::HEARTBEAT);

    fn new(_key: &Arc<KeyState>, _query: &str, _address: Option<IpAddr>) -> Result<Self, InvalidName> {
        Ok(PeerJs::default())
    }

    fn greeting(_id: &PeerId) -> Option<Frame> {
        Some(super::open())
    }

    fn refusal(refusal: Refusal, _: Option<&str>) -> Option<Frame> {
        let write = if refusal == Refusal::IdTaken { super::id_taken } else { super::error };
        Some(write(&refusal.text()))
    }

    fn waiting() -> Option<Frame> {
        Some(super::waiting())
    }

    fn rooms_of(key: &KeyState, id: &PeerId, token: &Token) -> Vec<RoomName> {
        key.existing_rooms(Self::REALM).map(|rooms| rooms.rooms_of(id, token, None)).unwrap_or_default()
    }

    fn may_hear(rights: Option<&RoomRights>, rooms: Option<&[RoomName]>, message: &Frame) -> bool {
        PeerJsRooms.may_hear(rights, rooms, message)
    }

    fn on_open(&mut self, context: &mut Context<'_, '_>) {
        if let Some(rooms) = context.key.existing_rooms(Self::REALM) {
            rooms.opened(context.peer);
        }
    }

    fn on_text<'t>(&mut self, text: &'t str, context: &mut Context<'_, 't>) {
        match super::decode(text) {
            PeerJsCommand::Forward(envelope) => forward(context, envelope),
            PeerJsCommand::Leave => context.effects.push(Effect::Leave),
            PeerJsCommand::Room(kind, asked) => request(context, kind, &asked),
            PeerJsCommand::App(message) => {
                let id = message.id(AppRefusal::InvalidRequest);
                context.effects.push(Effect::App(AppRequest { payload: message.payload, id }));
            }
            PeerJsCommand::Heartbeat => {}
            PeerJsCommand::Ignored => context.effects.push(self.in_vain.effect(text)),
        }
    }

    fn on_lost(&mut self, Lost { to, reason, .. }: Lost<'_>, context: &mut Context<'_, '_>) {
        // A client whose key was revoked is being closed.
        if reason != DropReason::KeyRevoked {
            let expired = super::expire(to, context.peer.id().as_str());
            context.reply(expired);
        }
    }

    fn on_going_away(context: &mut Context<'_, '_>) {
        let peer = context.peer;
        for contact in peer.take_contacts() {
            let frame = super::forward(Kind::Leave, peer.id().as_str(), contact.as_str(), None);
            // A contact that has gone need not know.
            let _ = peer.route(contact.as_str(), MessageKind::Leave, frame).collect_flush(context.flushes);
        }
    }

    fn waits(&self) -> bool {
        false
    }

    fn kept_bytes(&self) -> usize {
        0
    }

    fn release(&mut self) {}

    fn departed(self, departure: Option<&Departure>, end: Disconnect, key: &Arc<KeyState>) {
        if let Some(departure) = departure
            && let Some(rooms) = key.existing_rooms(Self::REALM)
        {
            rooms.departed(&departure.peer, parting(departure, end));
        }
    }

    fn description<'m>(message: &'m Message<'_>) -> Description<'m> {
        let text = message.payload.unwrap_or_default();
        // Only these two begin a call.
        let is_named = matches!(message.signal, SignalKind::Offer | SignalKind::Answer);
        let connection = is_named.then(|| super::connection(text)).flatten();
        Description { text, connection: connection.map(Cow::Borrowed) }
    }

    fn answered(_kind: MessageKind, frame: &str) -> Option<Option<Cow<'_, str>>> {
        match super::decode(frame) {
            PeerJsCommand::Forward(Envelope { kind: Kind::Answer, payload, .. }) => {
                Some(payload.and_then(super::connection).map(Cow::Borrowed))
            }
            _ => None,
        }
    }

    fn with_description(from: &PeerId, Message { kind, to, .. }: &Message<'_>, text: &str) -> Frame {
        super::forward(Kind::of(*kind).unwrap_or(Kind::Offer), from.as_str(), to, Some(text))
    }
}

/// Forwards a message. If it is lost, its sender gets EXPIRE at once.
fn forward<'t>(context: &mut Context<'_, 't>, Envelope { kind, dst, payload }: Envelope<'t>) {
    let frame = super::forward(kind, context.peer.id().as_str(), &dst, payload);
    let signal = SignalKind::from(kind);
    let kind = MessageKind::from(kind);
    let is_told = kind.waits();
    let message = Message { to: dst, kind, signal, frame, payload, is_told };
    context.effects.push(Effect::Send(message));
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
fn request(context: &mut Context<'_, '_>, kind: rooms::Kind, request: &rooms::Request<'_>) {
    if let Err(refusal) = handle_request(context, kind, request) {
        context.limit_hit(refusal.ending().limit);
        if refusal == RoomRefusal::NearOff {
            near::report_off(context);
        }
        context.reply(rooms::refused(kind, request, refusal));
    }
}

fn handle_request(
    context: &mut Context<'_, '_>,
    kind: rooms::Kind,
    request: &rooms::Request<'_>,
) -> Result<(), RoomRefusal> {
    let key = context.key;
    let peer = context.peer;
    let asked = || {
        let name = RoomName::parse(request.room.as_deref().unwrap_or_default());
        near::meant(name.map_err(RoomRefusal::InvalidRoom)?)
    };
    let name = || near::room(asked()?, peer);
    let data = || match request.data {
        Some(data) if data.len() > MAX_DATA_BYTES => Err(RoomRefusal::DataTooLong),
        data => Ok(data),
    };
    let rooms = || key.rooms(PeerJs::REALM);
    let existing = || key.existing_rooms(PeerJs::REALM).ok_or(RoomRefusal::NotMember);
    let most = || key.data().settings.room_members;
    // Each id is a question of its own, so it counts as a message.
    let ids = || {
        let ids = request.ids(MAX_WATCHED)?;
        let frames = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        key.charge(peer, &Spent { frames, ..Spent::default() });
        Ok(ids)
    };
    let requester = &mut context.requester(request.id(RoomRefusal::InvalidRequest)?);
    match kind {
        // A client can always leave.
        rooms::Kind::Leave => existing()?.leave(requester, name()?.as_str()),
        rooms::Kind::Unwatch => rooms().unwatch(requester, &ids()?),
        _ if !key.allows_rooms() => Err(RoomRefusal::Off),
        rooms::Kind::Join => {
            let (name, guess) = near::enter(key, peer, asked()?)?;
            match request.seat() {
                None => rooms().join(requester, name, data()?, most())?,
                Some(wish) => rooms().join_with_seat(requester, name, data()?, wish, most())?,
            }
            guess.iter().for_each(Guess::count);
            Ok(())
        }
        rooms::Kind::Update => existing()?.update(requester, name()?.as_str(), data()?),
        rooms::Kind::Send => {
            let name = name()?;
            let dst = request.dst.as_deref();
            let message = || rooms::message(name.as_str(), peer.id().as_str(), dst, request.payload);
            existing()?.send(requester, name.as_str(), dst, message)
        }
        rooms::Kind::Set => {
            let name = name()?;
            request.with_name(|write| existing()?.write(requester, name.as_str(), write))
        }
        rooms::Kind::Watch => rooms().watch(requester, &ids()?, most()),
    }
}
