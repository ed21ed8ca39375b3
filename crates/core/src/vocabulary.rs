//! The names that all layers share: frames, ids, keys, tokens, kinds of messages, and the table of
//! endings. The lowest layer.

mod connection;
mod endings;
mod fault;
mod foreign;
mod frame;
mod limit;
mod message;
mod names;
mod pipe;
mod protocol;
mod room_rights;
mod tables;

pub use connection::{AddressPrefix, ClientVersion, ConnId, ConnectionKind, IceCredentials, NodeId, Owner};
pub use endings::{
    AppRefusal, CloseReason, DUPLICATED_TAB, Ending, GOING_AWAY, HandshakeEnding, HandshakeRefusal, NORMAL,
    REFUSED, Refusal, RequestEnding, RoomRefusal, is_close_code,
};
pub use fault::expected;
pub use foreign::{Foreign, printable};
pub use frame::{Fragment, Frame, FrameIn, FramesIn, Opcode};
pub use limit::{Limit, LimitRow, Scope};
pub use message::{DropReason, MessageKind};
pub use names::{ApiKey, InvalidName, NEAR, PeerId, RoomName, Token};
pub use pipe::{EndId, PipeId};
pub use protocol::{Address, Dialect, NameKind, RealmKind};
pub use room_rights::{RoomRight, RoomRights};
pub use tables::{labels, numbers};
