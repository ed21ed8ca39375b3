//! The kinds of messages that the server distinguishes in every protocol: those by which two clients connect.

use super::json;

/// The meaning of a message for a connection between two clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalKind {
    /// An offer.
    Offer,
    /// The answer to an offer.
    Answer,
    /// Only a candidate.
    Candidate,
    /// All that is forwarded as it is.
    Other,
}

impl SignalKind {
    /// The kind of the signal of simple-peer with this `type`, as JSON text. RxDB and y-webrtc send such
    /// signals.
    pub(super) fn of(kind: Option<&str>) -> Self {
        match kind.and_then(json::string).as_deref() {
            Some("offer") => SignalKind::Offer,
            Some("answer") => SignalKind::Answer,
            Some("candidate") => SignalKind::Candidate,
            _ => SignalKind::Other,
        }
    }
}
