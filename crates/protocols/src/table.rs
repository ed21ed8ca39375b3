//! The table of protocols: the clients of each realm, and the names that they hold beside their ids.

use std::sync::Arc;

use super::client::Protocol;
use super::key_state::KeyState;
use super::matchbox::Groups;
use super::names::Names;
use super::pipes::Pipes;
use super::root::Guests;
use peerbroker_core::vocabulary::{NameKind, RealmKind};
use peerbroker_rooms::RoomFrames;

/// Does something with the type of the clients of a realm.
#[macro_export]
macro_rules! with_clients {
    ($realm:expr, $C:ident => $act:expr) => {
        match $realm {
            ::peerbroker_core::vocabulary::RealmKind::PeerJs => {
                type $C = $crate::peerjs::PeerJs;
                $act
            }
            ::peerbroker_core::vocabulary::RealmKind::Guests => {
                type $C = $crate::root::Guest;
                $act
            }
            ::peerbroker_core::vocabulary::RealmKind::RxDb => {
                type $C = $crate::rxdb::RxDb;
                $act
            }
            ::peerbroker_core::vocabulary::RealmKind::Matchbox => {
                type $C = $crate::matchbox::Matchbox;
                $act
            }
        }
    };
}

/// The frames that the members of the rooms of a realm hear.
pub fn room_frames(realm: RealmKind) -> &'static dyn RoomFrames {
    with_clients!(realm, C => C::ROOMS)
}

/// The names of a kind that clients of a key hold. `None` if none of its clients has had any for a while.
pub fn names_of(key: &KeyState, kind: NameKind) -> Option<Arc<dyn Names>> {
    Some(match kind {
        NameKind::RoomCode => key.existing_part::<Guests>()?.room_codes.clone(),
        NameKind::Alias => key.existing_part::<Guests>()?.aliases.clone(),
        NameKind::Group => key.existing_part::<Groups>()?,
        NameKind::Pipe => key.existing_part::<Pipes>()?,
    })
}
