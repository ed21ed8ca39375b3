//! Messages of clients to the app's server, which is a hook of an embedding program or a webhook.
//!
//! The app gets the messages of one client one after another, so they keep their order. Those of other
//! clients do not wait for them. No message is repeated: its client hears of a failure, and knows best if it
//! should.
//!
//! A client or a key with few messages always finds a place: where there is none, the one with the most gives
//! up its latest message.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use serde::de::IgnoredAny;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinSet, spawn_local};

use peerbroker_core::clock::{Clock, Instant};
use peerbroker_core::vocabulary::{AddressPrefix, ApiKey, AppRefusal, Frame};
use peerbroker_events::{Events, PeerAddress};
use peerbroker_protocols::peerjs::{self, app};
use peerbroker_router::PeerHandle;
use peerbroker_webhooks::{Answering, AppMessage, AskApp};

/// Most bytes of a payload.
const MAX_PAYLOAD_BYTES: usize = 64 << 10;

/// Most messages of one client that wait for their turn or for the answer.
const MAX_OF_CLIENT: usize = 16;

/// Most waiting messages of all clients of a key.
const MAX_OF_KEY: usize = 64;

/// Most waiting messages of the clients of an address with one key, loopback aside.
const MAX_OF_ADDRESS: usize = MAX_OF_KEY / 2;

/// Most waiting messages of all keys: as many requests run at once.
const MAX_TOTAL: usize = 512;

/// Time limit for the answer. It includes the time for which a message waits for the earlier ones of its
/// client.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Interval at which failures are logged.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Messages that wait for the app. Their thread starts with the first one, and ends when this is dropped.
pub(super) struct AppMessages {
    ask: AskApp,
    shared: Arc<Shared>,
    events: Events,
    /// The first message of each client that has none.
    begun: OnceLock<UnboundedSender<WaitingRequest>>,
}

struct Shared {
    clock: Clock,
    inbox: Mutex<Inbox>,
    /// The time from which the next failure is logged.
    next_log: Mutex<Instant>,
}

/// The clients that have a message with the app.
#[derive(Default)]
struct Inbox(HashMap<PeerAddress, Client>);

struct Client {
    /// `None` for loopback.
    address: Option<AddressPrefix>,
    /// The messages behind the one with the app.
    behind: VecDeque<WaitingRequest>,
}

impl Client {
    fn messages(&self) -> usize {
        self.behind.len() + 1
    }
}

struct WaitingRequest {
    peer: PeerHandle,
    request: Option<String>,
    /// The time at which its client is told that there is no answer.
    until: Instant,
    /// Not polled before its turn.
    answering: Answering,
}

impl AppMessages {
    pub(super) fn new(ask: AskApp, clock: Clock, events: Events) -> Self {
        let shared = Shared { clock, inbox: Mutex::default(), next_log: Mutex::default() };
        AppMessages { ask, shared: Arc::new(shared), events, begun: OnceLock::new() }
    }

    /// Takes a message. The client gets the answer, or hears that there is none, if it is still connected.
    pub(super) fn take(
        &self,
        peer: &PeerHandle,
        payload: Option<&str>,
        request: Option<&str>,
    ) -> Result<(), AppRefusal> {
        if payload.is_some_and(|payload| payload.len() > MAX_PAYLOAD_BYTES) {
            return Err(AppRefusal::TooLong);
        }
        let request = request.map(str::to_owned);
        let answering = (self.ask)(AppMessage {
            key: peer.realm().key().clone(),
            id: peer.id().clone(),
            connection: peer.connection(),
            payload: payload.map(str::to_owned),
            request: request.clone(),
        });
        let answering = answering.ok_or(AppRefusal::Off)?;
        let until = self.shared.clock.now() + TIMEOUT;
        let waiting = WaitingRequest { peer: peer.clone(), request, until, answering };
        let Added { first, evicted } = self.shared.inbox.lock().add(waiting)?;
        if let Some(WaitingRequest { peer, request, .. }) = evicted {
            let refusal = AppRefusal::TooMany;
            self.events.limit_hit(refusal.ending().limit, Some(peer.realm().key()), peer.address());
            reply(&peer, app::refused(request.as_deref(), refusal));
        }
        match first.map(|first| self.begun().send(first)) {
            // The thread could not be started.
            Some(Err(SendError(first))) => {
                self.shared.inbox.lock().settle(&address(&first.peer));
                Err(AppRefusal::NoAnswer)
            }
            _ => Ok(()),
        }
    }

    fn begun(&self) -> &UnboundedSender<WaitingRequest> {
        self.begun.get_or_init(|| {
            let (sender, begun) = unbounded_channel();
            let shared = Arc::clone(&self.shared);
            if let Err(error) = self.events.threads().once_async("app-messages", move || run(shared, begun)) {
                log::error!("cannot start the thread of messages to the app, so it gets none: {error}");
            }
            sender
        })
    }
}

/// Serves each client by itself.
async fn run(shared: Arc<Shared>, mut begun: UnboundedReceiver<WaitingRequest>) {
    while let Some(first) = begun.recv().await {
        spawn_local(serve(Arc::clone(&shared), first));
    }
}

