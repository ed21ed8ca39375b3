//! A PeerJS 0.3.x client without a WebSocket, or before it has one: it receives over an HTTP stream and sends
//! by POST.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::select;

use super::admission::{Admitted, ClientSource, ConnectRequest, Credentials, Rejection, admit};
use super::effects::ClientTurn;
use super::run::run;
use crate::Node;
use crate::descriptions::without_addresses;
use peerbroker_cluster::Posted;
use peerbroker_core::vocabulary::{AddressPrefix, CloseReason, Limit, RealmKind, Refusal};
use peerbroker_events::Count;
use peerbroker_limits::{ConnectionPermit, QuotaShare};
use peerbroker_protocols::client::Protocol as _;
use peerbroker_protocols::key_state::{KeyState, Spent};
use peerbroker_protocols::peerjs::PeerJs;
use peerbroker_router::{Flushes, MESSAGES, PeerHandle, PendingRegistration, PostPermit};
use peerbroker_transport::Socket;
use peerbroker_transport::stream::{StreamBody, StreamSocket, stream};

/// Time for which a stream waits for the WebSocket that its client opens at the same time: only one of the
/// two may get OPEN.
const HEAD_START: Duration = Duration::from_secs(1);

/// Time for which an ended stream counts as open: its client opens the next one.
const GRACE: Duration = Duration::from_secs(5);

/// Delay before another node is sought a second time; then twice as long each time.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Time for which a POST waits for its client's stream or WebSocket.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Most texts of other nodes that wait for the app's hooks.
const MAX_WAITING_FOR_HOOKS: usize = 64;

/// Opens a stream and returns its session. `renewed` means that it continues an earlier stream.
pub async fn open_stream(
    node: &Arc<Node>,
    credentials: Credentials,
    ConnectRequest { source, permit, .. }: ConnectRequest,
    renewed: bool,
) -> Result<(StreamBody, impl Future<Output = ()> + use<>), Refusal> {
    let key = Some(credentials.key.clone());
    let id = Some(credentials.id.clone());
    let admitted = admit(node, credentials, &source).await;
    let admitted = admitted.inspect_err(|&reason| {
        Rejection { reason, key, id, realm: RealmKind::PeerJs }.record(node, &source)
    })?;
    let (socket, body) = stream(node.clock(), GRACE);
    Ok((body, serve(socket, Arc::clone(node), source, permit, admitted, renewed)))
}

async fn serve(
    socket: StreamSocket,
    node: Arc<Node>,
    source: ClientSource,
    permit: Option<ConnectionPermit>,
    admitted: Admitted,
    renewed: bool,
) {
    let admitted = Admitted { begins_anew: !renewed, ..admitted };
    let Admitted { realm, id, token, .. } = &admitted;
    if !(renewed && (realm.is_streamed(id, token) || node.is_elsewhere(&realm.address(id)).await)) {
        PeerHandle::end_stream(realm, id, token);
        let Some(websocket) = PendingRegistration::wait(realm, id, token) else {
            node.counters().add(Count::LimitHits(Limit::WaitingPosts), 1);
            return log::debug!(key = realm.key().as_str(), id = id.as_str(); "too many streams wait for {id:?}");
        };
        select! {
            // The WebSocket gets OPEN, or the refusal.
            _ = websocket => return,
            () = node.clock().sleep(HEAD_START) => {}
        }
        if socket.is_abandoned() {
            return;
        }
    }
    run(socket, &node, source, permit, std::future::ready(Ok((admitted, PeerJs::default())))).await;
}

/// A client that may post a message.
pub struct Sender {
    admitted: Admitted,
    _posting: PostPermit,
}

/// Waits up to `CLIENT_TIMEOUT` until the client is registered. An error is the outcome of a POST that is not
/// read.
pub async fn sender(node: &Node, credentials: Credentials, source: &ClientSource) -> Result<Sender, Posted> {
    let admitted = admit(node, credentials, source).await;
    let admitted = admitted.map_err(|refusal| match refusal {
        Refusal::Unavailable => Posted::Unknown,
        Refusal::Banned => Posted::Banned,
        _ => Posted::Absent,
    })?;
    let too_much = |limit: Limit| {
        node.counters().add(Count::LimitHits(limit), 1);
        Posted::TooMuch
    };
    let here = PendingRegistration::wait(&admitted.realm, &admitted.id, &admitted.token);
    let here = here.ok_or_else(|| too_much(Limit::WaitingPosts))?;
    let is_present = select! {
        biased;
        is_registered = here => is_registered,
        () = until_elsewhere(node, &admitted) => true,
        () = node.clock().sleep(CLIENT_TIMEOUT) => false,
    };
    if !is_present {
        return Err(Posted::Absent);
    }
    let posting = PostPermit::begin(&admitted.realm, &admitted.id);
    let posting = posting.ok_or_else(|| too_much(Limit::PostsPerClient))?;
    match PeerHandle::find(&admitted.realm, &admitted.id, &admitted.token) {
        Some(peer) => wait_for_turn(node, &peer, &admitted.key).await.map_err(too_much)?,
        None if node.membership().is_none() => return Err(Posted::Absent),
        None => {}
    }
    Ok(Sender { admitted, _posting: posting })
}

