//! The holders of ids, and the messages for them.
//!
//! Plain Rust: no runtime, no HTTP, no JSON. A session registers a peer in a [`Realm`], routes ready-made frames to ids,
//! and is told what happened. Time comes from a [`Clock`](peerbroker_core::clock::Clock) and passes only in [`Realm::sweep`], so tests drive both.
//!
//! From low to high: `outgoing`, `queue`, `outbox` and `contacts`; `cluster`; `state` and `slot`, an id; [`Router`]; [`Realm`], a map of slots; `routed`; `guard`, a slot under its
//! lock; `remote`; `delivery`, the way of a message; `peers`, what a realm does with its peers; [`PeerHandle`] and what else belongs to a client.

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
pub use realm::{ClientQuota, Patience, Realm};
pub use remote::Located;
pub use remote_peers::RemotePeers;
pub use routed::{Flush, Routed};
pub use shared::{ExpireNotice, Router};
pub use state::{ClaimedId, ConnectionInfo, RegisterRefusal, RegisterRequest};
pub use witness::MESSAGES;
