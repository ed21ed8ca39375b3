//! Clients whose ids the broker chooses: of any protocol, each with its session.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use peerbroker_core::vocabulary::CloseReason;
use peerbroker_protocols::client::Protocol;
use peerbroker_router::{Disconnect, IdLease};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::session::Session;
use super::{World, note, open};
use crate::history::{Conn, What};
use crate::socket::Socket;

pub(super) struct Visitor<C, M> {
    pub(super) conn: Conn,
    pub(super) node: usize,
    pub(super) lease: IdLease,
    pub(super) socket: Socket,
    pub(super) session: Session<C>,
    /// The part of it that the simulation follows.
    pub(super) model: M,
}

/// All clients of a protocol.
pub(super) type Visitors<C, M> = Rc<RefCell<Vec<Visitor<C, M>>>>;

impl World {
    /// A client connects to a node.
    pub(super) fn open_visitor<C, M>(
        &mut self,
        all: &Visitors<C, M>,
        index: usize,
        name: &'static str,
        query: &'static str,
    ) where
        C: Protocol + 'static,
        M: Default + 'static,
    {
        let Some(handle) = self.nodes[index].as_mut().filter(|node| !node.pause.paused.get()) else { return };
        self.conns += 1;
        let conn = self.conns;
        let node = Arc::clone(&handle.node);
        let all = Rc::clone(all);
        let history = Rc::clone(&self.history);
        let steps = Rc::clone(&self.steps);
        handle.opening.push(spawn_local(async move {
            let socket = Socket::default();
            let id = format!("{name}-{conn}");
            let realm = node.tenant("key").unwrap().realm(C::REALM);
            let opened = timeout(Duration::from_secs(20), open(&node, &realm, &id, 0, &socket)).await;
            let Ok(Ok(lease)) = opened else {
                return note(&history, &steps, What::Refused { conn, id: name, why: "unavailable" });
            };
            note(&history, &steps, What::Opened { conn, id: Box::leak(id.into()), token: 0, node: index });
            let session = Session::open(&node, &lease, query);
            let model = M::default();
            all.borrow_mut().push(Visitor { conn, node: index, lease, socket, session, model });
        }));
    }

    /// A client leaves, if its node is there.
    pub(super) fn close_visitor<C: Protocol, M>(&mut self, all: &Visitors<C, M>) {
        let mut visitors = all.borrow_mut();
        let able: Vec<usize> = (0..visitors.len()).filter(|at| self.is_running(visitors[*at].node)).collect();
        if able.is_empty() {
            return;
        }
        let visitor = visitors.swap_remove(able[self.rng.below(able.len())]);
        drop(visitors);
        self.end_visitor(visitor, "closed");
    }

    pub(super) fn end_visitor<C: Protocol, M>(&self, visitor: Visitor<C, M>, why: &'static str) {
        let Visitor { conn, lease, session, .. } = visitor;
        self.note(What::Ended { conn, why });
        session.close(lease, Disconnect::ByServer(CloseReason::Left));
    }

    /// The clients of a node that is killed.
    pub(super) fn kill_visitors<C, M>(&self, all: &Visitors<C, M>, index: usize) {
        for visitor in all.borrow_mut().extract_if(.., |visitor| visitor.node == index) {
            self.note(What::Ended { conn: visitor.conn, why: "killed" });
            // As for other clients.
            std::mem::forget(visitor);
        }
    }
}