/// Charges a text that is kept to the quota of unfinished messages. `address` is that of the client, unless
/// another node got the text.
pub fn hold(node: &Node, address: Option<IpAddr>, bytes: usize) -> Result<QuotaShare, Posted> {
    let mut share = node.unfinished.share(AddressPrefix::of_remote(address));
    match share.set(bytes) {
        Ok(()) => Ok(share),
        Err(_) => {
            node.counters().add(Count::LimitHits(Limit::UnfinishedTotalBytes), 1);
            Err(Posted::TooMuch)
        }
    }
}

/// Waits while the client is above a rate. The error is the rate, if that would take too long.
async fn wait_for_turn(node: &Node, peer: &PeerHandle, key: &KeyState) -> Result<(), Limit> {
    let Some(pause) = key.charge(peer, &Spent::default()) else { return Ok(()) };
    if pause.time > CLIENT_TIMEOUT {
        return Err(pause.limit);
    }
    node.clock().sleep(pause.time).await;
    Ok(())
}

/// Waits until another node has the client; without other nodes, for ever.
async fn until_elsewhere(node: &Node, admitted: &Admitted) {
    if node.membership().is_none() {
        return std::future::pending().await;
    }
    let mut delay = FIRST_RETRY_DELAY;
    while !node.is_elsewhere(&admitted.realm.address(&admitted.id)).await {
        node.clock().sleep(delay).await;
        delay *= 2;
    }
}

impl Sender {
    /// Handles the posted message. Looks the client up again: it may have reconnected, or lost its id, while
    /// the body arrived.
    pub async fn post(&self, node: &Node, text: &str) -> Posted {
        select! {
            biased;
            posted = self.post_somewhere(node, text) => posted,
            () = node.clock().sleep(CLIENT_TIMEOUT * 2) => Posted::Absent,
        }
    }

    /// Handles it here, or where the client is.
    async fn post_somewhere(&self, node: &Node, text: &str) -> Posted {
        let Admitted { key, realm, id, token, .. } = &self.admitted;
        let mut delay = FIRST_RETRY_DELAY;
        loop {
            if let Some(peer) = PeerHandle::find(realm, id, token) {
                return handle(node, &peer, key, text);
            }
            let Some(membership) = node.membership() else { return Posted::Absent };
            match membership.post(realm, id, token, text).await {
                // Its client is between two streams.
                Posted::Absent => node.clock().sleep(delay).await,
                posted => return posted,
            }
            delay *= 2;
        }
    }
}

/// Handles texts that clients of this node post on other nodes.
pub fn take_posts_of_others(node: &Arc<Node>) {
    let Some(membership) = node.membership() else { return };
    // Weak, because the membership is a part of the sessions.
    let node = Arc::downgrade(node);
    let hooks = Arc::new(HookThread::default());
    membership.on_post(Box::new(move |peer, text| {
        Box::pin(take(Weak::clone(&node), Arc::clone(&hooks), peer, text))
    }));
}

/// Texts that wait for the app's hooks, which may be slow. Otherwise they would be handled on the thread that
/// renews this node's lease.
#[derive(Default)]
struct HookThread {
    waiting: AtomicUsize,
    /// Lets the hooks have one text at a time, in their order.
    turn: tokio::sync::Mutex<()>,
}

impl HookThread {
    async fn run(&self, work: impl FnOnce() -> Posted + Send + 'static) -> Posted {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING_FOR_HOOKS {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Posted::TooMuch;
        }
        let turn = self.turn.lock().await;
        let done = tokio::task::spawn_blocking(work).await;
        drop(turn);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        // A hook has panicked.
        done.unwrap_or(Posted::Unknown)
    }
}

async fn take(node: Weak<Node>, hooks: Arc<HookThread>, peer: PeerHandle, text: String) -> Posted {
    let Some(node) = node.upgrade() else { return Posted::Absent };
    let Some(tenant) = node.tenant(peer.key()) else { return Posted::Absent };
    let key = Arc::clone(&tenant);
    let Ok(_held) = hold(&node, None, text.len()) else { return Posted::TooMuch };
    if wait_for_turn(&node, &peer, &key).await.is_err() {
        return Posted::TooMuch;
    }
    if !peer.is_current() {
        return Posted::Absent;
    }
    if node.has_hooks() {
        return hooks.run(move || handle(&node, &peer, &key, &text)).await;
    }
    handle(&node, &peer, &key, &text)
}

fn handle(node: &Node, peer: &PeerHandle, key: &Arc<KeyState>, text: &str) -> Posted {
    log::trace!(target: MESSAGES, "{} ({:?}) posted {} bytes", peer.connection(), peer.id().as_str(), text.len());
    // The caller has waited for its turn.
    let _ = key.spend(peer, &Spent { messages: 1, bytes: text.len() as u64, frames: 1 });
    let withheld = key.withholds_addresses().then(|| without_addresses(text));
    let text = withheld.as_deref().unwrap_or(text);
    Flushes::with(|flushes| {
        let mut turn = ClientTurn::new(node, peer, key, flushes);
        turn.handle(&mut PeerJs::default(), |client, context| client.on_text(text, context));
        if turn.left {
            peer.dismiss(CloseReason::Left);
        }
        // Not before: somebody who waits for the id of a client that leaves would be refused.
        peer.mark_alive();
        if turn.ignored { Posted::Ignored } else { Posted::Done }
    })
}
