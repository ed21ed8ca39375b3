//! Clients at the root of a server.

use std::sync::Arc;

use peerbroker_node::Tenant;
use peerbroker_protocols::room_codes::RoomCodes;
use peerbroker_router::Realm;
pub use testkit::guests::*;

use super::{RawClient, TestServer, wait_until};

impl TestServer {
    /// A client at the root, with the built-in key.
    pub fn guest(&self, name: &str) -> RawClient {
        self.guest_at(name, &self.root())
    }

    /// The same with another URL path.
    pub fn guest_at(&self, name: &str, target: &str) -> RawClient {
        let mut guest = self.begin_guest(name, target);
        guest.expect_quiet();
        guest
    }

    /// A client at the root that may be refused.
    pub fn begin_guest(&self, name: &str, target: &str) -> RawClient {
        let mut guest = self.connect(name);
        guest.send_raw(RawClient::handshake(target));
        guest.expect_accepted();
        guest
    }

    pub fn root(&self) -> String {
        self.broker.config().path.to_string()
    }

    /// A client with a room, and the room's code.
    pub fn host(&self) -> (RawClient, String) {
        let mut host = self.guest("host");
        let room = host.create_room();
        (host, room)
    }

    /// A player of a room, with this name.
    pub fn player(&self, host: &mut RawClient, room: &str, username: &str) -> RawClient {
        let mut player = self.guest(username);
        player.send(join(room, username, OFFER));
        host.expect(offered(username));
        player
    }

    /// A client that has got its id, and the id.
    pub fn caller(&self, name: &str) -> (RawClient, String) {
        let mut caller = self.guest(name);
        let id = caller.start();
        (caller, id)
    }

    /// Waits until the server knows that the host of a room was lost.
    pub fn wait_until_hostless(&self, room: &str) {
        wait_until("a host to be missed", || self.room_codes().is_waiting(room));
    }

    pub fn guests(&self) -> Arc<Realm> {
        Arc::clone(&self.root_tenant().guests().realm)
    }

    pub fn room_codes(&self) -> Arc<RoomCodes> {
        Arc::clone(&self.root_tenant().guests().room_codes)
    }

    pub fn wait_for_guests(&self, count: usize) {
        wait_until(&format!("{count} guests"), || self.guests().len() == count);
    }

    fn root_tenant(&self) -> Arc<Tenant> {
        let config = self.broker.config();
        self.node().tenant(config.root_key().as_str()).expect("the key of the root")
    }
}
