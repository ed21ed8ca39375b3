//! Packets between nodes, as bytes.
//!
//! A batch is a header and packets. Nodes of two versions understand each other, as long as new fields go to
//! the end of a packet, and new kinds to the end of their enum:
//!
//! - Each packet has its length in front, so a node skips those of kinds that it does not know. Nobody
//!   answers such a question, and every question has a time limit.
//! - A packet may be longer than a node expects, which ignores the rest.
//! - A packet ends with zeros. A newer node reads its new fields from them: 0, empty, none.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::backplane::{Entity, Name};
use peerbroker_core::vocabulary::{ApiKey, NodeId};
use peerbroker_rooms::{CarriedFrame, News};

/// The version of a batch. A node also reads batches of other versions, and skips unknown parts.
const VERSION: u8 = 1;

/// The bytes of the header of a batch.
pub const HEADER: usize = 17;

/// Zeros at the end of a packet.
const SPARE: [u8; 8] = [0; 8];

/// A message from one node to another.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packet<'a> {
    /// A message for a connection of the reader.
    Message {
        /// The recipient's name.
        to: NameRef<'a>,
        /// The recipient's connection.
        connection: u64,
        /// Identifies it in the answer.
        ticket: u64,
        /// The id of its sender.
        from: &'a str,
        /// The number of its [`MessageKind`](peerbroker_core::vocabulary::MessageKind).
        kind: u8,
        /// The frame for the recipient.
        #[serde(borrow)]
        frame: CarriedFrame<'a>,
    },
    /// The outcome of a message of the reader.
    Settled {
        /// Its recipient.
        to: NameRef<'a>,
        /// As in the message.
        ticket: u64,
        /// See [`ForwardOutcome`](peerbroker_router::ForwardOutcome), in the order of its variants.
        outcome: u8,
    },
    /// A message of the writer's broker for a connection of the reader. Its outcome is not reported.
    Notice {
        /// The recipient's name.
        to: NameRef<'a>,
        /// The recipient's connection.
        connection: u64,
        /// Its frame.
        frame: CarriedFrame<'a>,
    },
    /// A name for which the reader has messages is owned by a connection of the writer.
    Appeared {
        /// The name.
        name: NameRef<'a>,
        /// The connection.
        connection: u64,
    },
    /// A question; the answer names its number.
    Question {
        /// Its number.
        number: u64,
        /// The question.
        question: Question,
    },
    /// The answer to a question.
    Answer {
        /// The number of the question.
        number: u64,
        /// The answer.
        answer: NodeAnswer,
    },
    /// The writer missed a batch of the reader. The outcomes of the messages between the two are unknown.
    Reset,
    /// From a node to itself: its inbox works.
    Echo {
        /// Grows.
        number: u64,
    },
    /// A claim of the writer got no answer and was given back. It may have taken this name from a connection
    /// of the reader.
    Doubt {
        /// The name.
        name: NameRef<'a>,
    },
    /// News of the rooms of a key and a realm, whose kind has this number.
    RealmNews(u8, &'a str, #[serde(borrow)] News<'a>),
    /// Around the list of all members of rooms that the writer has.
    RoomList {
        /// False at its beginning.
        is_end: bool,
        /// The first life of the writer's process, so that the reader knows its earlier lives.
        first_life: u64,
    },
    /// The writer did not know the key of some members of the reader's rooms, and wants the list again.
    RoomsMissed,
    /// A member of a room has moved away from the reader, which answers when it has no message for it any
    /// more.
    RoomMoved(MovedMember<'a>),
    /// The writer has no message for a member that has moved away from it.
    RoomSettled(MovedMember<'a>),
    /// A seat of a client of the reader on the writer is not open any more.
    Seat {
        /// The seat, as in [`Question::Seat`].
        seat: u64,
        /// True if the client has lost it, false if nobody else comes.
        is_lost: bool,
    },
    /// The writer has given up a message that the reader has, and its sender hears so.
    GivenUp {
        /// As in the message.
        to: NameRef<'a>,
        /// As in the message.
        ticket: u64,
    },
}

/// A member that has moved to another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedMember<'a> {
    /// The key.
    pub key: &'a str,
    /// The room.
    pub room: &'a str,
    /// The member.
    pub id: &'a str,
    /// The number of the [`RealmKind`](peerbroker_core::vocabulary::RealmKind) of the member.
    pub realm: u8,
}

