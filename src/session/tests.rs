//! The session from its handshake on, over a mock socket and with a clock that tests move.

mod admission;
mod ending;
mod messages;
mod mock;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::{ConnectRequest, Source, serve_guest, serve_peer};
use crate::app::{Hooks, Service};
use crate::clock::Clock;
use crate::config::Config;
use crate::keys::memory::MemoryKeys;
use crate::transport::Disconnect;
use mock::{Input, MockClient, MockSocket, Output, idle, mock};

const HEARTBEAT: &str = r#"{"type":"HEARTBEAT"}"#;
const LEAVE: &str = r#"{"type":"LEAVE"}"#;
const SECOND: Duration = Duration::from_secs(1);

/// Serves sessions. Only this type knows what they are made from.
struct World {
    service: Arc<Service>,
    clock: Clock,
}

impl World {
    fn new(configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { messages_per_second: 0, ..Config::default() };
        configure(&mut config);
        let clock = Clock::manual();
        let keys = Arc::new(MemoryKeys::new());
        World { service: Service::start(config, Hooks::default(), clock.clone(), keys), clock }
    }

    fn serve_peer(&self, socket: MockSocket, request: ConnectRequest) -> JoinHandle<()> {
        spawn_local(serve_peer(socket, &self.service, request))
    }

    fn serve_guest(&self, socket: MockSocket, request: ConnectRequest) -> JoinHandle<()> {
        spawn_local(serve_guest(socket, &self.service, request))
    }

    fn is_here(&self, id: &str) -> bool {
        self.service.broker.tenant("peerjs").is_some_and(|tenant| tenant.peers.contains(id))
    }

    fn sessions(&self) -> usize {
        self.service.sessions()
    }

    /// Moves the clock, does what is due, and lets the sessions go on.
    async fn advance(&self, by: Duration) {
        // Sessions that are about to wait read the clock first.
        idle().await;
        self.clock.advance(by);
        self.service.sweep();
        idle().await;
    }

    fn stop(&self) {
        self.service.broker.close();
    }

    /// A client that has asked for an id with a token.
    fn begin(&self, id: &str, token: &str) -> MockClient {
        self.begin_with(&format!("key=peerjs&id={id}&token={token}"))
    }

    fn begin_with(&self, query: &str) -> MockClient {
        let (socket, client) = mock();
        self.serve_peer(socket, request(query));
        client
    }

    /// A client that is registered.
    async fn client(&self, id: &str) -> MockClient {
        let mut client = self.begin(id, "t");
        client.expect(Output::Handshake).await;
        expect_open(&mut client).await;
        client
    }
}

fn request(query: &str) -> ConnectRequest {
    let source = Source { origin: None, address: None };
    ConnectRequest { query: query.to_owned(), source, counted: None }
}

/// Runs a test on a runtime whose clock moves only when no task can go on.
fn run(configure: impl FnOnce(&mut Config), test: impl AsyncFnOnce(World)) {
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test(World::new(configure)));
}

async fn expect_open(client: &mut MockClient) {
    client.expect_text(r#"{"type":"OPEN"}"#).await;
}

fn offer(dst: &str) -> String {
    format!(r#"{{"type":"OFFER","dst":"{dst}","payload":{{"sdp":"…"}}}}"#)
}

fn relayed_offer(src: &str, dst: &str) -> String {
    format!(r#"{{"type":"OFFER","src":"{src}","dst":"{dst}","payload":{{"sdp":"…"}}}}"#)
}

fn error(message: &str) -> String {
    format!(r#"{{"type":"ERROR","payload":{{"msg":"{message}"}}}}"#)
}
