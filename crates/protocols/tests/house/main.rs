//! The state that all clients of a key share, without a network: fake sockets, and a clock that stands still.

#[allow(dead_code, reason = "the router's tests use the rest")]
#[path = "../../../router/tests/house/clients.rs"]
mod clients;
mod conversations;
mod dialect;
mod keys;
mod pipes;
mod room_codes;
#[allow(dead_code, reason = "the router's tests use the rest")]
#[path = "../../../router/tests/house/socket.rs"]
mod socket;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use peerbroker_config::key::{Key, Settings};
use peerbroker_config::{Config, Limits};
use peerbroker_core::clock::Clock;
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_events::Events;
use peerbroker_protocols::key_state::{Common, KeyState};
use peerbroker_protocols::room_frames;
use peerbroker_router::Router;

use clients::expired;

/// A key, and what all keys share.
struct House {
    router: Arc<Router>,
    common: Arc<Common>,
    key: Arc<KeyState>,
}

impl House {
    fn new(limits: Limits) -> Self {
        let config = Config { limits, ..Config::default() };
        let router = Router::new(config.into(), Clock::manual(), Events::default(), None, expired);
        let router = Arc::new(router);
        let common = Common::new(Arc::clone(&router), None, room_frames);
        let key = key(&common, "peerjs");
        House { router, common, key }
    }

    /// Another key.
    fn another(&self, name: &str) -> Arc<KeyState> {
        key(&self.common, name)
    }

    /// Advances the clock and runs the sweeper.
    fn pass(&self, millis: u64) {
        self.router.clock().advance(Duration::from_millis(millis));
        self.sweep();
    }

    fn sweep(&self) {
        self.router.record_sweep();
        self.common.active().iter().for_each(KeyState::sweep);
    }
}

fn key(common: &Arc<Common>, name: &str) -> Arc<KeyState> {
    let key = Key::new(ApiKey::parse(name).ok(), "", Settings::default());
    KeyState::new(Arc::new(key), common)
}
