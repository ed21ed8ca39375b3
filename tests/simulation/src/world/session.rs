//! A session without a socket: a client, and the answer for which it waits.

use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};

use peerbroker_node::session::ClientTurn;
use peerbroker_node::{Awaited, Node};
use peerbroker_protocols::client::{Context, Protocol};
use peerbroker_protocols::key_state::KeyState;
use peerbroker_router::{Disconnect, Flushes, IdLease, PeerHandle};

pub(super) struct Session<C> {
    pub(super) client: C,
    key: Arc<KeyState>,
    asked: Option<Awaited>,
}

impl<C: Protocol> Session<C> {
    pub(super) fn open(node: &Node, peer: &PeerHandle, query: &str) -> Self {
        let key = Arc::clone(&*node.tenant("key").unwrap());
        let client = C::new(&key, query, None).unwrap();
        let mut session = Session { client, key, asked: None };
        session.handle(node, peer, |client, context| client.on_open(context));
        session
    }

    /// Goes on with what it has asked, if that is known.
    pub(super) fn go_on(&mut self, node: &Node, peer: &PeerHandle) {
        while let Some(asked) = &mut self.asked
            && let Poll::Ready(answer) = asked.as_mut().poll(&mut Task::from_waker(Waker::noop()))
        {
            self.asked = None;
            if peer.is_current() {
                self.handle(node, peer, |client, context| client.on_answer(answer, context));
            }
        }
    }

    /// Its client says something, unless it still waits for an answer.
    pub(super) fn hear(&mut self, node: &Node, peer: &PeerHandle, text: &str) {
        assert!(self.asked.is_none(), "{text}");
        self.handle(node, peer, |client, context| client.on_text(text, context));
    }

    /// The connection ends. True if that was not told before.
    pub(super) fn close(mut self, lease: IdLease, end: Disconnect) -> bool {
        drop(self.asked);
        self.client.release();
        let departure = lease.part(end.reason(), end == Disconnect::Gone);
        self.client.departed(departure.as_ref(), end, &self.key);
        departure.is_some()
    }

    fn handle<'t>(&mut self, node: &Node, peer: &PeerHandle, act: impl FnOnce(&mut C, &mut Context<'_, 't>)) {
        Flushes::with(|flushes| {
            let mut turn = ClientTurn::new(node, peer, &self.key, flushes);
            turn.handle(&mut self.client, act);
            if let Some(ask) = turn.asked {
                self.asked = Some(node.ask(peer, &self.key, ask));
            }
        });
    }
}
