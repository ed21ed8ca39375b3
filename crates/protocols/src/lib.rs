#![doc = include_str!("../README.md")]
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

mod advice;
pub mod calls;
pub mod client;
pub mod json;
pub mod key_state;
pub mod matchbox;
pub mod mistakes;
pub mod names;
#[cfg(feature = "nostr")]
pub mod nostr;
mod paced;
pub mod peerjs;
pub mod pipes;
pub mod query;
pub mod room_codes;
pub mod root;
pub mod rxdb;
pub mod signal;
mod table;
pub mod topics;
pub mod tracker;

pub use json::Object;
pub use table::{names_of, room_frames};
