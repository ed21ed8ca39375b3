//! The signals of simple-peer, which RxDB and y-webrtc send each other. Those of Matchbox are of the same kinds.

use super::json;

/// The signals that the server distinguishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An offer.
    Offer,
    /// The answer to an offer.
    Answer,
    /// A candidate.
    Candidate,
    /// All that is forwarded as it is.
    Other,
}

impl Kind {
    /// The kind of the signal with this `type`, as JSON text.
    pub(super) fn of(kind: Option<&str>) -> Self {
        match kind.and_then(json::string).as_deref() {
            Some("offer") => Kind::Offer,
            Some("answer") => Kind::Answer,
            Some("candidate") => Kind::Candidate,
            _ => Kind::Other,
        }
    }
}
