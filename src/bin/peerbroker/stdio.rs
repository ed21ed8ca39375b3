//! `--stdio`: one JSON object on each line, commands on stdin and events on stdout. For clients of the built-in key that speak PeerJS.

use std::io::{self, BufRead as _, Read as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use peerbroker::PeerBroker;
use peerbroker::events::{Event, Notice, PeerAddress};
use peerbroker::router::Holder;
use peerbroker::wire::{CloseReason, ConnId, PeerId, RealmKind};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::cli::{Failure, failed};
use crate::console::write_out;

/// Longest command: the parent is trusted, but memory must not follow a text that never ends.
const MAX_COMMAND: u64 = 64 << 20;

/// Bytes of texts of clients that wait until the parent reads them. Further ones are lost to it.
const MAX_WAITING: usize = 16 << 20;

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Command {
    Send { id: String, text: String },
    Close { id: String, connection: u64 },
    Texts { wanted: Wanted },
}

/// The texts of clients that the parent wants to see.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    All,
    /// Those that are no JSON objects.
    Broken,
    None,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Started {
        address: SocketAddr,
    },
    Connected(Client<'a>),
    Disconnected {
        id: &'a str,
        connection: u64,
    },
    Text {
        id: &'a str,
        connection: u64,
        text: &'a str,
    },
    /// From now on, the parent sees the texts that it wants.
    Wanted,
    /// All clients, after events were lost.
    Clients {
        clients: Vec<Client<'a>>,
    },
}

#[derive(Serialize)]
struct Client<'a> {
    id: &'a str,
    token: &'a str,
    connection: u64,
}

/// The parent's ends of stdin and stdout, before the broker is built.
pub struct Parent {
    key: String,
    /// A [`Wanted`].
    wanted: Arc<AtomicU8>,
    waiting: Arc<AtomicUsize>,
    text: Sender<String>,
    texts: Receiver<String>,
}

impl Parent {
    pub fn new(key: &str) -> Self {
        let (text, texts) = channel();
        let wanted = Arc::new(AtomicU8::new(Wanted::None as u8));
        Parent { key: key.to_owned(), wanted, waiting: Arc::default(), text, texts }
    }

    /// Puts the texts that the parent wants where a thread prints them, because a hook must not wait for stdout.
    pub fn on_text(&self) -> impl Fn(peerbroker::Client<'_>, ConnId, &str) + Send + Sync + use<> {
        let (key, wanted) = (self.key.clone(), Arc::clone(&self.wanted));
        let (waiting, sender) = (Arc::clone(&self.waiting), self.text.clone());
        move |client, connection, text| {
            let wanted = wanted.load(Ordering::Relaxed);
            let is_wanted = wanted == Wanted::All as u8 || wanted == Wanted::Broken as u8 && !is_object(text);
            if !is_wanted || client.key != key {
                return;
            }
            let line = line(&Line::Text { id: client.id.as_str(), connection: connection.get(), text });
            if waiting.fetch_add(line.len(), Ordering::Relaxed) > MAX_WAITING {
                waiting.fetch_sub(line.len(), Ordering::Relaxed);
                log::warn!("stdout was read too slowly: a message of {:?} is lost to its reader", client.id);
            } else {
                // An error means that the program ends.
                let _ = sender.send(line);
            }
        }
    }

    /// Tells the parent of clients, and obeys it from now on. Ready when stdin has ended.
    pub fn follow(self, broker: &PeerBroker) -> Result<oneshot::Receiver<()>, Failure> {
        let Parent { key, wanted, waiting, texts, .. } = self;
        let cannot_start = |error| failed(format!("cannot start a thread for stdin or stdout: {error}"));
        let (told, of) = (broker.clone(), key.clone());
        broker
            .events()
            .follow("stdio", move |notices| notices.iter().for_each(|notice| tell(&told, &of, notice)))
            .map_err(cannot_start)?;
        let print_texts = move || {
            for line in &texts {
                write_out(&line);
                waiting.fetch_sub(line.len(), Ordering::Relaxed);
            }
        };
        broker.keep_thread("texts", print_texts).map_err(cannot_start)?;
        let (end, ended) = oneshot::channel();
        let (obeyed, mut end) = (broker.clone(), Some(end));
        let obey = move || {
            obey(&obeyed, &key, &wanted);
            drop(end.take());
        };
        broker.keep_thread("stdin", obey).map_err(cannot_start)?;
        Ok(ended)
    }
}

fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn tell(broker: &PeerBroker, key: &str, notice: &Notice) {
    let Notice::Event(event) = notice else { return tell_all(broker, key) };
    let is_ours = |peer: &PeerAddress| peer.key.as_str() == key && peer.realm == RealmKind::PeerJs;
    match &**event {
        Event::Started { address, .. } => write_out(&line(&Line::Started { address: *address })),
        Event::PeerConnected(new) if is_ours(&new.peer) => {
            let (id, token, connection) = (new.peer.id.as_str(), new.token.as_str(), new.connection.get());
            write_out(&line(&Line::Connected(Client { id, token, connection })));
        }
        // A replaced client is connected still.
        Event::PeerDisconnected(gone) if is_ours(&gone.peer) && gone.reason != CloseReason::Replaced => {
            let (id, connection) = (gone.peer.id.as_str(), gone.connection.get());
            write_out(&line(&Line::Disconnected { id, connection }));
        }
        _ => {}
    }
}

fn tell_all(broker: &PeerBroker, key: &str) {
    let tenant = broker.node().tenant(key);
    let realm = tenant.and_then(|tenant| tenant.existing(RealmKind::PeerJs));
    let holders = realm.map(|realm| realm.holders()).unwrap_or_default();
    let clients = holders.iter().map(|Holder { id, token, connection, .. }| Client {
        id: id.as_str(),
        token: token.as_str(),
        connection: connection.get(),
    });
    write_out(&line(&Line::Clients { clients: clients.collect() }));
}

/// Obeys commands until stdin ends.
fn obey(broker: &PeerBroker, key: &str, wanted: &AtomicU8) {
    let (mut stdin, mut line) = (io::stdin().lock(), Vec::new());
    while let Ok(1..) = (&mut stdin).take(MAX_COMMAND).read_until(b'\n', &mut line) {
        match serde_json::from_slice(&line) {
            Ok(Command::Texts { wanted: now }) => {
                wanted.store(now as u8, Ordering::Relaxed);
                write_out(&self::line(&Line::Wanted));
            }
            Ok(Command::Send { id, text }) => {
                if let (Some(tenant), Ok(id)) = (broker.node().tenant(key), PeerId::parse(&id)) {
                    tenant.send(&id, &text);
                }
            }
            Ok(Command::Close { id, connection }) => close(broker, key, &id, connection),
            Err(error) => log::error!("a command on stdin is not understood: {error}"),
        }
        line.clear();
    }
}

/// Closes a connection, but not its successor.
fn close(broker: &PeerBroker, key: &str, id: &str, connection: u64) {
    let tenant = broker.node().tenant(key);
    let Some(realm) = tenant.and_then(|tenant| tenant.existing(RealmKind::PeerJs)) else { return };
    if realm.present(id).is_some_and(|holder| holder.connection.get() == connection) {
        realm.dismiss_id(id, CloseReason::Kicked);
    }
}

fn line(line: &Line<'_>) -> String {
    serde_json::to_string(line).unwrap_or_default() + "\n"
}
