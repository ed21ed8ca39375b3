//! Servers with the operator's API.

use std::path::PathBuf;
use std::sync::Arc;

use peerbroker::{BoundRelay, BoundTurn, Builder, Config, Listen, LogControl, PeerBroker};
use peerbroker_config::{AdminToken, ApiTokens, ClusterConfig, ListenOps, RelayConfig, TlsFiles, TurnConfig};
use peerbroker_keys::memory::MemoryKeys;
use peerbroker_keys::{Key, KeyStore as _};

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
    let admin = token.map(|token| AdminToken::parse(token).unwrap());
    with_tokens(keys, ApiTokens { admin, ..ApiTokens::default() }, configure)
}

/// The same, with several tokens.
pub fn with_tokens(
    keys: &[Key],
    tokens: ApiTokens,
    configure: impl FnOnce(&mut Config),
) -> (TestServer, Api) {
    let store = Arc::new(MemoryKeys::new());
    keys.iter().for_each(|key| store.add(key.clone()).unwrap());
    with_tokens_on(PeerBroker::builder().keys(store).log(Arc::new(AnyFilter)), tokens, configure)
}

/// A server of a builder, with the API.
pub fn with_api_on(builder: Builder, configure: impl FnOnce(&mut Config)) -> (TestServer, Api) {
    with_tokens_on(builder, ApiTokens::default(), configure)
}

fn with_tokens_on(
    builder: Builder,
    tokens: ApiTokens,
    configure: impl FnOnce(&mut Config),
) -> (TestServer, Api) {
    let ops = ListenOps { tokens, ..ListenOps::default() };
    let listen = Listen { ops: Some(ops), ..Listen::default() };
    let server = TestServer::start_built_on(builder, listen, configure);
    let address = server.ops.expect("an API");
    (server, Api { address, headers: String::new() })
}

/// A server with the API, TLS, a relay and TURN, in a cluster whose Redis is gone: all that has statistics.
pub fn with_everything() -> (TestServer, Api) {
    let file = |name| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name);
    let tls = TlsFiles { key: file("ec-pkcs8.key"), cert: file("ec-chain.pem") };
    let ops = ListenOps::default();
    let listen = Listen { ops: Some(ops), tls: Some(tls), ..Listen::default() };
    let ports = || vec![([127, 0, 0, 1], 0).into()];
    let relay =
        RelayConfig { listen: ports(), public: Vec::new(), tcp: true, tcp_port: Some(0), private: true };
    let turn = TurnConfig { listen: ports(), ..TurnConfig::default() };
    let builder = PeerBroker::builder()
        .relay(BoundRelay::bind(relay).unwrap())
        .turn(BoundTurn::bind(turn).unwrap())
        .cluster(ClusterConfig::new("redis://127.0.0.1:1", "alone"));
    let server = TestServer::start_built_on(builder, listen, |_| {});
    let address = server.ops.expect("an API");
    (server, Api { address, headers: String::new() })
}
