//! The settings of a key that its messages need. They change while clients are there, and are read without a
//! lock.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};

use peerbroker_config::key::{Auth, Discovery, RelayMode, Settings};

/// A row for each: its name, its type, and where it comes from.
macro_rules! hot_settings {
    ($($(#[$doc:meta])* $name:ident: $atomic:ty as $type:ty = $of:expr;)+) => {
        /// The settings of a key that its messages need, as they are now.
        #[derive(Default)]
        pub struct HotSettings {
            $($name: $atomic,)+
        }

        impl HotSettings {
            pub(super) fn set(&self, settings: &Settings) {
                $(
                    let of: fn(&Settings) -> $type = $of;
                    self.$name.store(of(settings), Relaxed);
                )+
            }

            $(
                $(#[$doc])*
                #[inline]
                pub fn $name(&self) -> $type {
                    self.$name.load(Relaxed)
                }
            )+
        }
    };
}

hot_settings! {
    /// Messages that a client may send in a second; 0 means no limit.
    messages_per_second: AtomicU32 as u32 = |settings| settings.messages_per_second;
    /// Most members of a room.
    room_members: AtomicUsize as usize = |settings| settings.room_members;
    /// True if PeerJS clients may have rooms.
    allows_rooms: AtomicBool as bool = |settings| settings.allow_rooms;
    /// True if PeerJS clients of one network may have rooms of their own.
    allows_near: AtomicBool as bool = |settings| settings.allow_discovery != Discovery::Off;
    /// True if they need a PIN for these.
    needs_pin: AtomicBool as bool = |settings| settings.allow_discovery == Discovery::Pin;
    /// True if clients may have pipes.
    allows_pipes: AtomicBool as bool = |settings| settings.pipes;
    /// True if offers tell which pipes need no proof of their own.
    expects_pipes: AtomicBool as bool = |settings| settings.pipes && settings.auth != Auth::None;
    /// True if texts of clients are read without addresses: all calls of the key are relayed.
    withholds_addresses: AtomicBool as bool = |settings| settings.relay == RelayMode::Always;
}
