use std::sync::Arc;

use dashmap::DashMap;

use super::types::PeerId;

/// The ids under which guests can be called. Each leads to the guest's own id, which stays the same
/// while the guest takes one such id after the other.
#[derive(Default)]
pub struct Callers {
    guests: DashMap<PeerId, PeerId>,
}

/// A guest's hold on an id under which it can be called. Dropping it frees the id.
pub struct Calling {
    callers: Arc<Callers>,
    id: PeerId,
}

impl Callers {
    /// Has `id`, which has to be a fresh one, lead to a guest.
    pub fn add(self: &Arc<Self>, id: PeerId, guest: &PeerId) -> Calling {
        self.guests.insert(id.clone(), guest.clone());
        Calling { callers: Arc::clone(self), id }
    }

    /// Who can be called under an id.
    pub fn guest(&self, id: &str) -> Option<PeerId> {
        self.guests.get(id).map(|guest| guest.clone())
    }
}

impl Calling {
    /// The id.
    pub fn id(&self) -> &PeerId {
        &self.id
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        self.callers.guests.remove(&self.id);
    }
}
