//! `--stdio`: one JSON object on each line, commands on stdin and events on stdout. For clients of the
//! built-in key that speak PeerJS.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, Read as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::{Condvar, Mutex};
use peerbroker::PeerBroker;
use peerbroker_core::vocabulary::{ConnId, RealmKind, expected};
use peerbroker_events::{Event, PeerAddress};
use peerbroker_router::Holder;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::console::write_out;
use crate::failure::{Failure, failed};

/// Longest command: the parent is trusted, but memory must not follow a text that never ends.
const MAX_COMMAND: u64 = 64 << 20;

/// Bytes of lines that wait until the parent reads them. Further ones are lost to it.
const MAX_WAITING: usize = 16 << 20;

/// The part of them that texts of clients leave free, so that clients still come and go.
const MAX_TEXTS: usize = MAX_WAITING - (1 << 20);

/// After a loss, texts are lost until fewer bytes wait: the parent misses one long piece instead of many
/// short ones.
const MOST_AFTER_LOSS: usize = MAX_WAITING / 2;

/// Bytes that are printed at once.
const MAX_PRINTED: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum StdioCommand {
    Send { id: String, connection: u64, text: String },
    Close { id: String, connection: u64 },
    Texts { wanted: TextFilter },
    // Answered behind all that has happened until now.
    Sync { number: u64 },
}

