//! One exchange: the messages of clients, and those that the server must send.

mod words;

use std::collections::{BTreeMap, VecDeque};
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use peerbroker::{Config, Listen, PeerBroker};
use peerbroker_core::vocabulary::{ApiKey, PeerId};

use crate::harness::wire::{FIN, Frame, frame, opcode};
use crate::harness::{RawClient, TestServer, Transport};
use words::Words;

/// The state of one exchange.
pub(super) struct Play {
    // Dropped first: a server that stops waits for its clients.
    clients: BTreeMap<String, Actor>,
    server: TestServer,
    /// The answer of the app to messages of clients.
    app: Arc<Mutex<Option<String>>>,
    words: Words,
}

/// A client of an exchange.
struct Actor {
    /// `None` for a client at the root, which uses a ping to check that it was heard.
    id: Option<String>,
    client: RawClient,
    /// The response to its handshake was read.
    accepted: bool,
    /// Frames that arrived while the test waited for others.
    inbox: VecDeque<Said>,
    /// It got its OPEN, if it expects one, and no close frame, so it answers pings.
    takes_part: bool,
}

/// A frame of the server as a line of an exchange.
type Said = String;

const MARKER: &str = r#""marker""#;

impl Play {
    /// `random` are placeholders of the example for random values of the server.
    pub(super) fn new(transport: Transport, configure: impl FnOnce(&mut Config), random: &[String]) -> Self {
        let app: Arc<Mutex<Option<String>>> = Arc::default();
        let answer = Arc::clone(&app);
        let builder = PeerBroker::builder().on_app_message(move |_| ready(answer.lock().unwrap().clone()));
        let server = TestServer::start_at(transport, builder, Listen::default(), configure);
        Play { clients: BTreeMap::new(), server, app, words: Words::new(random) }
    }

