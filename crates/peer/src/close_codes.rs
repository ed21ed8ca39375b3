//! Close codes of the broker (docs/PROTOCOL.md, "The end of a connection").

/// There was no close frame, or no code in it (RFC 6455, section 7.4.1).
pub(crate) const ABNORMAL: u16 = 1006;
pub(crate) const NONE: u16 = 1005;

/// The last ones of a peer, which does not come back: replaced, key revoked, kicked, outranked, banned.
pub(crate) const FINAL: [u16; 5] = [4001, 4004, 4005, 4006, 4008];

/// Endings behind which an end of a pipe comes back: the server or the network is gone, a limit is reached,
/// or it was silent.
pub(crate) const PASSING: [u16; 7] = [1001, NONE, ABNORMAL, 1011, 1012, 1013, 1014];

/// Endings of a pipe.
pub(crate) const ALONE: u16 = 4010;
pub(crate) const LEFT: u16 = 4011;
pub(crate) const STALLED: u16 = 4012;
pub(crate) const REFUSED: u16 = 4014;
