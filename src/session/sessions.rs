use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::Guard;

use super::admission::{Rejection, Source};
use crate::broker::Peer;
use crate::config::Config;
use crate::dialect::peerjs::Kind;
use crate::events::{Counters, Event, Events, Refused};
use crate::limits::{ConnectionPermit, GuessLimiter, Quota};
use crate::node::{ActiveKeys, MediaMessage, Node, Relayed};
use crate::wire::{Limit, PeerId};

/// The dependencies of all sessions, and their number.
pub(crate) struct Sessions {
    pub(super) node: Arc<Node>,
    pub(super) keys: Arc<ActiveKeys>,
    pub(super) wrong_codes: GuessLimiter,
    on_message: Vec<OnMessage>,
    /// Bytes of unfinished messages.
    unfinished: Arc<Quota>,
    open: AtomicUsize,
}

/// A WebSocket or stream that is served, registered or not.
pub(super) struct OpenSession {
    sessions: Arc<Sessions>,
    _permit: Option<ConnectionPermit>,
}

/// A peer, as hooks see it.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The key of its realm.
    pub key: &'a str,
    /// Its id.
    pub id: &'a PeerId,
}

/// A message that is relayed, as hooks see it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Its type.
    pub kind: Kind,
    /// The id of the recipient.
    pub dst: &'a str,
    /// Its payload, as the sender's JSON text.
    pub payload: Option<&'a str>,
}

/// Called by the sender's own session with no lock held. Waiting in it delays the other sessions of that worker; in a cluster,
/// for a message that a client has posted on another node, everything that comes from other nodes.
pub(crate) type OnMessage = Box<dyn Fn(Client<'_>, Message<'_>) + Send + Sync>;

impl Sessions {
    pub(crate) fn new(node: Arc<Node>, keys: Arc<ActiveKeys>, on_message: Vec<OnMessage>) -> Arc<Self> {
        let unfinished = Quota::of_unfinished(node.config().clone());
        let (wrong_codes, open) = (GuessLimiter::new(Limit::WrongRoomCodes), AtomicUsize::new(0));
        Arc::new(Sessions { node, keys, wrong_codes, on_message, unfinished, open })
    }

    /// How many WebSockets and streams are served, including those that are closing.
    pub(crate) fn len(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// The quota of bytes for the unfinished messages of all sessions.
    pub(crate) fn unfinished(&self) -> &Arc<Quota> {
        &self.unfinished
    }

    /// Forgets addresses whose rate limit is back to its full burst.
    pub(crate) fn sweep(&self, now: u64) {
        self.wrong_codes.sweep(now);
    }

    /// Counts a WebSocket, or a stream, for as long as it is served.
    pub(super) fn open(self: &Arc<Self>, permit: Option<ConnectionPermit>) -> OpenSession {
        self.open.fetch_add(1, Ordering::SeqCst);
        OpenSession { sessions: Arc::clone(self), _permit: permit }
    }

    pub(super) fn config(&self) -> Guard<Arc<Config>> {
        self.node.config().load()
    }

    pub(super) fn events(&self) -> &Events {
        self.node.events()
    }

    pub(super) fn counters(&self) -> &Counters {
        self.node.counters()
    }

    /// Tells the hooks of a message before it is delivered.
    pub(super) fn note_message(&self, client: Client<'_>, message: Message<'_>) {
        self.on_message.iter().for_each(|hook| hook(client, message));
    }

    /// A message as its recipient may have it, where the key has its calls relayed.
    pub(super) fn relayed<'a>(
        &self,
        from: &Peer,
        to: &str,
        message: impl FnOnce() -> MediaMessage<'a>,
        text: &str,
    ) -> Relayed {
        // The rest costs time, and most servers have no relay.
        let active = self.node.relay().and_then(|_| self.keys.get(from.key()));
        let Some(active) = active else { return Relayed::AsItIs };
        self.node.relayed(from, to, message(), active.key.settings.relay, text)
    }

    /// Counts a client that gets no id, and tells of it.
    pub(super) fn refuse(&self, Rejection { reason, key, id }: Rejection, source: &Source) {
        self.events().counters().refused(reason);
        self.events().emit(|| {
            let Source { origin, address } = source.clone();
            Event::Refused(Box::new(Refused { reason, key, id, origin, address }))
        });
    }

    /// Milliseconds by the broker's clock.
    pub(super) fn now(&self) -> u64 {
        self.node.clock().now()
    }

    /// Waits, by the broker's clock, from the first poll on.
    pub(crate) fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + use<> {
        self.node.clock().sleep(duration)
    }
}

impl Deref for OpenSession {
    type Target = Sessions;

    fn deref(&self) -> &Sessions {
        &self.sessions
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.sessions.open.fetch_sub(1, Ordering::SeqCst);
    }
}
