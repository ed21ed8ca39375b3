//! What goes to other nodes: one batch at a time for each, repeated until it is there.

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use super::Worker;
use crate::cluster::Backplane;
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
        loop {
            match self.backplane.append(batches.clone()).await {
                Ok(arrived) => {
                    for ((to, _), arrived) in batches.iter().zip(arrived) {
                        if !arrived {
                            self.bury(*to);
                        }
                    }
                    return true;
                }
                // It may be there. The reader ignores what comes twice.
                Err(error) => {
                    log::debug!("cannot send to other nodes: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// A node is dead, for good.
    pub(super) fn bury(&self, dead: NodeId) {
        let (name, was_known) = {
            let mut state = self.shared.state();
            if state.node == Some(dead) || !state.dead.insert(dead) {
                return;
            }
            let had_link = state.links.remove(&dead).is_some();
            let member = state.members.iter().find(|member| member.node == dead);
            let was_alive = member.is_some_and(|member| member.alive);
            (member.map(|member| member.name.clone()), had_link || was_alive)
        };
        // Those that died before this one joined are no news.
        if was_known {
            self.tell(|| ClusterEvent::NodeGone { name, life: dead });
        }
        // It may have taken names of clients of ours, and died before it told us.
        self.doubtful.set(true);
        self.inbound.borrow_mut().remove(&dead);
        self.forget_questions(dead);
        self.lose_node(Some(dead));
    }

    /// What became of messages that a node had will not be known; `None` means all nodes.
    pub(super) fn lose_node(&self, node: Option<NodeId>) {
        for realm in self.node.upgrade().iter().flat_map(|node| node.realms()) {
            realm.lose_node(node);
        }
    }
}
