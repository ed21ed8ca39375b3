//! The frames that members of a room hear. The rooms know members, data and an order; a dialect writes them into its own frames.

use super::limits::MAX_ROOMS;
use crate::wire::{Frame, RoomRights};

/// A change of a member, which the others hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has joined.
    Joined,
    /// It has other data now.
    Updated,
    /// It has gone.
    Left,
}

/// A message to the members of a room.
#[derive(Clone, Copy, Debug)]
pub struct Said<'a> {
    /// The room.
    pub room: &'a str,
    /// The id of its sender. `None` is the app's server.
    pub from: Option<&'a str>,
    /// The id of its only recipient. `None` is everybody.
    pub to: Option<&'a str>,
    /// The JSON text of the payload.
    pub payload: Option<&'a str>,
    /// The number of members.
    pub members: usize,
}

/// The frames of rooms. Each is written once for all that hear it. `None` is something that the dialect does not tell.
pub trait RoomDialect: Send + Sync + 'static {
    /// A message.
    fn said(&self, said: Said<'_>) -> Frame;

    /// True if a member hears its own messages to all.
    fn echoes(&self) -> bool {
        false
    }

    /// Most rooms in which one client is.
    fn max_rooms(&self) -> usize {
        MAX_ROOMS
    }

    /// True if members hear of each other. Otherwise events do not tell of them either, and a change costs one delivery.
    fn lists_members(&self) -> bool {
        true
    }

    /// True if members hear of a change by the list of all members.
    fn tells_all_members(&self) -> bool {
        false
    }

    /// True if only one of two members hears that the other has come, and makes the offer: the one that was there before or, on two
    /// nodes, which may hear of each other at once, the one with the smaller id.
    fn introduces_one(&self) -> bool {
        false
    }

    /// The list of all members, each with its data as JSON text. It answers a request, if that has an id: JSON text.
    fn members(
        &self,
        _room: &str,
        _members: &mut dyn Iterator<Item = (&str, Option<&str>)>,
        _request: Option<&str>,
    ) -> Option<Frame> {
        None
    }

    /// The bytes of one member in that list.
    fn member_bytes(&self, id: &str, data: Option<&str>) -> usize {
        id.len() + data.map_or(0, str::len)
    }

    /// A member has changed. One that has left has no data.
    fn changed(&self, _change: Change, _room: &str, _id: &str, _data: Option<&str>) -> Option<Frame> {
        None
    }

    /// A client with a watched id is online, or not.
    fn presence(&self, _id: &str, _is_online: bool) -> Option<Frame> {
        None
    }

    /// The answer to a request that has no other answer: about a room, or about watched ids.
    fn done(&self, _room: Option<&str>, _request: &str) -> Option<Frame> {
        None
    }

    /// The room of a message.
    fn room_of(&self, _message: &Frame) -> Option<String> {
        None
    }

    /// True if a client with these rights may enter the room of a message.
    fn may_hear(&self, rights: Option<&RoomRights>, message: &Frame) -> bool {
        rights.is_none_or(|rights| self.room_of(message).is_some_and(|room| rights.right_in(&room).is_some()))
    }
}
