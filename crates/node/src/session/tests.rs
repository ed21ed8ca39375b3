//! The session from its handshake on, over a mock socket and with a clock that tests move.

mod admission;
mod ending;
mod going_away;
mod messages;
mod mock;
mod rooms;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::{ClientSource, ConnectRequest, serve};
use crate::Node;
use mock::{Input, MockClient, MockSocket, Output, direct_mock, idle, mock};
use peerbroker_config::Config;
use peerbroker_core::address::Locality;
use peerbroker_core::clock::Clock;
use peerbroker_events::Events;
use peerbroker_protocols::client::Protocol;
use peerbroker_protocols::peerjs::PeerJs;
use peerbroker_protocols::root::Guest;
use peerbroker_router::Disconnect;

const HEARTBEAT: &str = r#"{"type":"HEARTBEAT"}"#;
const LEAVE: &str = r#"{"type":"LEAVE"}"#;
const SECOND: Duration = Duration::from_secs(1);

/// Serves sessions. Only this type knows their dependencies.
struct World {
    node: Arc<Node>,
    clock: Clock,
}

impl World {
    fn new(configure: impl FnOnce(&mut Config)) -> Self {
        Self::with_hook(configure, |_| {})
    }

    /// A world with a hook, which is called with each text before it is read.
    fn with_hook(configure: impl FnOnce(&mut Config), hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let mut config = Config::default();
        config.key_settings.messages_per_second = 0;
        configure(&mut config);
        let clock = Clock::manual();
        let built_in = config.built_in_keys();
        let node = Node::new(config, clock.clone(), Events::default(), None);
        let node = Arc::new(node.with_hooks(Vec::new(), vec![Box::new(move |_, _, text| hook(text))]));
        for key in built_in {
            node.put_key(key);
        }
        World { node, clock }
    }

    fn serve_peer(&self, socket: MockSocket, request: ConnectRequest) -> JoinHandle<()> {
        spawn_local(serve::<_, PeerJs>(socket, &self.node, request))
    }

    fn serve_guest(&self, socket: MockSocket, request: ConnectRequest) -> JoinHandle<()> {
        spawn_local(serve::<_, Guest>(socket, &self.node, request))
    }

    fn is_here(&self, id: &str) -> bool {
        self.node.tenant("peerjs").is_some_and(|tenant| tenant.has_peer(id))
    }

    fn sessions(&self) -> usize {
        self.node.sessions.load(Ordering::SeqCst)
    }

    /// Moves the clock, does all timed work that is due, and lets the sessions continue.
    async fn advance(&self, by: Duration) {
        // Sessions that are about to wait read the clock first.
        idle().await;
        self.clock.advance(by);
        self.node.sweep();
        idle().await;
    }

    fn stop(&self) {
        self.node.close();
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

    /// The holder of an id, which was just pinged, and another client that waits for the id with its
    /// handshake answered.
    async fn contested(&self) -> (MockClient, MockClient) {
        let mut holder = self.client("a").await;
        let mut other = self.begin("a", "another");
        other.expect(Output::Handshake).await;
        holder.expect(Output::Ping).await;
        (holder, other)
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
    let source = ClientSource { origin: None, address: None, locality: Locality::Unknown, is_doctor: false };
    ConnectRequest { query: query.to_owned(), source, permit: None }
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

fn forwarded_offer(src: &str, dst: &str) -> String {
    format!(r#"{{"type":"OFFER","src":"{src}","dst":"{dst}","payload":{{"sdp":"…"}}}}"#)
}

fn error(message: &str) -> String {
    format!(r#"{{"type":"ERROR","payload":{{"msg":"{message}"}}}}"#)
}

/// Most clients are idle, so the memory of a session must not grow by accident. A task of tokio takes a
/// multiple of 128 bytes, and 40 more in a guest were 128.
#[test]
fn the_future_of_a_session_is_small() {
    fn own_bytes<C: Protocol>(world: &World) -> usize {
        let (socket, _client) = mock();
        let of_socket = size_of_val(&socket);
        let session = serve::<_, C>(socket, &world.node, request("key=peerjs&id=a&token=t"));
        size_of_val(&session) - of_socket
    }
    run(
        |_| {},
        async |world| {
            let [peer, guest] = [own_bytes::<PeerJs>(&world), own_bytes::<Guest>(&world)];
            assert!(peer <= 200, "{peer} bytes beside the socket");
            assert!(guest <= 184, "{guest} bytes beside the socket, of a guest");
        },
    );
}
