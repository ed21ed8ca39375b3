//! Reasons why there is no peer, and no connection.

use std::sync::Arc;

use crate::address::Address;
use crate::pipe::Lost;
use crate::socket::DialError;
use peerbroker_serialization::UnknownSerialization;

/// The reason why there is no peer. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The text is no URL of a broker.
    #[error(
        "'{0}' is no URL of a broker: expected something like https://broker.example.com/path or localhost:9000"
    )]
    Address(String),
    /// A certificate of [`Options::ca`](crate::Options::ca).
    #[error("one of the given authorities is no certificate")]
    Ca,
    /// No WebSocket opens.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Another client has this id, with another token.
    #[error("the id '{0}' is taken: choose another, or give the token of its holder")]
    IdTaken(String),
    /// The broker's words, and what to do.
    #[error("the broker at {0} refuses this peer: {1}. {hint}", hint = advice(.1))]
    Refused(Address, String),
    /// The broker has closed the connection, with a code and a text.
    #[error("the broker at {0} has closed the connection: {2} ({1})")]
    Closed(Address, u16, String),
    /// No answer in time.
    #[error("the broker at {0} opens a WebSocket, but says nothing: is it a peerbroker or a peerjs-server?")]
    Silent(Address),
}

/// The texts are those of peerjs-server and of the broker.
fn advice(text: &str) -> &'static str {
    if text.contains("Invalid key") {
        "Give the key of the broker, which its operator has"
    } else if text.contains("origin") {
        "The key is for pages of certain origins: give one of these as the origin"
    } else if text.contains("Invalid token") || text.contains("expired") {
        "The key requires a proof of the id as its token"
    } else if text.contains("concurrent user limit") {
        "The key has as many clients as it may"
    } else if text.contains("Wrong path") {
        "Use this path"
    } else {
        "The broker's log says more"
    }
}

/// The reason why there is no connection. Each says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The broker knows no such peer.
    #[error(
        "nobody has the id '{0}' at this broker: is its page open, or its program running, with the same key?"
    )]
    NoSuchPeer(String),
    /// There was no answer in time.
    #[error("'{0}' does not answer: its page may sleep, or its network be gone")]
    Unanswered(String),
    /// Its page has left instead of an answer.
    #[error("'{0}' has left")]
    Left(String),
    /// The description of a page has no line of a pipe.
    #[error(
        "the page '{0}' has not loaded the broker's script, and this peer has no WebRTC: the page needs \
         <script src=\"{1}peerjs.js\"></script>, or webrtc.js beside its own PeerJS"
    )]
    NoScript(String, Address),
    /// A call.
    #[error("'{0}' calls with sound or pictures, and this peer has data only")]
    NotData(String),
    /// A serialization of another program.
    #[error("'{0}' connects, but {1}")]
    Serialization(String, UnknownSerialization),
    /// Its public key is not valid.
    #[error("'{0}' has sent a key that is none")]
    Key(String),
    /// [`Options::max_connections`](crate::Options::max_connections).
    #[error("'{0}' connects, but this peer has as many connections as it may")]
    TooMany(String),
    /// The pipe did not open.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The peer is closed, or the broker does not take it back.
    #[error("this peer is closed{}", .0.as_ref().map(|end| format!(": {end}")).unwrap_or_default())]
    Closed(Option<Arc<OpenError>>),
}
