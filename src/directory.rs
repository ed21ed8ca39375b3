//! How clients find peers by something else than an id: room codes, names in rooms, ids for calls. It leads to ids of
//! peers and knows nothing of their connections.

mod call_aliases;
mod rooms;

pub use call_aliases::{CallAlias, CallAliases};
pub use rooms::{HostedRoom, PlayerName, RoomError, Rooms};
