//! The peers with which a connection has exchanged messages. They hear LEAVE when its page goes away.

use peerbroker_core::vocabulary::PeerId;

/// Most ids for one connection.
const MAX_CONTACTS: usize = 32;

/// The ids of these peers, the latest last. Beyond the bound, the one that was silent for longest is
/// forgotten.
#[derive(Default)]
pub(super) struct Contacts(Vec<PeerId>);

impl Contacts {
    /// Notes that a message went to or came from a peer.
    pub(super) fn add(&mut self, id: &PeerId) {
        if !id.is_client() || self.0.last() == Some(id) {
            return;
        }
        let known = self.0.iter().position(|known| known == id);
        if known.is_some() || self.0.len() == MAX_CONTACTS {
            self.0.remove(known.unwrap_or(0));
        }
        self.0.push(id.clone());
    }

    /// All contacts. None is left.
    pub(super) fn take(&mut self) -> Vec<PeerId> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_contacts_are_kept_each_once_and_the_server_is_none() {
        let peer = |number: usize| PeerId::parse(&number.to_string()).unwrap();
        let mut contacts = Contacts::default();
        (0..MAX_CONTACTS).for_each(|number| contacts.add(&peer(number)));
        for id in [PeerId::server(), peer(0), peer(0), peer(99)] {
            contacts.add(&id);
        }
        // 1 was silent for longest.
        let expected: Vec<PeerId> = (2..MAX_CONTACTS).chain([0, 99]).map(peer).collect();
        assert_eq!(contacts.take(), expected);
        assert_eq!(contacts.take(), []);
    }
}
