//! The policy of one key: its data, and the verifier of its tokens.

use std::sync::Arc;

use super::verifier::{Claimant, Denied, OddClaim, Verified, Verifier};
use super::{Key, RelayMode, Settings};
use peerbroker_core::vocabulary::{PeerId, RoomRights, Token};

/// The present rights of a key. Replaced as a whole when the key changes; its tenant leads to the active one.
pub struct Policy {
    key: Arc<Key>,
    /// `None` if the key, file or URL of its settings cannot be used, or the relay that it needs is missing:
    /// then nobody is admitted.
    verifier: Option<Verifier>,
}

/// The proof of a client that may have its id.
pub struct Proof {
    /// The broker registers the id under it.
    pub token: Token,
    /// The rooms that the client may enter, if they are private.
    pub rooms: Option<RoomRights>,
    /// A claim that is surely wrong.
    pub odd: Option<OddClaim>,
}

impl Policy {
    /// Reads the files that verify tokens, so do not call it on a worker's thread. The log says why a key
    /// cannot be used.
    pub fn new(key: Key, has_relay: bool) -> Self {
        let is_unrelayed = key.settings.relay == RelayMode::Always && !has_relay;
        if is_unrelayed {
            log::error!(
                "nobody can use the key {:?}: its calls are always relayed, and this server has no relay",
                key.key
            );
        }
        let verifier = Verifier::new(&key.settings.auth)
            .inspect_err(|error| log::error!("nobody can use the key {:?}: {error}", key.key))
            .ok()
            .or_else(|| Verifier::awaiting(&key.settings.auth))
            .filter(|_| !is_unrelayed);
        Policy { key: key.into(), verifier }
    }

    /// The key, as it is stored.
    pub fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// The settings of the key.
    pub fn settings(&self) -> &Settings {
        &self.key.settings
    }

    /// True if clients can be verified.
    pub fn is_usable(&self) -> bool {
        self.verifier.is_some()
    }

    /// True if the key means the same, so that a verifier need not be made again.
    pub fn is_of(&self, key: &Key) -> bool {
        self.key.settings == key.settings && self.key.name == key.name
    }

    /// The proof of a client that may have its id. The log has each denial, at the level debug.
    pub async fn verify(&self, claimant: &Claimant<'_>) -> Result<Proof, Denied> {
        let verified = self.verifier.as_ref().ok_or(Denied::Unusable)?.verify(claimant).await;
        let Claimant { key, id, .. } = claimant;
        let verified = verified.inspect_err(|denied| log::debug!("key {key:?}: {id:?} is denied: {denied}"));
        let Verified { token, rooms, odd } = verified?;
        Ok(Proof { token, rooms: self.key.settings.private_rooms.then_some(rooms), odd })
    }

    /// The id in a token; `None` if tokens of this key name none, `Err` if the token is not valid.
    pub async fn id_of(&self, token: &str) -> Result<Option<PeerId>, Denied> {
        let key = &self.key.key;
        let id = self.verifier.as_ref().ok_or(Denied::Unusable)?.id_of(key, token).await;
        id.inspect_err(|denied| log::debug!("key {key:?}: a token is denied: {denied}"))
    }
}
