//! One account of what happens: events of the lives of peers and keys, and counters of messages.
//!
//! An event is made where it happens and goes to every [`Subscription`]. Nothing that emits one ever waits: a
//! subscriber that lags loses the oldest events and hears how many. Messages are too many to be events, so they
//! are [`Counters`].

mod bus;
mod counters;
mod event;
mod histogram;
mod peak;
mod worker_lag;

pub use bus::{Events, Notice, Subscription};
pub use counters::{Counters, Outcome, Totals};
pub use event::{
    Actor, ClientMistake, ClusterEvent, Connected, Disconnected, Event, KeyEvent, Mistake, PeerAddress,
    Refused,
};
pub use histogram::{Buckets, Histogram};
pub use peak::Peak;
pub use worker_lag::WorkerLag;
