//! Clients that share a torrent, as their sessions let them.

use std::sync::Arc;

use peerbroker::node::Node;
use peerbroker::protocols::names::NameHolder;
use peerbroker::protocols::root::Guests;
use peerbroker::protocols::root::{self, Command};
use peerbroker::protocols::tracker::{self, Counts};
use peerbroker::protocols::tracker::{Announced, Memberships};
use peerbroker::vocabulary::PeerId;

use super::{Client, World};
use crate::history::What;

const TORRENT: &str = "a-torrent-of-20-byte";

impl World {
    /// A client announces the torrent, or leaves its swarm.
    pub(super) fn act_in_the_swarm(&mut self) {
        let event = ["started", "completed", "update", "stopped"][self.rng.below(4)];
        let left = self.rng.below(2);
        let pick = self.rng.below(100);
        let mut clients = self.clients.borrow_mut();
        let mut able: Vec<&mut Client> =
            clients.iter_mut().filter(|client| self.is_running(client.node)).collect();
        if able.is_empty() {
            return;
        }
        let pick = pick % able.len();
        let client = &mut *able[pick];
        let node = &self.nodes[client.node].as_ref().expect("its node").node;
        let guest = PeerId::parse(&format!("guest-{}", client.conn)).unwrap();
        let (_, memberships) = client.swarm.get_or_insert_with(|| {
            let guests = guests(node);
            let memberships = Memberships::new(Arc::clone(&guests.swarms), guest, None);
            (guests, memberships)
        });
        let text = format!(
            r#"{{"action":"announce","info_hash":"{TORRENT}","peer_id":"{:020}","event":"{event}","left":{left}}}"#,
            client.conn
        );
        let Command::Tracker(tracker::Command::Announce(announce)) = root::decode(&text) else {
            panic!("{text}");
        };
        match memberships.announce(&announce, &NameHolder::Unasked) {
            Ok(Announced::Counted(_)) => {}
            other => panic!("{other:?}"),
        }
        client.seeds = match event {
            "stopped" => None,
            _ => Some(
                left == 0 || client.seeds == Some(true) || client.seeds.is_some() && event == "completed",
            ),
        };
        self.note(What::Announced { conn: client.conn, event, left });
    }

    /// The members of the swarm.
    pub(super) fn members_of_the_swarm(&self) -> Counts {
        let clients = self.clients.borrow();
        let seeds = clients.iter().filter_map(|client| client.seeds);
        let (complete, incomplete): (Vec<bool>, Vec<bool>) = seeds.partition(|is_complete| *is_complete);
        Counts { complete: complete.len(), incomplete: incomplete.len() }
    }
}

fn guests(node: &Node) -> Arc<Guests> {
    node.tenant("key").unwrap().guests()
}

/// The members of the swarm, as a node knows them.
pub(super) fn members(node: &Node) -> Counts {
    guests(node).swarms.counts(TORRENT.as_bytes().first_chunk().unwrap())
}

pub(super) fn contradiction(node: &Node) -> Option<String> {
    guests(node).swarms.contradiction()
}
