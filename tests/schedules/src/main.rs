//! The router under every order of threads: its own source, with the locks and atomics of
//! [loom](https://docs.rs/loom).
//!
//! Each test is a small scenario: loom runs it once for each order in which its threads can touch what they
//! share, and for each value that the memory model lets a read return. `PREEMPTIONS` bounds how often an
//! order interrupts a thread. `cargo test --package schedules -- --nocapture` prints the number of orders.

mod house;
mod outboxes;
mod remote;
mod slots;
mod sync;

// As in crates/router/src/lib.rs.
#[path = "../../../crates/router/src"]
#[allow(dead_code, unused_imports)]
mod router {
    mod atomic_instant;
    mod contacts;
    mod contested;
    mod delivery;
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
    mod witness;

    pub use lease::{Departure, IdLease, PeerHandle, PendingRegistration, PostPermit};
    pub use outbox::{Outbox, STATE_PART, Writer};
    pub use outgoing::{ForwardOutcome, Outgoing, Receipt, Reporter};
    pub use peers::{Backlog, Holder};
    pub use realm::{ClientLimits, Realm};
    pub use remote::Located;
    pub use remote_peers::RemotePeers;
    pub use routed::{Flush, Flushes, Routed};
    pub use shared::{ExpireNotice, Router};
    pub use state::{ClaimedId, ConnectionInfo, LastPlace, RegisterRefusal, RegisterRequest};
}
