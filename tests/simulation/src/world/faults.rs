//! Faults of nodes and of the store that they share, and the end of all of them.

use std::rc::Rc;
use std::time::Duration;

use peerbroker_core::vocabulary::{CloseReason, DropReason};
use peerbroker_events::Outcome;
use peerbroker_node::Node;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::sleep;

use super::{Client, NODES, NodeHandle, World, hear, note, rooms};
use crate::history::What;
use crate::sim::{Chaos, Fault};

impl World {
    pub(super) fn fault(&mut self, level: usize) {
        let index = self.rng.below(NODES);
        let kind = self.rng.below(if level == 1 { 4 } else { 8 });
        match kind {
            0 => self.kill(index),
            1 => self.pause(index),
            2 | 3 => {
                let fault = [Fault::Refused, Fault::Unreachable, Fault::Stalled, Fault::RepliesLost]
                    [self.rng.below(4)];
                let Some(node) = &self.nodes[index] else { return };
                node.client.set_fault(fault);
                note(
                    &self.history,
                    &self.steps,
                    What::Fault { node: Some(index), what: format!("{fault:?}") },
                );
                let client = node.client.clone();
                let history = Rc::clone(&self.history);
                let steps = Rc::clone(&self.steps);
                let lasts = self.rng.in_range(50..4000);
                spawn_local(async move {
                    sleep(lasts).await;
                    client.set_fault(Fault::None);
                    note(&history, &steps, What::Fault { node: Some(index), what: "ends".to_owned() });
                });
            }
            4 => {
                self.store.wipe();
                self.note(What::Fault { node: None, what: "wipe".to_owned() });
            }
            5 => {
                self.store.failover(Duration::from_millis(500));
                self.note(What::Fault { node: None, what: "failover".to_owned() });
            }
            6 => {
                self.store.lose_appends(Duration::from_millis(300));
                self.note(What::Fault { node: None, what: "lost appends".to_owned() });
            }
            _ => {
                let fault = if self.rng.chance(2) { Fault::Stalled } else { Fault::Unreachable };
                self.store.set_fault(fault);
                self.note(What::Fault { node: None, what: format!("{fault:?}") });
                let store = self.store.clone();
                let history = Rc::clone(&self.history);
                let steps = Rc::clone(&self.steps);
                let lasts = self.rng.in_range(50..5000);
                spawn_local(async move {
                    sleep(lasts).await;
                    store.set_fault(Fault::None);
                    note(&history, &steps, What::Fault { node: None, what: "ends".to_owned() });
                });
            }
        }
    }

    /// A fault of the connection of a node to the store.
    pub fn set_fault(&self, index: usize, fault: Fault) {
        self.nodes[index].as_ref().unwrap().client.set_fault(fault);
    }

    /// True if a node believes that it takes part.
    pub fn is_up(&self, index: usize) -> bool {
        let node = self.nodes[index].as_ref().unwrap();
        node.node.membership().is_some_and(|membership| membership.view().is_up)
    }

    /// True if a node serves its clients, and one of them has this id.
    pub fn speaks_for(&self, index: usize, id: &str) -> bool {
        self.nodes[index].as_ref().is_some_and(|node| node.serves() && node.realm.contains(id))
    }

    /// True if a node has no clients.
    pub fn has_left(&self, index: usize) -> bool {
        self.clients.borrow().iter().all(|client| client.node != index)
    }

    /// The clients of a node leave.
    pub fn close_at(&mut self, index: usize) {
        let gone: Vec<Client> =
            self.clients.borrow_mut().extract_if(.., |client| client.node == index).collect();
        for client in gone {
            drop(client.lease.part(CloseReason::Left, false));
        }
    }

    pub fn kill(&mut self, index: usize) {
        let Some(node) = self.nodes[index].take() else {
            let node = self.start(index);
            self.nodes[index] = Some(node);
            self.note(What::Fault { node: Some(index), what: "started".to_owned() });
            return;
        };
        self.note(What::Fault { node: Some(index), what: "killed".to_owned() });
        node.tasks.abort();
        node.opening.iter().for_each(JoinHandle::abort);
        self.in_doubt += in_doubt(&node.node);
        self.kill_visitors(&self.players, index);
        self.kill_visitors(&self.sharers, index);
        let gone: Vec<Client> =
            self.clients.borrow_mut().extract_if(.., |client| client.node == index).collect();
        for client in gone {
            hear(client.conn, &client.socket, &self.history, &self.steps);
            self.note(What::Ended { conn: client.conn, why: "killed" });
            // Dead nodes send nothing: a drop here must not reach the backplane.
            std::mem::forget(client.lease);
        }
    }

    fn pause(&mut self, index: usize) {
        let lasts = self.rng.in_range(50..5000);
        self.pause_for(index, lasts);
    }

    pub fn pause_for(&self, index: usize, lasts: Duration) {
        let Some(node) = &self.nodes[index] else { return };
        let was_paused = node.pause.paused.replace(true);
        if was_paused {
            return;
        }
        self.note(What::Fault { node: Some(index), what: "paused".to_owned() });
        let pause = Rc::clone(&node.pause);
        let tasks = node.tasks.abort_handle();
        let history = Rc::clone(&self.history);
        let steps = Rc::clone(&self.steps);
        spawn_local(async move {
            sleep(lasts).await;
            if pause.end() && !tasks.is_finished() {
                note(&history, &steps, What::Fault { node: Some(index), what: "resumed".to_owned() });
            }
        });
    }

    /// The thread of a node ends. Its clients stay.
    pub fn end_worker(&self, index: usize) {
        self.nodes[index].as_ref().unwrap().tasks.abort();
    }

    /// A node closes its clients and leaves.
    pub async fn leave(&mut self, index: usize) {
        let handle = self.begin_to_stop(index);
        handle.node.membership().unwrap().left().await;
        self.nodes[index] = Some(handle);
    }

    /// A node closes its clients, and begins to leave, as after SIGTERM.
    pub(super) fn begin_to_stop(&mut self, index: usize) -> NodeHandle {
        let handle = self.nodes[index].take().expect("a node");
        let leaving: Vec<Client> =
            self.clients.borrow_mut().extract_if(.., |client| client.node == index).collect();
        handle.node.close();
        for client in leaving {
            hear(client.conn, &client.socket, &self.history, &self.steps);
            if let Some(departure) = client.lease.part(CloseReason::Shutdown, false) {
                rooms::depart(&handle.node, departure, false);
            }
            self.note(What::Ended { conn: client.conn, why: "stopped" });
        }
        handle.node.membership().unwrap().close();
        handle
    }

    pub(super) fn heal(&mut self) {
        self.store.set_chaos(Chaos::default());
        self.store.set_fault(Fault::None);
        for index in 0..self.nodes.len() {
            match &self.nodes[index] {
                Some(node) => {
                    node.client.set_fault(Fault::None);
                    node.pause.end();
                }
                None => {
                    let node = self.start(index);
                    self.nodes[index] = Some(node);
                }
            }
        }
        self.note(What::Healed);
    }
}

pub(super) fn in_doubt(node: &Node) -> u64 {
    node.counters().messages_with(Outcome::Dropped(DropReason::InDoubt))
}
