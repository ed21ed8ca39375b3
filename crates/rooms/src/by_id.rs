//! The members of a room, sorted by their ids, in one piece of memory: most rooms have few.

use super::member::Member;
use peerbroker_core::vocabulary::PeerId;

/// Members by their ids. Sorted, so that lists are the same for everybody.
#[derive(Default)]
pub(super) struct ById(Vec<(PeerId, Member)>);

impl ById {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Member)> {
        self.0.iter().map(|(id, member)| (id, member))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&PeerId, &mut Member)> {
        self.0.iter_mut().map(|(id, member)| (&*id, member))
    }

    /// The members behind an id.
    pub(super) fn behind(&self, id: Option<&str>) -> impl Iterator<Item = (&PeerId, &Member)> {
        let before = id.map_or(0, |id| self.0.partition_point(|(known, _)| known.as_str() <= id));
        self.iter().skip(before)
    }

    pub(super) fn get(&self, id: &str) -> Option<&Member> {
        self.0.get(self.place(id).ok()?).map(|(_, member)| member)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Member> {
        let place = self.place(id).ok()?;
        self.0.get_mut(place).map(|(_, member)| member)
    }

    /// A member, created if there is none.
    #[cfg_attr(
        not(test),
        expect(clippy::indexing_slicing, reason = "it was found there, or is inserted there")
    )]
    pub(super) fn entry(&mut self, id: &PeerId) -> &mut Member {
        let place = self.place(id.as_str()).unwrap_or_else(|place| {
            if self.0.is_empty() {
                // Very many rooms have one member, and no other will come.
                self.0.reserve_exact(1);
            }
            self.0.insert(place, (id.clone(), Member::default()));
            place
        });
        &mut self.0[place].1
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Member> {
        let place = self.place(id).ok()?;
        let (_, member) = self.0.remove(place);
        if self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.len() * 2);
        }
        Some(member)
    }

    fn place(&self, id: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(id))
    }
}
