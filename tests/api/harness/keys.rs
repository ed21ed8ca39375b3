//! Servers with keys, and clients that use them.

use std::sync::Arc;

use peerbroker::{Config, Listen};
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::memory::MemoryKeys;
use peerbroker_keys::{Change, Key, KeyStore, Settings};
use peerbroker_node::Tenant;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{RawClient, TestServer, Transport, token_of};

pub const INVALID_KEY: &str = "Invalid key provided";
pub const FULL: &str = "Server has reached its concurrent user limit";

/// The changes that disable and enable a key.
pub fn enabled(enabled: bool) -> Change {
    Change { enabled: Some(enabled), ..Change::default() }
}

pub fn api_key(text: &str) -> ApiKey {
    ApiKey::parse(text).unwrap()
}

/// A key with a change of the default settings. It has no rate limit, because the clock stands still.
pub fn key(text: &str, change: Change) -> Key {
    let settings = Settings { messages_per_second: 0, ..Settings::default() };
    let mut key = Key::new(Some(api_key(text)), "an app", settings);
    key.apply(change);
    key
}

pub fn plain_key(text: &str) -> Key {
    key(text, Change::default())
}

/// A store of keys and a server that uses them.
pub struct Keys<'a> {
    pub store: &'a MemoryKeys,
    server: &'a TestServer,
}

impl Keys<'_> {
    /// Changes a key and makes the server read it.
    pub fn change(&self, key: &str, change: Change) {
        self.store.change(&api_key(key), change).unwrap();
        self.server.read_keys();
    }

    pub fn add(&self, key: Key) {
        self.store.add(key).unwrap();
        self.server.read_keys();
    }

    pub fn remove(&self, key: &str) {
        self.store.remove(&api_key(key)).unwrap();
        self.server.read_keys();
    }
}

/// Runs a test on both transports, with these keys and the built-in one.
pub fn on_both_with_keys(keys: &[Key], test: impl Fn(&TestServer, &Keys<'_>)) {
    on_with_keys(&Transport::ALL, |_| {}, keys, test);
}

/// The same with a changed configuration.
pub fn on_both_with_keys_and(
    configure: impl Fn(&mut Config),
    keys: &[Key],
    test: impl Fn(&TestServer, &Keys<'_>),
) {
    on_with_keys(&Transport::ALL, configure, keys, test);
}

/// Runs a test on the server's own transport, with these keys and the built-in one.
pub fn on_own_with_keys(keys: &[Key], test: impl Fn(&TestServer, &Keys<'_>)) {
    on_with_keys(&[Transport::Own], |_| {}, keys, test);
}

/// The same with a changed configuration.
pub fn on_own_with_keys_and(
    configure: impl Fn(&mut Config),
    keys: &[Key],
    test: impl Fn(&TestServer, &Keys<'_>),
) {
    on_with_keys(&[Transport::Own], configure, keys, test);
}

fn on_with_keys(
    transports: &[Transport],
    configure: impl Fn(&mut Config),
    keys: &[Key],
    test: impl Fn(&TestServer, &Keys<'_>),
) {
    for &transport in transports {
        eprintln!("on the transport {transport:?}:");
        let store = Arc::new(MemoryKeys::new());
        keys.iter().for_each(|key| store.add(key.clone()).unwrap());
        let server = TestServer::start_with_keys(transport, &configure, store.clone());
        test(&server, &Keys { store: &store, server: &server });
    }
}

impl TestServer {
    pub fn start_with_keys(
        transport: Transport,
        configure: impl FnOnce(&mut Config),
        store: Arc<dyn KeyStore>,
    ) -> Self {
        Self::start_with(transport, configure, Listen::default(), Some(store))
    }

    /// Makes the server read the store, which it does not do while the clock stands still.
    pub fn read_keys(&self) {
        self.broker.read_keys().unwrap();
    }

    /// The tenant of an active key.
    pub fn tenant(&self, key: &str) -> Arc<Tenant> {
        self.node().tenant(key).unwrap_or_else(|| panic!("the key {key}"))
    }

    /// The URL path of a WebSocket with this key.
    pub fn target_of(&self, key: &str, id: &str) -> String {
        format!("{}peerjs?key={key}&id={id}&token={}", &self.root(), token_of(id))
    }

    pub fn root_of(&self, key: &str) -> String {
        format!("{}?key={key}", &self.root())
    }

    /// The path for posts of a client with this key.
    pub fn post_target_of(&self, key: &str, id: &str, word: &str) -> String {
        let token = token_of(id);
        let token = utf8_percent_encode(&token, NON_ALPHANUMERIC);
        format!("{}{key}/{id}/{token}/{word}", &self.root())
    }

    /// A client of a key that may be refused.
    pub fn newcomer_of(&self, key: &str, id: &str) -> RawClient {
        let mut client = self.begin_at(&self.target_of(key, id));
        client.expect_accepted();
        client
    }

    /// A registered client of a key.
    pub fn client_of(&self, key: &str, id: &str) -> RawClient {
        let mut client = self.newcomer_of(key, id);
        client.expect_open();
        client
    }

    /// A client at the root, with a key.
    pub fn guest_of(&self, key: &str, name: &str) -> RawClient {
        self.guest_at(name, &self.root_of(key))
    }

    /// A connection that sends a handshake with further headers, which are complete lines.
    pub fn begin_with(&self, target: &str, headers: &str) -> RawClient {
        let mut client = self.connect(target);
        let end = format!("\r\n{headers}\r\n");
        client.send_raw(RawClient::handshake(target).replacen("\r\n\r\n", &end, 1));
        client
    }
}
