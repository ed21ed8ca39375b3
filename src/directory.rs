//! Directories of peers: room codes, names in rooms, aliases for calls. They lead to ids of peers and know nothing of
//! connections.

mod call_aliases;
mod rooms;

pub use call_aliases::{CallAlias, CallAliases};
pub use rooms::{HostedRoom, PlayerName, RoomError, Rooms};
