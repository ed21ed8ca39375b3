//! The signals of simple-peer, which RxDB and y-webrtc send each other. Those of Matchbox are of the same kinds.

use super::json::Object;

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
    /// The kind of the signal that is a member of an object.
    pub(super) fn of(object: &Object<'_>, member: &str) -> Self {
        let signal = object.object(member);
        match signal.and_then(|signal| signal.string("type")).as_deref() {
            Some("offer") => Kind::Offer,
            Some("answer") => Kind::Answer,
            Some("candidate") => Kind::Candidate,
            _ => Kind::Other,
        }
    }
}
