//! The protocols of clients: they turn JSON text into commands, and messages into JSON text.
//!
//! A dialect is pure: it knows the JSON field names and does not use the broker, so its tests need
//! only text.

pub mod calls;
pub mod json;
pub mod matchbox;
pub mod peerjs;
pub mod room_codes;
pub mod rooms;
pub mod root;
pub mod rxdb;
pub mod server;
pub mod simple_peer;
pub mod topics;
pub mod tracker;

pub use json::Object;
