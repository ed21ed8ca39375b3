//! One connected client, from admission to goodbye.

mod admission;
mod admit;
mod farewell;
mod guest;
mod handler;
mod peerjs;
mod run;
mod sessions;
mod stream;
#[cfg(test)]
mod tests;
mod wrong_path;

pub(crate) use admission::{Claim, ConnectRequest, Source};
pub(crate) use guest::serve as serve_guest;
pub(crate) use peerjs::serve as serve_peer;
pub use sessions::{Client, Message};
pub(crate) use sessions::{OnMessage, Sessions};
pub(crate) use stream::{PostOutcome, PostRefusal, open_stream, sender};
pub(crate) use wrong_path::redirect;
