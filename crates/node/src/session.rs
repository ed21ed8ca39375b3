//! A connected client, from admission to goodbye.

mod admission;
mod effects;
mod farewell;
mod open;
mod pace;
mod pipe;
mod pipe_place;
mod pipe_proxy;
mod register;
mod run;
mod stream;
#[cfg(test)]
mod tests;

pub use admission::{ClientSource, ConnectRequest, Credentials};
pub use effects::ClientTurn;
pub use farewell::turn_away;
pub use peerbroker_cluster::Posted;
pub use pipe::serve_end;
pub use run::serve;
pub use stream::{hold, open_stream, sender, take_posts_of_others};
