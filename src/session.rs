//! One connected client, from admission to goodbye.

mod admission;
mod farewell;
mod guest;
mod handler;
mod matchbox;
mod open;
mod peerjs;
mod register;
mod run;
mod rxdb;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod topics;
mod tracker;

pub(crate) use crate::cluster::Posted;
pub(crate) use admission::{ClientSource, ConnectRequest, Credentials};
pub(crate) use guest::Guest;
pub(crate) use matchbox::Matchbox;
pub(crate) use peerbroker_broker::protocols::peerjs::is_posted_to;
pub(crate) use peerjs::{PeerJs, turn_away};
pub(crate) use run::serve;
pub(crate) use rxdb::RxDb;
pub(crate) use stream::{hold, open_stream, sender, take_posts_of_others};
#[cfg(test)]
pub(crate) use tests::echo::Echo;
