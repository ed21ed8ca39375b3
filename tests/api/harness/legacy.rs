//! PeerJS 0.3.x without a WebSocket: a stream to receive messages, and a POST for each message
//! sent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use peerbroker_core::vocabulary::PeerId;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::oneshot::error::TryRecvError;

use super::http_client::{HttpConnection, Response, connect_with_small_buffer};
use super::messages::{forwarded, message};
use super::{RawClient, TestServer, token_of, wait_until};

pub const MS: Duration = Duration::from_millis(1);
/// Time that a stream waits for its WebSocket.
pub const HEAD_START: Duration = Duration::from_secs(1);
/// The grace period in which an ended stream counts as open.
pub const GRACE: Duration = Duration::from_secs(5);
/// Time that a POST waits for its client.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum POSTs that wait for one id.
pub const MAX_WAITING: usize = 64;

/// Begins a line without a meaning, so that a client reads one more line.
pub const FILLER: &str = " ";
/// The end of that line, before the next message.
const FILLER_END: &str = "{}\n";

/// A stream whose response has begun.
pub struct StreamClient {
    pub name: String,
    pub head: Response,
    http: HttpConnection,
}

impl StreamClient {
    /// The next line that is a message, which must be its own chunk; `None` at the clean end of the response.
    pub fn next_line(&mut self) -> Option<String> {
        let mut is_within_filler = false;
        loop {
            let chunk = self.chunk()?;
            if chunk == FILLER {
                is_within_filler = true;
                continue;
            }
            let message = if is_within_filler { chunk.strip_prefix(FILLER_END) } else { Some(&*chunk) };
            let line = message.and_then(|message| message.strip_suffix('\n'));
            let line = line.unwrap_or_else(|| panic!("{}: {chunk:?} is no line", self.name));
            let is_one = !line.is_empty() && !line.contains('\n');
            assert!(is_one, "{}: one line, not empty: {chunk:?}", self.name);
            return Some(line.to_owned());
        }
    }

    /// The next chunk; `None` at the clean end of the response.
    pub fn chunk(&mut self) -> Option<String> {
        Some(String::from_utf8(self.http.chunk()?).expect("UTF-8"))
    }

    /// Expects exactly this line next.
    pub fn expect(&mut self, text: impl AsRef<str>) {
        assert_eq!(self.next_line().as_deref(), Some(text.as_ref()), "{}", self.name);
    }

    pub fn expect_open(&mut self) {
        self.expect(r#"{"type":"OPEN"}"#);
    }

    /// Expects the clean end of the response next.
    pub fn expect_end(&mut self) {
        assert_eq!(self.next_line(), None, "{}: the end of the stream", self.name);
    }

    /// Shuts the sending direction down.
    pub fn shutdown_write(&mut self) {
        self.http.shutdown_write();
    }

    /// Proves that nothing was sent through this stream: a message that its client posts to itself
    /// is the next line. `id` is its own.
    pub fn expect_nothing(&mut self, server: &TestServer, id: &str) {
        static MARKERS: AtomicUsize = AtomicUsize::new(0);
        let marker = format!("\"marker {}\"", MARKERS.fetch_add(1, Ordering::Relaxed));
        assert_eq!(server.post(id, "candidate", &message("CANDIDATE", id, &marker)).status, 200);
        self.expect(forwarded("CANDIDATE", id, id, &marker));
    }
}

impl TestServer {
    /// The path for posts of a client, with a token made from its id.
    pub fn post_target(&self, id: &str, word: &str) -> String {
        self.post_target_with(id, &token_of(id), word)
    }

    pub fn post_target_with(&self, id: &str, token: &str, word: &str) -> String {
        let config = self.broker.config();
        let path = config.path.as_str();
        let key = config.key.as_str();
        let [key, id, token] = [key, id, token].map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC));
        format!("{path}{key}/{id}/{token}/{word}")
    }

    /// A stream that has sent only its padding; `number` counts the renewals.
    pub fn begin_stream(&self, id: &str, number: usize) -> StreamClient {
        self.begin_stream_at(id, &self.post_target(id, &format!("id?i={number}")))
    }

    pub fn begin_stream_at(&self, name: &str, target: &str) -> StreamClient {
        self.begin_stream_over(self.http(), name, target)
    }

    pub fn begin_stream_over(&self, mut http: HttpConnection, name: &str, target: &str) -> StreamClient {
        http.send(post(target, "", b""));
        let head = http.head();
        assert_eq!(head.status, 200, "{name}: {head:?}");
        let mut stream = StreamClient { name: name.to_owned(), head, http };
        stream.expect("0".repeat(2048));
        stream
    }

    /// A registered stream that has got its OPEN. Advances the clock by the head start.
    pub fn stream(&self, id: &str) -> StreamClient {
        let stream = self.begin_stream(id, 0);
        self.greeted(stream)
    }

    pub fn greeted(&self, mut stream: StreamClient) -> StreamClient {
        self.settle();
        self.advance(HEAD_START);
        stream.expect_open();
        stream
    }

    /// A connection with small system buffers.
    pub fn http_that_reads_late(&self) -> HttpConnection {
        HttpConnection::over(connect_with_small_buffer(self.address))
    }

    /// The stream that follows another one.
    pub fn renewed(&self, id: &str, number: usize) -> StreamClient {
        let renewed = self.begin_stream(id, number);
        self.settle();
        renewed
    }

    /// Posts a message and waits for the response.
    pub fn post(&self, id: &str, word: &str, body: &str) -> Response {
        self.begin_post(id, word, body).response(false)
    }

    /// Posts a message and waits until the server has it.
    pub fn begin_post(&self, id: &str, word: &str, body: &str) -> HttpConnection {
        self.begin_post_at(&self.post_target(id, word), body)
    }

    pub fn begin_post_at(&self, target: &str, body: &str) -> HttpConnection {
        let mut http = self.http();
        http.send(post(target, "Content-Type: application/json\r\n", body.as_bytes()));
        self.settle();
        http
    }

    /// A WebSocket that takes over from its own stream. It gets no second OPEN.
    pub fn upgraded(&self, id: &str) -> RawClient {
        let mut client = self.begin(id, &token_of(id));
        client.expect_accepted();
        client
    }

    /// Waits until every worker has finished its earlier work: each answers two later requests.
    /// The workers get connections in turn.
    pub fn settle(&self) {
        for _ in 0..2 * super::WORKERS {
            self.get("/healthz");
        }
    }

    /// Waits until the holder of an id has given a sign of life.
    pub fn wait_until_heard(&self, id: &str) {
        let Some(mut answered) = self.realm().probe(&PeerId::parse(id).unwrap()) else {
            panic!("too many ask {id} already");
        };
        wait_until("a sign of life", || !matches!(answered.try_recv(), Err(TryRecvError::Empty)));
        assert!(self.realm().contains(id), "{id} answered and is still here");
    }
}

/// A complete POST; `headers` are complete lines.
pub fn post(target: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: server.test\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}
