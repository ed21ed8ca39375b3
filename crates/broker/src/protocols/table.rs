//! The table of protocols: the clients of each realm.

use super::client::Protocol;
use crate::rooms::RoomFrames;
use peerbroker_core::wire::RealmKind;

/// Does something with the type of the clients of a realm.
#[macro_export]
macro_rules! with_clients {
    ($realm:expr, $C:ident => $act:expr) => {
        match $realm {
            ::peerbroker_core::wire::RealmKind::PeerJs => {
                type $C = $crate::protocols::peerjs::PeerJs;
                $act
            }
            ::peerbroker_core::wire::RealmKind::Guests => {
                type $C = $crate::protocols::root::Guest;
                $act
            }
            ::peerbroker_core::wire::RealmKind::RxDb => {
                type $C = $crate::protocols::rxdb::RxDb;
                $act
            }
            ::peerbroker_core::wire::RealmKind::Matchbox => {
                type $C = $crate::protocols::matchbox::Matchbox;
                $act
            }
        }
    };
}
pub use with_clients;

/// The frames that the members of the rooms of a realm hear.
pub fn room_frames(realm: RealmKind) -> &'static dyn RoomFrames {
    with_clients!(realm, C => C::ROOMS)
}
