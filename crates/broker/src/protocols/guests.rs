//! The clients of one key at the root, where several protocols meet.

use std::sync::Arc;

use super::calls::CallAliases;
use super::room_codes::RoomCodes;
use super::tracker::Swarms;
use crate::router::Realm;

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
