//! Servers with the operator's API.

use std::sync::Arc;

use peerbroker::config::{AdminToken, ListenOps};
use peerbroker::keys::memory::MemoryKeys;
use peerbroker::keys::{Key, KeyStore as _};
use peerbroker::{Config, Listen, LogControl, PeerBroker};

use super::TestServer;
use super::api::Api;

/// The log of a program that takes any filter but an empty one.
struct AnyFilter;

impl LogControl for AnyFilter {
    fn configured(&self) -> String {
        "info".to_owned()
    }

    fn set_temporary(&self, filter: Option<&str>) -> Result<(), String> {
        if filter == Some("") { Err("expected a level".to_owned()) } else { Ok(()) }
    }
}

/// A server with the API, these keys and the built-in one.
pub fn with_api(keys: &[Key], token: Option<&str>, configure: impl FnOnce(&mut Config)) -> (TestServer, Api) {
    let store = Arc::new(MemoryKeys::new());
    keys.iter().for_each(|key| store.add(key.clone()).unwrap());
    let token = token.map(|token| AdminToken::parse(token).unwrap());
    let ops = ListenOps { host: "127.0.0.1".to_owned(), port: 0, token };
    let listen = Listen { ops: Some(ops), ..Listen::default() };
    let builder = PeerBroker::builder().keys(store).log(Arc::new(AnyFilter));
    let server = TestServer::start_built_on(builder, listen, configure);
    let address = server.ops.expect("an API");
    (server, Api { address, headers: String::new() })
}
