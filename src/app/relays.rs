//! The relay and the TURN server, from the start or later: their ports may belong to the server before this one.

use std::sync::Arc;

use super::{Parts, background};
use crate::config::TurnSecret;
use crate::node::Node;
use crate::relay::BoundRelay;
use crate::turn::{BoundTurn, Turn};

impl Parts {
    /// The TURN server, if there is one.
    pub(crate) fn turn(&self) -> Option<&Turn> {
        self.turn.get()
    }

    /// Has a TURN server from now on. A second one ends at once.
    pub(crate) fn begin_turn(&self, turn: BoundTurn) {
        self.config.update(|config| {
            let mut config = config.clone();
            config.ice.turn_secret.get_or_insert_with(TurnSecret::random);
            config
        });
        let admits = Box::new({
            let keys = Arc::clone(&self.keys);
            move |key: &str| keys.get(key).is_some_and(|active| active.key.settings.ice_servers)
        });
        let (config, clock) = (self.config.clone(), self.node.clock().clone());
        let Some(turn) =
            turn.start(config, clock, admits, Arc::clone(&self.addresses), self.events.threads())
        else {
            return;
        };
        if let Some(tls) = self.tls.get() {
            turn.serve_tls(Arc::clone(tls));
        }
        drop(self.turn.set(turn));
    }

    /// Has TURN served over TLS too, now and in a TURN server that begins later.
    pub(crate) fn serve_turn_over_tls(&self, tls: &rustls::ServerConfig) {
        let tls = self.tls.get_or_init(|| Arc::new(tls.clone()));
        if let Some(turn) = self.turn() {
            turn.serve_tls(Arc::clone(tls));
        }
    }

    /// Has a relay from now on. A second one ends at once.
    pub(crate) fn begin_relaying(&self, relay: BoundRelay) {
        let (config, clock, events) = (self.config.clone(), self.node.clock().clone(), self.events.clone());
        let shared = self.turn().and_then(Turn::port);
        let started = relay.start(config, clock, events, Arc::clone(&self.addresses), shared);
        let Some((relay, wakes)) = started else { return };
        background::take(self.events.threads(), "relay-wakes", &self.node, wakes, |node: &Node, wake| {
            node.wake(&wake)
        });
        self.node.begin_relaying(relay);
    }
}