    /// Plays a line. `next` is the one after it.
    pub(super) fn line(&mut self, line: &str, next: &str, at: &str) {
        if line.is_empty() || line.starts_with('#') {
            return;
        }
        if let Some(time) = line.strip_prefix("time passes ") {
            self.settle();
            let seconds = time.strip_suffix('s').and_then(|seconds| seconds.parse().ok());
            return self
                .server
                .advance(Duration::from_secs(seconds.unwrap_or_else(|| panic!("{at}: {line}"))));
        }
        if let Some(answer) = line.strip_prefix("the app answers ") {
            *self.app.lock().unwrap() = Some(answer.to_owned());
            return;
        }
        if let Some(sent) = line.strip_prefix("the app sends ") {
            let split = |text| str::split_once(text, ' ').unwrap_or_else(|| panic!("{at}: {line}"));
            if let Some(to_room) = sent.strip_prefix("room ") {
                let (room, payload) = split(to_room);
                let key = ApiKey::parse("peerjs").unwrap();
                assert_eq!(self.server.node().send_to_room(&key, room, payload), 1, "{at}");
                return;
            }
            let (id, payload) = split(sent);
            let tenant = self.server.node().tenant("peerjs").unwrap();
            let text = format!(r#"{{"type":"SERVER-MESSAGE","payload":{payload}}}"#);
            assert!(tenant.send(&PeerId::parse(id).unwrap(), &text), "{at}");
            return;
        }
        let (name, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{at}: {line}"));
        if rest == "connects" {
            let target = format!("/peerjs?key=peerjs&id={name}&token=secret-of-{name}");
            return self.connect(name, Some(name), &target);
        }
        if let Some(query) = rest.strip_prefix("connects with ") {
            let id = query.split('&').find_map(|pair| pair.strip_prefix("id="));
            return self.connect(name, Some(id.unwrap_or_default()), &format!("/peerjs?{query}"));
        }
        if let Some(target) = rest.strip_prefix("connects at ") {
            return self.connect(name, None, target);
        }
        let actor = self.clients.get_mut(name).unwrap_or_else(|| panic!("{at}: who is {name}?"));
        match rest.split_once(' ') {
            Some(("<", wanted)) => {
                let said = actor.inbox.pop_front().unwrap_or_else(|| actor.next(at));
                assert_eq!(said, self.words.hear(wanted, &said), "{at}");
                actor.heard(wanted);
            }
            Some((">", says)) => {
                actor.say(&self.words.fill(says));
                // A client whose message has another one pinged waits for its pong.
                if !next.ends_with(" < ping") {
                    actor.sync(at);
                }
            }
            Some(("falls", "silent")) => actor.takes_part = false,
            Some(("breaks", "off")) => {
                let guests = self.server.guests().len();
                let Actor { id, client, .. } = self.clients.remove(name).unwrap();
                drop(client);
                match id {
                    Some(id) => self.server.wait_until_gone(&id),
                    None => self.server.wait_for_guests(guests - 1),
                }
            }
            _ => panic!("{at}: {line}"),
        }
    }

    fn connect(&mut self, name: &str, id: Option<&str>, target: &str) {
        let client = self.server.begin_at(target);
        let takes_part = id.is_none();
        let id = id.map(str::to_owned);
        let actor = Actor { id, client, accepted: false, inbox: VecDeque::new(), takes_part };
        self.clients.insert(name.to_owned(), actor);
    }

    /// Waits until every worker has finished its earlier work. A session notes a sign of life only
    /// after it has answered, and that must not happen at a later time of the clock. The two workers
    /// get connections in turn, and a worker does one thing at a time.
    fn settle(&self) {
        for _ in 0..4 {
            assert_eq!(self.server.get("/healthz").status, 200);
        }
    }

    /// Checks that the server sent only frames of the example. Twice, because the last message of one
    /// client may go to another that was checked before.
    pub(super) fn finish(mut self, at: &str) {
        for _ in 0..2 {
            for (name, actor) in &mut self.clients {
                actor.sync(at);
                assert!(actor.inbox.is_empty(), "{at}: {name} was also sent {:?}", actor.inbox);
            }
        }
    }
}

impl Actor {
    fn say(&mut self, says: &str) {
        let (word, rest) = says.split_once(' ').unwrap_or((says, ""));
        match word {
            "ping" => self.client.ping(rest.as_bytes()),
            "pong" => self.client.pong(rest.as_bytes()),
            "bytes" => self.client.send_raw(frame(FIN | opcode::BINARY, rest.as_bytes())),
            "close" => {
                self.client.close(rest.parse().ok());
                self.takes_part = false;
            }
            _ => self.client.send(says),
        }
    }

    fn heard(&mut self, wanted: &str) {
        match wanted.split(' ').next() {
            Some(r#"{"type":"OPEN"}"#) => self.takes_part = true,
            Some("close") => {
                self.takes_part = false;
                self.client.close(None);
            }
            _ => {}
        }
    }

    /// Waits until the server has handled all messages of this client: a message to itself comes back,
    /// or a pong.
    fn sync(&mut self, at: &str) {
        if !self.takes_part {
            return;
        }
        let comes_back = match &self.id {
            Some(id) => {
                let id = serde_json::Value::from(id.as_str());
                self.client.send(format!(r#"{{"type":"CANDIDATE","dst":{id},"payload":{MARKER}}}"#));
                format!(r#","payload":{MARKER}}}"#)
            }
            None => {
                self.client.ping(MARKER.as_bytes());
                format!("pong {MARKER}")
            }
        };
        loop {
            let said = self.next(at);
            if said.ends_with(&comes_back) {
                return;
            }
            let is_last = said.starts_with("close") || said == "end";
            self.inbox.push_back(said);
            if is_last {
                self.takes_part = false;
                return;
            }
        }
    }

    fn next(&mut self, at: &str) -> Said {
        self.client.name = format!("{at}: {:?}", self.id);
        if !self.accepted {
            self.client.expect_accepted();
            self.accepted = true;
        }
        self.client.next_frame(at).map_or_else(|| "end".to_owned(), |frame| said(&frame))
    }
}

fn said(frame: &Frame) -> Said {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (word, rest) = match (frame.opcode(), &frame.payload[..]) {
        (opcode::TEXT, payload) => return text(payload),
        (opcode::BINARY, payload) => ("bytes", text(payload)),
        (opcode::PING, payload) => ("ping", text(payload)),
        (opcode::PONG, payload) => ("pong", text(payload)),
        (opcode::CLOSE, []) => ("close", String::new()),
        (opcode::CLOSE, [high, low, reason @ ..]) => {
            ("close", format!("{} {}", u16::from_be_bytes([*high, *low]), text(reason)))
        }
        other => panic!("not a frame of this server: {other:?}"),
    };
    format!("{word} {rest}").trim_end().to_owned()
}
