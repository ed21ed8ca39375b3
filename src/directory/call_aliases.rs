use std::sync::Arc;

use dashmap::DashMap;

use crate::wire::PeerId;

/// The ids under which guests can be called. Each leads to the guest's own id, which stays the same
/// while the guest takes one such id after the other.
#[derive(Default)]
pub struct CallAliases {
    guests: DashMap<PeerId, PeerId>,
}

/// A guest's hold on an id under which it can be called. Dropping it frees the id.
pub struct CallAlias {
    aliases: Arc<CallAliases>,
    id: PeerId,
}

impl CallAliases {
    /// Has `id`, which has to be a fresh one, lead to a guest.
    pub fn add(self: &Arc<Self>, id: PeerId, guest: &PeerId) -> CallAlias {
        self.guests.insert(id.clone(), guest.clone());
        CallAlias { aliases: Arc::clone(self), id }
    }

    /// Who can be called under an id.
    pub fn guest(&self, id: &str) -> Option<PeerId> {
        self.guests.get(id).map(|guest| guest.clone())
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
