//! The broker without IO: a state machine of clients, their ids and messages. It reads no clock but the one it is given, and opens no
//! socket. Its only threads are those on which others handle its events. Sessions, HTTP and the cluster drive it.

#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// No input of a client may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable
    )
)]

pub mod config;
pub mod events;
pub mod limits;
pub mod protocols;
pub mod rooms;
pub mod router;
mod sync;
