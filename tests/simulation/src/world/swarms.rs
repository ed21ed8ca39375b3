//! Guests that share a torrent, as their sessions let them.

use std::collections::BTreeMap;

use peerbroker_node::Node;
use peerbroker_protocols::root::Guest;
use peerbroker_protocols::tracker::Counts;
use serde_json::Value;

use super::World;
use super::visitors::Visitor;
use crate::history::{Conn, What};

const TORRENT: &str = "a-torrent-of-20-byte";

/// A client as it knows itself.
#[derive(Default)]
pub(super) struct Sharer {
    /// The announce that has no answer yet.
    asked: Option<(&'static str, usize)>,
    /// True if it has the whole torrent. `None` if it is no member of the swarm.
    is_complete: Option<bool>,
}

impl World {
    pub(super) fn open_sharer(&mut self) {
        let index = self.rng.below(self.nodes.len());
        let sharers = self.sharers.clone();
        self.open_visitor(&sharers, index, "guest", "");
    }

    pub(super) fn close_sharer(&mut self) {
        let sharers = self.sharers.clone();
        self.close_visitor(&sharers);
    }

    /// A client announces the torrent, or leaves its swarm.
    pub(super) fn act_in_the_swarm(&mut self) {
        let event = ["started", "completed", "update", "stopped"][self.rng.below(4)];
        let left = self.rng.below(2);
        let pick = self.rng.below(100);
        let sharers = self.sharers.clone();
        let mut sharers = sharers.borrow_mut();
        let mut able: Vec<_> = sharers
            .iter_mut()
            .filter(|sharer| self.is_running(sharer.node) && sharer.model.asked.is_none())
            .collect();
        if able.is_empty() {
            return;
        }
        let pick = pick % able.len();
        self.announce(able[pick], event, left, "");
    }

    fn announce(&self, sharer: &mut Visitor<Guest, Sharer>, event: &'static str, left: usize, more: &str) {
        let Visitor { conn, node, lease, session, model, .. } = sharer;
        let node = &self.nodes[*node].as_ref().expect("its node").node;
        model.asked = Some((event, left));
        self.note(What::Announced { conn: *conn, event, left });
        let text = format!(
            r#"{{"action":"announce","info_hash":"{TORRENT}","peer_id":"{conn:020}","event":"{event}","left":{left}{more}}}"#
        );
        session.hear(node, lease, &text);
    }

    /// Sessions go on, and clients hear answers and offers.
    pub(super) fn play_in_swarms(&self) {
        let mut sharers = self.sharers.borrow_mut();
        for sharer in sharers.iter_mut().filter(|sharer| self.is_running(sharer.node)) {
            let Visitor { conn, node, lease, session, socket, model } = sharer;
            session.go_on(&self.nodes[*node].as_ref().expect("its node").node, lease);
            // It answers pings.
            lease.mark_alive();
            for text in socket.texts() {
                let frame: Value = serde_json::from_str(&text).unwrap();
                if let Some(from) = frame["offer"]["n"].as_u64() {
                    self.note(What::Offered { conn: *conn, from: from.try_into().unwrap() });
                } else if frame["complete"].is_u64()
                    && let Some((event, left)) = model.asked.take()
                {
                    // A member stays complete.
                    let completes = left == 0
                        || model.is_complete == Some(true)
                        || model.is_complete.is_some() && event == "completed";
                    model.is_complete = (event != "stopped").then_some(completes);
                } else {
                    self.note(What::Contradiction { node: *node, what: text });
                }
            }
        }
        let is_over =
            |sharer: &Visitor<Guest, Sharer>| !sharer.lease.is_current() && self.is_running(sharer.node);
        let ended: Vec<_> = sharers.extract_if(.., |sharer| is_over(sharer)).collect();
        drop(sharers);
        for sharer in ended {
            self.end_visitor(sharer, "lost its id");
        }
    }

    /// Each member offers itself to all others.
    pub(super) async fn probe_the_swarm(&mut self) {
        let sharers = self.sharers.clone();
        let members = sharers.borrow().iter().filter(|sharer| sharer.model.is_complete.is_some()).count();
        for sharer in sharers.borrow_mut().iter_mut().filter(|sharer| sharer.model.is_complete.is_some()) {
            let offer = format!(r#"{{"offer_id":"o","offer":{{"n":{}}}}}"#, sharer.conn);
            let more = format!(r#","offers":[{}]"#, vec![offer; members].join(","));
            self.announce(sharer, "update", 1, &more);
        }
        self.pass(super::PROBING).await;
    }

    /// The members of the swarm.
    pub(super) fn members_of_the_swarm(&self) -> BTreeMap<Conn, bool> {
        let sharers = self.sharers.borrow();
        sharers.iter().filter_map(|sharer| Some((sharer.conn, sharer.model.is_complete?))).collect()
    }
}

/// The members of the swarm, as a node knows them.
pub(super) fn counts(node: &Node) -> Counts {
    node.tenant("key").unwrap().guests().swarms.counts(TORRENT.as_bytes().first_chunk().unwrap())
}

pub(super) fn contradiction(node: &Node) -> Option<String> {
    node.tenant("key").unwrap().guests().swarms.contradiction()
}
