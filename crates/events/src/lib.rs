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

mod bus;
mod counters;
mod event;
mod follower;
mod report;
mod table;

pub use bus::{Events, Subscription};
pub use counters::{Buckets, Count, Counters, Histogram, Outcome, Peak, WorkerLag};
pub use event::{
    Actor, CallPeers, ClientMistake, ClusterEvent, Connected, Disconnected, Event, KeyEvent, KeysEvent,
    Mistake, PeerAddress, Refused, TurnedAway,
};
pub use follower::Notice;
pub use peerbroker_media_api::{CallFailure, RelayedOver};
pub use report::{
    ConnectionReport, ReportDetails, Reported, ReportedCandidate, ReportedKind, ReportedReason,
    ReportedState, ReportedWay,
};
pub use table::WebhookEvent;
pub use table::{Row, counted};