/// The texts of clients that the parent wants to see.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum TextFilter {
    All,
    /// Texts that are no JSON objects.
    Broken,
    None,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Started { address: SocketAddr },
    Connected(Client<'a>),
    Disconnected { id: &'a str, connection: u64 },
    Text { id: &'a str, connection: u64, text: &'a str },
    // From now on, the parent sees the texts that it wants.
    Wanted,
    // The parent has read all that happened before it asked.
    Synced { number: u64 },
    // All clients, after texts and events were lost. Those that follow may be part of it already.
    Clients { clients: Vec<Client<'a>>, lost_texts: u64, lost_events: u64 },
}

#[derive(Serialize)]
struct Client<'a> {
    id: &'a str,
    token: &'a str,
    connection: u64,
}

/// Lines that the parent has not read yet, in the order in which they happened.
#[derive(Default)]
struct Pipe {
    waiting: Mutex<WaitingLines>,
    changed: Condvar,
}

#[derive(Default)]
struct WaitingLines {
    /// A loss is printed with a list of all clients at that moment.
    lines: VecDeque<Result<String, Lost>>,
    /// Bytes of these lines, and of those that are being printed.
    bytes: usize,
    lost: Lost,
}

/// The numbers of texts and of events that were lost to the parent.
type Lost = (u64, u64);

impl Pipe {
    /// An answer to the parent, which it waits for.
    fn answer(&self, answer: &Line<'_>) {
        self.push(&mut self.waiting.lock(), line(answer));
    }

    /// A client comes or goes.
    fn event(&self, event: &Line<'_>) {
        let line = line(event);
        let mut waiting = self.waiting.lock();
        if waiting.bytes + line.len() > MAX_WAITING {
            waiting.lost.1 += 1;
        } else {
            self.push(&mut waiting, line);
        }
    }

    /// A text of a client.
    fn text(&self, text: &Line<'_>) {
        let line = line(text);
        let mut waiting = self.waiting.lock();
        if waiting.lost != (0, 0) || waiting.bytes + line.len() > MAX_TEXTS {
            waiting.lost.0 += 1;
        } else {
            self.push(&mut waiting, line);
        }
    }

    fn push(&self, waiting: &mut WaitingLines, line: String) {
        waiting.bytes += line.len();
        waiting.lines.push_back(Ok(line));
        self.changed.notify_one();
    }

    /// Waits for lines, and takes some of them. If all clients follow, it also returns the losses.
    fn take(&self) -> (String, Option<Lost>) {
        let mut waiting = self.waiting.lock();
        self.changed.wait_while(&mut waiting, |waiting| waiting.lines.is_empty());
        let mut taken = String::new();
        while taken.len() < MAX_PRINTED {
            match waiting.lines.pop_front() {
                Some(Ok(line)) => taken.push_str(&line),
                Some(Err(lost)) => return (taken, Some(lost)),
                None => break,
            }
        }
        (taken, None)
    }

    /// The parent has read them, or the kernel has.
    fn printed(&self, bytes: usize) {
        let mut waiting = self.waiting.lock();
        waiting.bytes -= bytes;
        if waiting.lost != (0, 0) && waiting.bytes <= MOST_AFTER_LOSS {
            let lost = std::mem::take(&mut waiting.lost);
            waiting.lines.push_back(Err(lost));
        }
    }
}

/// The parent's ends of stdin and stdout, before the broker is built.
pub struct Parent {
    key: String,
    /// A [`TextFilter`].
    wanted: Arc<AtomicU8>,
    pipe: Arc<Pipe>,
}

impl Parent {
    pub fn new(key: &str) -> Self {
        let wanted = Arc::new(AtomicU8::new(TextFilter::None as u8));
        Parent { key: key.to_owned(), wanted, pipe: Arc::default() }
    }

    /// Puts the texts that the parent wants where a thread prints them, because a hook must not wait for
    /// stdout.
    pub fn on_text(&self) -> impl Fn(peerbroker::Client<'_>, ConnId, &str) + Send + Sync + use<> {
        let key = self.key.clone();
        let wanted = Arc::clone(&self.wanted);
        let pipe = Arc::clone(&self.pipe);
        move |client, connection, text| {
            let wanted = wanted.load(Ordering::Relaxed);
            let is_wanted =
                wanted == TextFilter::All as u8 || wanted == TextFilter::Broken as u8 && !is_object(text);
            if is_wanted && client.key == key {
                pipe.text(&Line::Text { id: client.id.as_str(), connection: connection.get(), text });
            }
        }
    }

    /// Tells the parent of clients, and handles its commands from now on. Ready when stdin has ended.
    pub fn follow(self, broker: &PeerBroker) -> Result<oneshot::Receiver<()>, Failure> {
        let Parent { key, wanted, pipe } = self;
        let cannot_start = |error| failed(format!("cannot start a thread for stdin or stdout: {error}"));
        let told = Arc::clone(&pipe);
        let of = key.clone();
        // Texts and events of a client happen on its own thread, so the pipe has them in their order.
        broker.events().witness(move |event| write_event(&told, &of, event));
        let printed = Arc::clone(&pipe);
        let asked = broker.clone();
        let of = key.clone();
        broker.keep_thread("stdout", move || print(&printed, &asked, &of)).map_err(cannot_start)?;
        let (end, ended) = oneshot::channel();
        let commanded = broker.clone();
        let mut end = Some(end);
        let handle = move || {
            handle_commands(&commanded, &key, &wanted, &pipe);
            drop(end.take());
        };
        broker.keep_thread("stdin", handle).map_err(cannot_start)?;
        Ok(ended)
    }
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn write_event(pipe: &Pipe, key: &str, event: &Event) {
    let is_ours = |peer: &PeerAddress| peer.key.as_str() == key && peer.realm == RealmKind::PeerJs;
    match event {
        Event::Started { address, .. } => pipe.answer(&Line::Started { address: *address }),
        Event::PeerConnected(new) if is_ours(&new.peer) => {
            let id = new.peer.id.as_str();
            let token = new.token.as_str();
            let connection = new.connection.get();
            pipe.event(&Line::Connected(Client { id, token, connection }));
        }
        Event::PeerDisconnected(gone) if is_ours(&gone.peer) => {
            let id = gone.peer.id.as_str();
            let connection = gone.connection.get();
            pipe.event(&Line::Disconnected { id, connection });
        }
        _ => {}
    }
}

fn print(pipe: &Pipe, broker: &PeerBroker, key: &str) {
    loop {
        let (lines, lost) = pipe.take();
        if !lines.is_empty() {
            write_out(&lines);
        }
        if let Some((lost_texts, lost_events)) = lost {
            log::warn!(
                "stdout was read too slowly: {lost_texts} messages of clients and {lost_events} events are lost to its reader"
            );
            write_out(&all_clients(broker, key, lost_texts, lost_events));
        }
        pipe.printed(lines.len());
    }
}

fn all_clients(broker: &PeerBroker, key: &str, lost_texts: u64, lost_events: u64) -> String {
    let tenant = broker.node().tenant(key);
    let realm = tenant.and_then(|tenant| tenant.existing(RealmKind::PeerJs));
    let holders = realm.map(|realm| realm.holders()).unwrap_or_default();
    let clients = holders.iter().map(|Holder { id, token, connection, .. }| Client {
        id: id.as_str(),
        token: token.as_str(),
        connection: connection.get(),
    });
    line(&Line::Clients { clients: clients.collect(), lost_texts, lost_events })
}

/// Obeys commands until stdin ends.
fn handle_commands(broker: &PeerBroker, key: &str, wanted: &AtomicU8, pipe: &Pipe) {
    let mut stdin = io::stdin().lock();
    let mut line = Vec::new();
    while let Ok(1..) = (&mut stdin).take(MAX_COMMAND).read_until(b'\n', &mut line) {
        match (serde_json::from_slice(&line), broker.node().tenant(key)) {
            (Ok(StdioCommand::Texts { wanted: now }), _) => {
                wanted.store(now as u8, Ordering::Relaxed);
                pipe.answer(&Line::Wanted);
            }
            (Ok(StdioCommand::Sync { number }), _) => pipe.answer(&Line::Synced { number }),
            (Ok(StdioCommand::Send { id, connection, text }), Some(tenant)) => {
                tenant.send_to_connection(&id, connection, &text);
            }
            (Ok(StdioCommand::Close { id, connection }), Some(tenant)) => {
                tenant.kick_connection(&id, connection);
            }
            (Ok(_), None) => {}
            (Err(error), _) => log::error!("a command on stdin is not understood: {error}"),
        }
        line.clear();
    }
}

fn line(line: &Line<'_>) -> String {
    expected(serde_json::to_string(line), "a line of stdout") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of lines until all clients are told, and the losses that are told with them.
    fn read(pipe: &Pipe) -> (usize, Lost) {
        let mut lines = 0;
        loop {
            let (taken, lost) = pipe.take();
            lines += taken.lines().count();
            pipe.printed(taken.len());
            if let Some(lost) = lost {
                return (lines, lost);
            }
        }
    }

    #[test]
    fn events_fit_behind_texts_until_the_pipe_is_full() {
        let pipe = Pipe::default();
        let id = "i";
        let text = "x".repeat(1 << 20);
        for connection in 0..20 {
            pipe.text(&Line::Text { id, connection, text: &text });
        }
        let event = Line::Disconnected { id: &"i".repeat(1000), connection: 1 };
        for _ in 0..3000 {
            pipe.event(&event);
        }
        pipe.answer(&Line::Wanted);
        let events = pipe.waiting.lock().lines.len() - 14 - 1;
        assert!(pipe.waiting.lock().bytes <= MAX_WAITING + 100);
        // After a loss, texts are lost until half is read.
        (0..3).for_each(|_| pipe.printed(pipe.take().0.len()));
        pipe.text(&Line::Text { id, connection: 20, text: &text });
        assert_eq!(read(&pipe), (11 + events + 1, (7, 3000 - events as u64)));
        // Nothing more is lost now.
        pipe.event(&event);
        pipe.text(&Line::Text { id, connection: 1, text: "x" });
        assert_eq!(pipe.take().0.lines().count(), 2);
    }
}
