//! The names that all layers share: frames, ids, keys, tokens, kinds of messages, and the table of
//! endings. The lowest layer.

mod connection;
mod endings;
mod frame;
mod limit;
mod message;
mod names;
mod numbers;

pub(crate) use connection::AddressPrefix;
pub use connection::{ClientVersion, ConnId, IceCredentials, Link, NodeId, Owner, RealmKind};
pub(crate) use endings::is_close_code;
pub use endings::{CloseReason, Ending, HandshakeEnding, HandshakeRefusal, Refusal};
pub use frame::{Frame, Opcode};
pub use limit::{Limit, Scope};
pub use message::{DropReason, MessageKind};
pub use names::{ApiKey, InvalidName, PeerId, Token};
pub(crate) use numbers::numbers;
