//! One account of what happens: events of the lives of peers and keys, and counters of messages.
//!
//! An event is made where it happens and goes to every [`Subscription`] and follower. Emitting never waits: a subscriber that lags
//! loses the oldest events and is told their number. Messages are too many to be events, so they are [`Counters`].

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
pub use peerbroker_core::media_api::{CallFailure, RelayedOver};
pub use report::{
    ConnectionReport, ReportDetails, Reported, ReportedCandidate, ReportedKind, ReportedReason,
    ReportedState, ReportedWay,
};
pub use table::WebhookEvent;
pub use table::{Row, counted};
