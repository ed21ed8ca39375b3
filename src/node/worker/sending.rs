//! What goes to other nodes: one batch at a time for each, repeated until it is there.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use super::Worker;
use super::opening::peer_id;
use crate::broker::HandOver;
use crate::cluster::Backplane;
use crate::cluster::link::Outbound;
use crate::cluster::packet::{Batch, Packet};
use crate::events::ClusterEvent;
use crate::wire::NodeId;

/// How long to wait after a batch could not be sent.
const PAUSE: Duration = Duration::from_millis(100);

impl<B: Backplane> Worker<B> {
    /// Sends for as long as the node lives.
    pub(super) async fn send(self: &Rc<Self>, node: NodeId) -> Infallible {
        loop {
            self.shared.sending.notified().await;
            while self.send_turn(node).await {}
        }
    }

    /// Sends a batch to each node that has something to hear. False if none has.
    pub(super) async fn send_turn(self: &Rc<Self>, node: NodeId) -> bool {
        let batches: Vec<(NodeId, Vec<u8>)> = {
            let mut state = self.shared.state();
            let links = state.links.iter_mut();
            links.filter_map(|(to, link)| Some((*to, link.next_batch(node)?))).collect()
        };
        if batches.is_empty() {
            return false;
        }
        let mut may_be_there = false;
        loop {
            match self.backplane.append(batches.clone()).await {
                Ok(arrived) => {
                    let refused = batches.iter().zip(arrived).filter(|(_, arrived)| !arrived);
                    for ((to, batch), _) in refused {
                        if !may_be_there {
                            self.take_back(batch);
                        }
                        self.bury(*to);
                    }
                    return true;
                }
                // The reader ignores what comes twice.
                Err(error) => {
                    log::debug!("cannot send to other nodes: {error}");
                    may_be_there = true;
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// A node is dead, for good.
    pub(super) fn bury(&self, dead: NodeId) {
        let (link, name, was_known) = {
            let mut state = self.shared.state();
            if state.node == Some(dead) || !state.dead.insert(dead) {
                return;
            }
            state.silent.remove(&dead);
            let link = state.links.remove(&dead);
            let member = state.members.iter().find(|member| member.node == dead);
            let was_alive = member.is_some_and(|member| member.alive);
            let (name, was_known) = (member.map(|member| member.name.clone()), link.is_some() || was_alive);
            (link, name, was_known)
        };
        for unsent in link.into_iter().flat_map(Outbound::into_unsent) {
            self.take_back(&unsent);
        }
        // Those that died before this one joined are no news.
        if was_known {
            self.tell(|| ClusterEvent::NodeGone { name, life: dead });
        }
        // It may have taken names of clients of ours, and died before it told us.
        self.doubtful.set(true);
        self.inbound.borrow_mut().remove(&dead);
        self.forget_questions(dead);
        let seats = self.seats.borrow_mut().remove(&dead);
        drop(seats);
        self.lose_node(Some(dead));
    }

    /// Messages that a dead node certainly never got wait here again, and their recipients are sought.
    fn take_back(&self, batch: &[u8]) {
        for packet in Batch::read(batch).iter().flat_map(Batch::packets) {
            if let Packet::Message { to, ticket, .. } = packet
                && let (Some(realm), Some(id)) = (self.realm_of(&to), peer_id(&to))
            {
                realm.settle(&id, ticket, HandOver::NotHere);
            }
        }
    }

    /// What became of messages that a node had will not be known; `None` means all nodes.
    pub(super) fn lose_node(&self, node: Option<NodeId>) {
        for realm in self.node.upgrade().iter().flat_map(|node| node.realms()) {
            realm.lose_node(node);
        }
    }
}
