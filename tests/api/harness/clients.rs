//! Clients and requests of a test server.

use peerbroker_core::vocabulary::PeerId;
use tokio::sync::oneshot;

use super::http_client::{HttpConnection, Response};
use super::{RawClient, TestServer, Transport, token_of, wait_until, wire};

impl TestServer {
    /// A registered client, with a token made from its id.
    pub fn client(&self, id: &str) -> RawClient {
        self.client_with_token(id, &token_of(id))
    }

    pub fn client_with_token(&self, id: &str, token: &str) -> RawClient {
        let mut client = self.begin(id, token);
        client.expect_accepted();
        client.expect_open();
        client
    }

    /// A connection for a client, with nothing sent yet.
    pub fn connect(&self, name: &str) -> RawClient {
        let mut client = RawClient::connect(self.address, name);
        // actix-http waits a second for a client that does not close its own direction.
        client.ends_its_side = self.transport == Transport::Actix;
        client
    }

    /// A client that has sent its handshake and read nothing yet.
    pub fn begin(&self, id: &str, token: &str) -> RawClient {
        self.begin_at(&self.target(id, token))
    }

    pub fn begin_at(&self, target: &str) -> RawClient {
        let mut client = self.connect(target);
        client.send_raw(RawClient::handshake(target));
        client
    }

    /// A client whose handshake is accepted, with this query.
    pub fn connect_with_query(&self, query: &str) -> RawClient {
        let config = self.broker.config();
        let path = config.path.as_str();
        let mut client = self.begin_at(&format!("{path}peerjs?{query}"));
        client.expect_accepted();
        client
    }

    /// The URL path of a client's WebSocket.
    pub fn target(&self, id: &str, token: &str) -> String {
        let config = self.broker.config();
        let path = config.path.as_str();
        let key = config.key.as_str();
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("key", key), ("id", id), ("token", token)])
            .finish();
        format!("{path}peerjs?{query}")
    }

    pub fn http(&self) -> HttpConnection {
        HttpConnection::open(self.address)
    }

    pub fn get(&self, target: &str) -> Response {
        self.request("GET", target, "")
    }

    /// `headers` are complete lines, each with its line break.
    pub fn request(&self, method: &str, target: &str, headers: &str) -> Response {
        self.http().request(method, target, headers)
    }

    /// Proves that the server reads a client: pings it, lets it answer, and waits until the answer
    /// has arrived. Then everything that it sent before has been handled, and its alive timeout
    /// starts anew.
    pub fn hear(&self, client: &mut RawClient, id: &str) {
        self.hear_frame(client, id, &wire::frame(wire::FIN | wire::opcode::PONG, b""));
    }

    /// The same with any bytes as the answer.
    pub fn hear_frame(&self, client: &mut RawClient, id: &str, answer: &[u8]) {
        let Some(mut answered) = self.realm().probe(&PeerId::parse(id).unwrap()) else {
            panic!("too many ask {id} already");
        };
        client.expect_ping();
        client.send_raw(answer);
        wait_until("a sign of life", || {
            !matches!(answered.try_recv(), Err(oneshot::error::TryRecvError::Empty))
        });
        assert!(self.realm().contains(id), "{id} answered and is still here");
    }
}
