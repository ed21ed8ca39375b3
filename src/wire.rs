//! What goes over the wire, and the names in it: frames, ids, keys, tokens. Depends on nothing else here.

mod connection;
mod frame;
mod limit;
mod names;

pub use connection::{ClientVersion, CloseReason, ConnId, Link};
pub use frame::{Frame, Opcode};
pub use limit::{Limit, Scope};
pub use names::{ApiKey, InvalidName, PeerId, Token};
