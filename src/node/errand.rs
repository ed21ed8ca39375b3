//! What sessions want to know of other nodes, and names that they hold beside their ids.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::broker::Peer;
use crate::cluster::packet::{Answer, Question};
use crate::cluster::{Name, TokenDigest};
use crate::wire::{ConnId, NodeId, PeerId, Token, numbers};

/// Something for the worker to find out.
pub(super) enum Errand {
    /// Where is this name?
    Find(Name, oneshot::Sender<Whereabouts>),
    /// Asks a node. No answer comes if it does not give one in time.
    Ask(NodeId, Question, Duration, oneshot::Sender<Answer>),
    /// Claims a name that is in [`State::held`](super::membership::State::held).
    Hold(Name, oneshot::Sender<Holding>),
}

/// Where a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// A connection of this other node owns it.
    At(NodeId),
    /// Nobody owns it, or a connection of this node may.
    NotElsewhere,
    /// The directory cannot be asked now, or the owner's node has just died.
    Unknown,
}

/// The outcome of the claim of a name that a node holds, such as a room code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// It is this node's.
    Granted,
    /// Another connection owns it.
    Taken,
    /// The directory cannot be asked. The name is claimed once it can.
    Unavailable,
}

/// A name that is no peer, such as the code of a room, and that a guest of this node holds.
#[derive(Clone)]
pub(super) struct Held {
    /// The guest. It is dismissed if another node's guest has the name in the end.
    pub(super) guest: PeerId,
    pub(super) connection: ConnId,
    /// 0 until it is claimed.
    pub(super) fence: u64,
    /// When it was first held, in milliseconds since 1970.
    pub(super) since: u64,
}

impl Held {
    /// The id of a guest is random, so nobody else takes its names over.
    pub(super) fn token(&self) -> TokenDigest {
        digest_of(self.guest.as_str())
    }
}

/// Sixteen bytes of its SHA-256: nobody can find another token of the same.
pub(super) fn digest(token: &Token) -> TokenDigest {
    digest_of(token.as_str())
}

fn digest_of(text: &str) -> TokenDigest {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let mut short = TokenDigest::default();
    short.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    short
}

/// What became of a text that a client has posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// It was handled.
    Done,
    /// It is not a message.
    Nothing,
    /// The client is not registered with this token.
    Absent,
    /// The client has sent too much.
    TooMuch,
    /// The node of the client did not answer.
    Unknown,
}

numbers!(Posted: Done = 0, Nothing = 1, Absent = 2, TooMuch = 3, Unknown = 4);

/// Handles a text of a client that has a connection here and posted it on another node.
pub type OnPost = Box<dyn Fn(Peer, String) -> Pin<Box<dyn Future<Output = Posted>>> + Send + Sync>;