/// Hands the messages of one client over until none is left.
async fn serve(shared: Arc<Shared>, first: WaitingRequest) {
    let mut next = Some(first);
    while let Some(WaitingRequest { peer, request, until, answering }) = next {
        let answer = shared.answer(answering, until).await.and_then(|answer| match answer {
            Some(text) if request.is_some() => check(text).map(Some),
            _ => Ok(None),
        });
        let frame = match answer {
            Ok(answer) => request.map(|request| app::answer(&request, answer.as_deref())),
            Err(why) => {
                shared.log(peer.key(), &why);
                Some(app::refused(request.as_deref(), AppRefusal::NoAnswer))
            }
        };
        // Before the client hears of it, and sends the next one.
        next = shared.inbox.lock().settle(&address(&peer));
        // Only this connection gets it, because the next one with this id may be another client's.
        if let Some(frame) = frame {
            reply(&peer, frame);
        }
    }
}

/// Answers a client, outside of its session.
fn reply(peer: &PeerHandle, frame: Frame) {
    if let Some(flush) = peer.reply(frame) {
        flush.flush();
    }
}

/// Checks the answer of an app.
fn check(text: String) -> Result<String, String> {
    match serde_json::from_str::<IgnoredAny>(&text) {
        Err(error) => Err(format!("the answer is not JSON: {error}")),
        // PeerJS would keep it for that connection.
        Ok(_) if peerjs::connection(&text).is_some() => {
            Err("the answer must not have a member connectionId".to_owned())
        }
        Ok(_) => Ok(text),
    }
}

impl Shared {
    async fn answer(&self, answering: Answering, until: Instant) -> Result<Option<String>, String> {
        let late = || Err(format!("no answer within {} seconds", TIMEOUT.as_secs()));
        if self.clock.now() >= until {
            return late();
        }
        // A task of its own, because a hook may panic. It ends with the set.
        let mut task = JoinSet::new();
        task.spawn(answering);
        tokio::select! {
            Some(answered) = task.join_next() => answered.unwrap_or_else(|error| Err(error.to_string())),
            () = self.clock.sleep_until(until) => late(),
        }
    }

    fn log(&self, key: &str, why: &str) {
        let mut next_log = self.next_log.lock();
        let now = self.clock.now();
        let level = if now < *next_log { log::Level::Debug } else { log::Level::Warn };
        if level == log::Level::Warn {
            *next_log = now + LOG_INTERVAL;
        }
        log::log!(level, "the app did not answer a client of the key {key:?}: {why}");
    }
}

/// The outcome of adding a message.
#[derive(Default)]
struct Added {
    /// The message, if it can be handed over at once.
    first: Option<WaitingRequest>,
    /// The message of another client that has given way.
    evicted: Option<WaitingRequest>,
}

impl Inbox {
    /// Adds a message. If there is no place, a client with more of them loses its latest one.
    fn add(&mut self, waiting: WaitingRequest) -> Result<Added, AppRefusal> {
        let client = address(&waiting.peer);
        let remote = AddressPrefix::of_remote(waiting.peer.address());
        let (mut of_keys, mut of_address): (BTreeMap<&ApiKey, usize>, usize) = Default::default();
        for (name, other) in &self.0 {
            *of_keys.entry(&name.key).or_default() += other.messages();
            if remote.is_some() && other.address == remote && name.key == client.key {
                of_address += other.messages();
            }
        }
        let of_client = self.0.get(&client).map_or(0, Client::messages);
        let of_key = of_keys.get(&client.key).copied().unwrap_or_default();
        if of_client >= MAX_OF_CLIENT || of_address >= MAX_OF_ADDRESS {
            return Err(AppRefusal::TooMany);
        }
        // Of a key, the client that has more than this gives way.
        let crowded = if of_key >= MAX_OF_KEY {
            Some((client.key.clone(), of_client + 1))
        } else if of_keys.values().sum::<usize>() >= MAX_TOTAL {
            let (heaviest, messages) = of_keys.iter().max_by_key(|(_, messages)| **messages).unzip();
            let is_own = heaviest == Some(&&client.key);
            let has_more = is_own || messages.is_some_and(|messages| *messages > of_key + 1);
            let heaviest = heaviest.filter(|_| has_more).ok_or(AppRefusal::TooMany)?;
            Some(((*heaviest).clone(), if is_own { of_client + 1 } else { 1 }))
        } else {
            None
        };
        let mut added = Added::default();
        if let Some((key, most)) = crowded {
            added.evicted = Some(self.evict(&key, most).ok_or(AppRefusal::TooMany)?);
        }
        if let Some(known) = self.0.get_mut(&client) {
            known.behind.push_back(waiting);
        } else {
            self.0.insert(client, Client { address: remote, behind: VecDeque::new() });
            added.first = Some(waiting);
        }
        Ok(added)
    }

    /// Takes out the latest message of the client of a key with the most, if it has more than so many.
    fn evict(&mut self, key: &ApiKey, most: usize) -> Option<WaitingRequest> {
        let of_key = self.0.iter_mut().filter(|(name, _)| name.key == *key);
        let (_, heaviest) = of_key.max_by_key(|(_, client)| client.messages())?;
        if heaviest.messages() > most { heaviest.behind.pop_back() } else { None }
    }

    /// The app is done with a message of a client. Returns the next one.
    fn settle(&mut self, client: &PeerAddress) -> Option<WaitingRequest> {
        let next = self.0.get_mut(client)?.behind.pop_front();
        if next.is_none() {
            self.0.remove(client);
        }
        next
    }
}

fn address(peer: &PeerHandle) -> PeerAddress {
    peer.realm().address(peer.id())
}
