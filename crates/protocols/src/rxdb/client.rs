//! A client of RxDB's replication: a member of rooms, which signals other members. It gets a new id each time
//! that it connects.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use super::{RxDbCommand, RxDbRooms, Signal};
use crate::client::{Context, Description, Effect, Message, Protocol};
use crate::json;
use crate::key_state::KeyState;
use peerbroker_core::vocabulary::{
    CloseReason, Frame, InvalidName, MessageKind, PeerId, RealmKind, Refusal, RoomName, RoomRefusal,
};
use peerbroker_rooms::RoomFrames;
use peerbroker_router::{Departure, Disconnect};

/// A client of RxDB's replication.
#[derive(Debug)]
pub struct RxDb;

impl Protocol for RxDb {
    const REALM: RealmKind = RealmKind::RxDb;
    const ROOMS: &'static dyn RoomFrames = &RxDbRooms;

    fn new(_key: &Arc<KeyState>, _query: &str, _address: Option<IpAddr>) -> Result<Self, InvalidName> {
        Ok(RxDb)
    }

    fn greeting(id: &PeerId) -> Option<Frame> {
        Some(super::init(id.as_str()))
    }

    /// The protocol has no such frame, and its clients ignore this one: it is for people who look.
    fn refusal(refusal: Refusal, _: Option<&str>) -> Option<Frame> {
        Some(json::error(&refusal.text()))
    }

    fn on_text<'t>(&mut self, text: &'t str, context: &mut Context<'_, 't>) {
        match super::decode(text) {
            Some(RxDbCommand::Join(room)) => join(&room, text, context),
            Some(RxDbCommand::Signal(Signal { from, to, kind })) if *from == *context.peer.id().as_str() => {
                context.send(to, MessageKind::Signal, kind, Frame::of_text(text));
            }
            Some(RxDbCommand::Ping) => {}
            // RxDB's server closes the connection too: for a name that is no room's, an unknown type, and
            // another's id.
            Some(RxDbCommand::Signal(_)) | None => refuse(text, context),
        }
    }

    fn waits(&self) -> bool {
        false
    }

    fn kept_bytes(&self) -> usize {
        0
    }

    fn release(&mut self) {}

    fn departed(self, departure: Option<&Departure>, _end: Disconnect, key: &Arc<KeyState>) {
        if let Some(departure) = departure {
            key.leave_rooms(Self::REALM, &departure.peer);
        }
    }

    fn description<'m>(message: &'m Message<'_>) -> Description<'m> {
        Description::in_frame(message)
    }

    fn answered(_kind: MessageKind, _frame: &str) -> Option<Option<Cow<'_, str>>> {
        Some(None)
    }
}

/// Tells the operator of a message, and ends the connection of its client.
fn refuse<'t>(text: &'t str, context: &mut Context<'_, 't>) {
    context.effects.push(Effect::InVain(text));
    context.dismiss(CloseReason::WrongMessage);
}

/// The protocol has no answer for what is refused. A client that joins too fast loses its connection: RxDB
/// comes back after a pause, and joins again. RxDB's server admits control characters in the name of a room,
/// and our log must not have them.
fn join<'t>(room: &str, text: &'t str, context: &mut Context<'_, 't>) {
    let key = context.key;
    let joined = RoomName::measured(room).map_err(RoomRefusal::InvalidRoom).and_then(|room| {
        key.rooms(RxDb::REALM).join(
            &mut context.requester(None),
            room,
            None,
            key.data().settings.room_members,
        )
    });
    let Err(refusal) = joined else { return };
    context.limit_hit(refusal.ending().limit);
    match refusal {
        RoomRefusal::InvalidRoom(_) => refuse(text, context),
        RoomRefusal::TooFast | RoomRefusal::KeyTooFast => context.effects.push(Effect::Leave),
        _ => {}
    }
}
