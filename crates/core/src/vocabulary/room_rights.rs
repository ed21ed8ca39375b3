//! The rooms that a client may enter, if the rooms of its key are private.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::labels;
use super::names::{NEAR, near};

labels! {
    /// The right of a client in a private room.
    pub enum RoomRight {
        /// The client may do everything.
        Join = "join",
        /// The client is a member that hears all, has no data, and sends nothing.
        Listen = "listen",
    }
}

/// The private rooms that a client may enter, as its proof lists them. Clones share the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomRights(Arc<BTreeMap<String, RoomRight>>);

impl RoomRights {
    /// Reads names of rooms with the labels of rights. Entries with other texts are ignored.
    pub fn parse(listed: BTreeMap<String, String>) -> Self {
        let right = |label: &str| RoomRight::ALL.into_iter().find(|right| right.label() == label);
        let known = listed.into_iter().filter_map(|(name, label)| Some((name, right(&label)?)));
        RoomRights(Arc::new(known.collect()))
    }

    /// The right in a room, if there is one. That in the room of a network counts for its rooms with PINs,
    /// too.
    pub fn right_in(&self, room: &str) -> Option<RoomRight> {
        let listed = near(room).map_or(room, |_| NEAR);
        self.0.get(listed).copied()
    }
}
