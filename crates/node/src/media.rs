//! The media plane, which the feature `media` brings. Without it these types are there, and nobody can make
//! them.

#[cfg(not(feature = "media"))]
mod absent;

#[cfg(not(feature = "media"))]
use absent as plane;
#[cfg(feature = "media")]
use peerbroker_relay as plane;

#[cfg(feature = "media")]
pub use plane::BadMediaAddress;
pub use plane::{BoundRelay, BoundTurn};
pub use plane::{Relay, Turn};
