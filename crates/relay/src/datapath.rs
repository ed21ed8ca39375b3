//! The datapath of relay and TURN: sockets and their threads, connections, pace, limits, and the check for
//! STUN.

pub(crate) mod addresses;
pub(crate) mod burst;
pub(crate) mod counters;
pub(crate) mod of_key;
pub(crate) mod pace;
pub(crate) mod port;
mod reader;
pub(crate) mod shares;
pub(crate) mod sockets;
pub(crate) mod streams;
pub(crate) mod stun;
