#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// No input of another end may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice
    )
)]

mod address;
mod calls;
mod close_codes;
mod connection;
mod error;
mod line;
mod options;
mod peer;
mod pipe;
pub mod records;
mod registry;
mod rooms;
mod safety;
mod sdp;
mod seal;
mod session;
mod signalling;
mod signals;
mod socket;
#[cfg(test)]
mod tests;

pub use peerbroker_serialization::{EncodeError, NoJson, Serialization, Value};

pub use address::Address;
pub use connection::{Connection, Receiver, SendError, Sender};
pub use error::{ConnectError, OpenError};
pub use options::{ConnectOptions, Options};
pub use peer::Peer;
pub use pipe::Lost;
pub use rooms::{Member, Room, RoomError, RoomEvent};
pub use safety::NoSafetyNumber;
pub use socket::DialError;
