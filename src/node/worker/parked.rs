use crate::broker::Outgoing;
use crate::events::PeerAddress;
use crate::wire::ConnId;

/// A message for a connection that is being opened.
pub(super) struct Parked {
    pub(super) to: PeerAddress,
    pub(super) connection: ConnId,
    pub(super) message: Outgoing,
}
