//! The state of a key that its clients at the root share.

use std::sync::Arc;

use crate::calls::CallAliases;
use crate::key_state::{KeyPart, KeyState};
use crate::room_codes::RoomCodes;
use crate::tracker::Swarms;
use peerbroker_core::clock::Instant;
use peerbroker_core::vocabulary::RealmKind;
use peerbroker_router::Realm;

/// The clients of one key at the root. The broker chooses their ids.
pub struct Guests {
    /// Their realm.
    pub realm: Arc<Realm>,
    /// Their room codes.
    pub room_codes: Arc<RoomCodes>,
    /// The ids under which they can be called.
    pub aliases: Arc<CallAliases>,
    /// Their swarms.
    pub swarms: Arc<Swarms>,
}

impl KeyPart for Guests {
    fn new(key: &Arc<KeyState>) -> Self {
        let router = key.router();
        Guests {
            realm: key.realm(RealmKind::Guests),
            room_codes: Arc::new(RoomCodes::new(router.live_config().clone(), router.clock().clone())),
            aliases: Arc::default(),
            swarms: Arc::new(Swarms::new(key.key().clone(), key.others())),
        }
    }

    fn sweep(&self, now: Instant) {
        self.room_codes.sweep();
        self.swarms.sweep(now);
    }

    fn is_idle(&self) -> bool {
        self.room_codes.is_empty() && self.swarms.is_empty() && self.realm.is_vacant()
    }
}
