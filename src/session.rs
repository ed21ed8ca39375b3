//! One connected client, from admission to goodbye.

mod admission;
mod crossing;
mod effects;
mod farewell;
mod flusher;
mod open;
mod pipe;
mod pipe_place;
mod register;
mod run;
mod stream;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use admission::{ClientSource, ConnectRequest, Credentials};
pub use effects::Turn;
pub(crate) use farewell::turn_away;
pub(crate) use peerbroker_cluster::Posted;
pub(crate) use pipe::serve_end;
pub(crate) use run::serve;
pub(crate) use stream::{hold, open_stream, sender, take_posts_of_others};
#[cfg(test)]
pub(crate) use tests::echo::Echo;
