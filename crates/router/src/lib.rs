#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// No input of a client may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable
    )
)]

mod atomic_instant;
mod contacts;
mod contested;
mod delivery;
mod disconnect;
mod guard;
mod lease;
mod outbox;
mod outgoing;
mod peers;
mod queue;
mod realm;
mod remote;
mod remote_peers;
mod routed;
mod shared;
mod slot;
mod state;
mod sync;
mod witness;

pub use disconnect::Disconnect;
pub use lease::{Departure, IdLease, PeerHandle, PendingRegistration, PostPermit};
pub use outbox::{Outbox, STATE_LAST, STATE_PART, Writer};
pub use outgoing::{ForwardOutcome, Outgoing, Receipt, Reporter};
pub use peers::{Backlog, Holder};
pub use queue::QueueRoom;
pub use realm::{ClientLimits, Realm};
pub use remote::Located;
pub use remote_peers::RemotePeers;
pub use routed::{Flush, Flushes, Routed};
pub use shared::{ExpireNotice, Router};
pub use state::{ClaimedId, ConnectionInfo, LastPlace, RegisterRefusal, RegisterRequest};
pub use witness::MESSAGES;
