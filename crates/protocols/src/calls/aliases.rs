//! The ids under which the clients of a key can be called.

use std::sync::Arc;

use dashmap::DashMap;

use crate::names::Names;
use peerbroker_core::vocabulary::PeerId;

/// The ids under which guests can be called. Each alias leads to the guest's own id. A guest can change its
/// alias; its own id stays.
#[derive(Default)]
pub struct CallAliases {
    guests: DashMap<PeerId, PeerId>,
}

/// A guest's hold on an alias. Dropping it frees the alias.
pub struct CallAlias {
    aliases: Arc<CallAliases>,
    id: PeerId,
}

impl CallAliases {
    /// Adds an alias for a guest. `id` must be new.
    pub fn add(self: &Arc<Self>, id: PeerId, guest: &PeerId) -> CallAlias {
        self.guests.insert(id.clone(), guest.clone());
        CallAlias { aliases: Arc::clone(self), id }
    }

    /// The guest of an alias.
    pub fn guest(&self, id: &str) -> Option<PeerId> {
        self.guests.get(id).map(|guest| guest.clone())
    }
}

impl Names for CallAliases {
    fn client(&self, name: &str) -> Option<PeerId> {
        self.guest(name)
    }
}

impl CallAlias {
    /// The id.
    pub fn id(&self) -> &PeerId {
        &self.id
    }
}

impl Drop for CallAlias {
    fn drop(&mut self) {
        self.aliases.guests.remove(&self.id);
    }
}