/// A question to one node, or to all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Question {
    /// Asks if the client of this connection is alive, or the id is reserved for it.
    Alive(OwnedName, u64),
    /// Ends a connection whose id belongs to another, for this reason: the number of a
    /// [`CloseReason`](peerbroker_core::vocabulary::CloseReason).
    Yield(OwnedName, u64, u8),
    /// The first ids of a key after one, up to a limit; of peers of a kind, or of both.
    Page {
        /// The key.
        key: String,
        /// The number of a [`RealmKind`](peerbroker_core::vocabulary::RealmKind); `None` for all kinds.
        realm: Option<u8>,
        /// The last id of the page before.
        after: Option<String>,
        /// Most ids.
        limit: u64,
    },
    /// Ends the connections with this id of a key.
    Kick {
        /// The key.
        key: String,
        /// The id.
        id: String,
    },
    /// The text that a client without a WebSocket has posted, for the node that has its stream.
    Post {
        /// The client.
        name: OwnedName,
        /// Of its token: it has to be the one of the connection.
        token: [u8; 16],
        /// The text that the client posted.
        text: String,
    },
    /// The clients of a key with the first ids after one, up to a limit.
    Peers {
        /// The key.
        key: String,
        /// The last id of the page before.
        after: Option<String>,
        /// Most ids.
        limit: u64,
    },
    /// The clients of a key with an id.
    Peer {
        /// The key.
        key: String,
        /// The id.
        id: String,
    },
    /// The numbers of the node.
    Stats,
    /// Takes a seat for a client of the writer, under a name that a client of the reader holds. It is kept
    /// until [`Part`](Self::Part), or until the writer is dead.
    Seat {
        /// The name.
        name: OwnedName,
        /// The seat, in the words of the protocol.
        wanted: String,
        /// The id of the client.
        client: String,
        /// Identifies the seat among the seats of the writer.
        seat: u64,
    },
    /// A client of the writer gives a seat up.
    Part {
        /// As in [`Seat`](Self::Seat).
        seat: u64,
    },
    /// Sends a text to all PeerJS clients of a key.
    Send {
        /// The key.
        key: String,
        /// The text.
        text: String,
    },
    /// As [`Page`](Self::Page), of the PeerJS clients of one network.
    Near {
        /// The key.
        key: String,
        /// The name of a [`Network`](peerbroker_core::address::Network).
        network: String,
        /// The last id of the page before.
        after: Option<String>,
        /// Most ids.
        limit: u64,
    },
    /// The writer closes: the reader keeps messages for members of its rooms from now on.
    Close,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeAnswer {
    /// Done, or yes.
    Yes,
    /// Not there, or no.
    No,
    /// Ids, sorted.
    Ids(Vec<String>),
    /// A number.
    Number(u64),
    /// The numbers of kinds of realms, see [`RealmKind`](peerbroker_core::vocabulary::RealmKind).
    Realms(Vec<u8>),
    /// JSON, which may have more fields in a newer version.
    Text(String),
    /// The client has the seat. The words of the protocol with which it is given.
    Seated(String),
    /// The client has no seat, for this number of the protocol.
    NotSeated(u8),
    /// The outcome of a text that was posted; the number of a [`Posted`](crate::Posted).
    Posted(u8),
}

/// A [`Name`], borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRef<'a> {
    /// The key.
    pub key: &'a str,
    entity: u8,
    /// The name.
    pub name: &'a str,
}

/// A [`Name`], in a question. The default is no name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OwnedName {
    key: String,
    entity: u8,
    name: String,
}

/// A batch of one node to another.
pub struct Batch<'a> {
    /// The writer.
    pub from: NodeId,
    /// Grows by one with each batch of this writer to this reader, from 1 on.
    pub number: u64,
    packets: &'a [u8],
}

/// Fills in the header of a batch, which begins with room for it.
pub fn set_header(batch: &mut [u8], from: NodeId, number: u64) {
    let from = from.get().to_le_bytes();
    let header = std::iter::once(VERSION).chain(from).chain(number.to_le_bytes());
    batch.iter_mut().zip(header).for_each(|(place, byte)| *place = byte);
}

/// Appends a packet to a batch.
pub fn write(packet: &Packet<'_>, batch: &mut Vec<u8>) {
    let start = batch.len();
    batch.extend_from_slice(&[0; 4]);
    // The only error is a full buffer, and a vector grows.
    if let Ok(written) = postcard::to_extend(packet, std::mem::take(batch)) {
        *batch = written;
    }
    batch.extend_from_slice(&SPARE);
    let len = u32::try_from(batch.len().saturating_sub(start + 4)).unwrap_or(u32::MAX);
    if let Some(place) = batch.get_mut(start..start + 4) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}

impl<'a> Batch<'a> {
    /// Reads the header. `None` if the bytes are no batch.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let (header, packets) = bytes.split_at_checked(HEADER)?;
        let from = u64::from_le_bytes(header.get(1..9)?.try_into().ok()?);
        let number = u64::from_le_bytes(header.get(9..17)?.try_into().ok()?);
        Some(Batch { from: NodeId::new(from), number, packets })
    }

    /// The packets that this version knows.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'a>> + use<'a> {
        let mut rest = self.packets;
        std::iter::from_fn(move || {
            let (len, behind) = rest.split_at_checked(4)?;
            let len = usize::try_from(u32::from_le_bytes(len.try_into().ok()?)).ok()?;
            let (packet, behind) = behind.split_at_checked(len)?;
            rest = behind;
            Some(packet)
        })
        .filter_map(|packet| Some(postcard::take_from_bytes(packet).ok()?.0))
    }
}

impl Name {
    /// The name, borrowed.
    pub fn as_ref(&self) -> NameRef<'_> {
        NameRef::new(&self.key, self.entity, &self.name)
    }
}

impl<'a> NameRef<'a> {
    /// A name of its parts.
    pub fn new(key: &'a ApiKey, entity: Entity, name: &'a str) -> Self {
        NameRef { key: key.as_str(), entity: entity.number(), name }
    }

    /// The name, owned, for a question.
    pub fn to_owned_name(&self) -> OwnedName {
        OwnedName { key: self.key.to_owned(), entity: self.entity, name: self.name.to_owned() }
    }

    /// The kind of thing that it names. `None` in a newer version.
    pub fn entity(&self) -> Option<Entity> {
        Entity::of_number(self.entity)
    }
}

impl OwnedName {
    /// The name, borrowed.
    pub fn borrowed(&self) -> NameRef<'_> {
        NameRef { key: &self.key, entity: self.entity, name: &self.name }
    }
}
