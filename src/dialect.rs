//! The languages that clients speak: text in, commands out, and back.
//!
//! A dialect is pure. It knows every JSON field name and never sees the broker, so it can be
//! tested with nothing but text.

pub mod calls;
pub(crate) mod json;
pub mod peerjs;
pub mod rooms;
pub mod root;

pub use json::Object;
