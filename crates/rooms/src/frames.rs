//! The frames that members of a room hear. The rooms know members, data and an order; a protocol writes them
//! as its own frames, and each message as its sender's client.

use std::any::Any;

use super::seat::Seat;
use super::state::StateView;
use peerbroker_core::address::Network;
use peerbroker_core::vocabulary::{Frame, PeerId, RoomName, RoomRefusal, RoomRights};

/// Most rooms in which one client is.
pub const MAX_ROOMS: usize = 16;

/// A change of a member, which the others hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The member has joined.
    Joined,
    /// The member has other data now.
    Updated,
    /// The member has gone.
    Left,
}

/// A member as the others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its public data, as JSON text.
    pub data: Option<&'a str>,
    /// Its seat, if it has asked for one.
    pub seat: Option<Seat>,
}

impl<'a> MemberView<'a> {
    /// A member of which only the id is known, or still of interest.
    pub fn of_id(id: &'a str) -> Self {
        MemberView { id, data: None, seat: None }
    }
}

/// The members that hear that another one has come or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience<'a> {
    /// All members.
    All,
    /// Of two members only one hears that the other has come, and makes the offer: the one that was there
    /// before or, on two nodes, which may hear of each other at once, the one with the smaller id. All hear
    /// that one has gone.
    OneOfTwo,
    /// Only the member with this id. The others hear when that one goes.
    Host(&'a str),
}

impl Audience<'_> {
    /// True if a member hears that another one has come, which is on this node or not.
    pub(super) fn hears_of(self, to: &PeerId, id: &PeerId, is_here: bool) -> bool {
        match self {
            Audience::All => true,
            Audience::OneOfTwo => is_here || to < id,
            Audience::Host(host) => to.as_str() == host,
        }
    }

    /// True if a member hears of those that were there when it came.
    pub(super) fn is_introduced(self, to: &PeerId, id: &PeerId, is_here: bool) -> bool {
        match self {
            Audience::All => false,
            Audience::OneOfTwo => !is_here && to < id,
            Audience::Host(host) => to.as_str() == host,
        }
    }

    /// True if a member hears that another one has gone.
    pub(super) fn misses(self, to: &PeerId, id: &PeerId) -> bool {
        match self {
            Audience::All | Audience::OneOfTwo => true,
            Audience::Host(host) => to.as_str() == host || id.as_str() == host,
        }
    }
}

/// The frames in which one member hears the messages of its rooms, if they are not those of all others.
pub trait OwnFrames: Send + Sync {
    /// The message as the member hears it. `read` keeps the part that the first of its hearers has read, so
    /// that a message is read once.
    fn of(&self, room: &str, message: &Frame, read: &mut Read) -> OwnMessage;

    /// Most rooms in which the client is.
    fn max_rooms(&self) -> usize;
}

/// The part of a message that was read for members with frames of their own.
pub type Read = Option<Box<dyn Any>>;

/// A message in the frames of one member.
#[derive(Debug, Default)]
pub struct OwnMessage {
    /// The frames: none if the member does not hear it.
    pub frames: Vec<Frame>,
    /// Deliveries that cost as much as the search for what the member wants to hear.
    pub search: usize,
}

/// The frames of rooms. Each is written once for all that hear it. `None` is something that the protocol does
/// not tell.
pub trait RoomFrames: Send + Sync + 'static {
    /// True if a member hears its own messages to all.
    fn echoes(&self) -> bool {
        false
    }

    /// True if a client hears, or notices, that a request is refused. Otherwise one that comes too fast is
    /// done, and its client is read later.
    fn refuses(&self) -> bool {
        true
    }

    /// Most rooms in which one client is.
    fn max_rooms(&self) -> usize {
        MAX_ROOMS
    }

    /// True if members hear of each other. Otherwise events do not tell of them either, and a change costs
    /// one delivery.
    fn lists_members(&self) -> bool {
        true
    }

    /// True if members hear of a change by the list of all members.
    fn sends_all_members(&self) -> bool {
        false
    }

    /// The members of a room that hear of others.
    fn audience<'a>(&self, _room: &'a str) -> Audience<'a> {
        Audience::All
    }

    /// The list of all members, and the state of the room. It answers a request, if that has an id:
    /// JSON text.
    fn members(
        &self,
        _room: &str,
        _members: &mut dyn Iterator<Item = MemberView<'_>>,
        _state: &mut dyn Iterator<Item = StateView<'_>>,
        _request: Option<&str>,
    ) -> Option<Frame> {
        None
    }

    /// The bytes of one member in that list.
    fn member_bytes(&self, member: MemberView<'_>) -> usize {
        member.id.len() + member.data.map_or(0, str::len)
    }

    /// A member has changed. One that has left has no data and no seat.
    fn changed(&self, _change: Change, _room: &str, _member: MemberView<'_>) -> Option<Frame> {
        None
    }

    /// A name of the state has another value.
    fn state(&self, _room: &str, _state: StateView<'_>) -> Option<Frame> {
        None
    }

    /// A request is refused that another node has decided.
    fn refused(&self, _room: &str, _request: &str, _refusal: RoomRefusal) -> Option<Frame> {
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

    /// The name by which its members know a room.
    fn known<'a>(&self, room: &'a str) -> &'a str {
        room
    }

    /// True if a client of a network may be in a room.
    fn is_open_to(&self, _room: &RoomName, _network: Option<Network>) -> bool {
        true
    }

    /// The room of a message, by the name that members know. `None` if the protocol has no messages to rooms.
    fn room_of(&self, message: &Frame) -> Option<String>;

    /// True if a message is for a client with these rights that is in these rooms; `None` means any room.
    fn may_hear(&self, rights: Option<&RoomRights>, rooms: Option<&[RoomName]>, message: &Frame) -> bool {
        if rights.is_none() && rooms.is_none() {
            return true;
        }
        self.room_of(message).is_some_and(|room| {
            rooms.is_none_or(|rooms| rooms.iter().any(|of_client| self.known(of_client.as_str()) == room))
                && rights.is_none_or(|rights| rights.right_in(&room).is_some())
        })
    }
}
