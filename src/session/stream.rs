//! A PeerJS 0.3.x client without a WebSocket, or before it has one: it receives over an HTTP stream and sends by POST.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::select;

use super::admission::{Claim, ConnectRequest, Entry, Source};
use super::peerjs::{self, PeerJs};
use super::run::run;
use super::sessions::Sessions;
use crate::broker::{Peer, PostPermit};
use crate::dialect::peerjs::{Command, decode};
use crate::limits::ConnectionPermit;
use crate::node::{Posted, Whereabouts};
use crate::transport::Socket;
use crate::transport::stream::{StreamBody, StreamSocket, stream};
use crate::wire::{CloseReason, Limit, Refusal};

/// How long a stream waits for the WebSocket that its client opens at the same time: only one of the two may get OPEN.
const HEAD_START: Duration = Duration::from_secs(1);

/// How long an ended stream counts as open: its client opens the next one.
const GRACE: Duration = Duration::from_secs(5);

/// How long to wait before another node is sought a second time; then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How long a POST waits for its client's stream or WebSocket.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a stream and gives its session. `renewed` means that it continues an earlier stream.
pub(crate) async fn open_stream(
    sessions: &Arc<Sessions>,
    claim: Claim,
    ConnectRequest { source, permit, .. }: ConnectRequest,
    renewed: bool,
) -> Result<(StreamBody, impl Future<Output = ()> + use<>), Refusal> {
    let entry = match peerjs::admit(sessions, claim, &source).await {
        Ok(entry) => entry,
        Err(rejection) => {
            let reason = rejection.reason;
            sessions.refuse(rejection, &source);
            return Err(reason);
        }
    };
    let (socket, body) = stream(sessions.sleep(GRACE));
    Ok((body, serve(socket, Arc::clone(sessions), source, permit, entry, renewed)))
}

async fn serve(
    socket: StreamSocket,
    sessions: Arc<Sessions>,
    source: Source,
    permit: Option<ConnectionPermit>,
    entry: Entry,
    renewed: bool,
) {
    let entry = Entry { begins_anew: !renewed, ..entry };
    let Entry { realm, id, token, .. } = &entry;
    if !(renewed && (realm.is_streamed(id, token) || is_elsewhere(&sessions, &entry).await)) {
        realm.end_stream(id, token);
        let Some(websocket) = realm.wait_for(id, token) else {
            sessions.counters().limit_hit(Limit::WaitingPosts);
            return log::debug!("too many streams wait for one id");
        };
        select! {
            // The WebSocket gets OPEN, or the refusal.
            _ = websocket => return,
            () = sessions.sleep(HEAD_START) => {}
        }
        if socket.is_abandoned() {
            return;
        }
    }
    run(socket, &sessions, source, permit, std::future::ready(Ok((entry, PeerJs)))).await;
}

/// A client that may post a message.
pub(crate) struct Sender {
    entry: Entry,
    _posting: PostPermit,
}

/// Why a POST is not read.
pub(crate) enum PostRefusal {
    /// The client is not registered with this id and token.
    Absent,
    /// The client has too many POSTs, or too many requests wait for it.
    TooMuch,
}

/// Waits up to `PATIENCE` until the client is registered.
pub(crate) async fn sender(
    sessions: &Sessions,
    claim: Claim,
    source: &Source,
) -> Result<Sender, PostRefusal> {
    let entry = peerjs::admit(sessions, claim, source).await.map_err(|_| PostRefusal::Absent)?;
    let too_much = |limit: Limit| {
        sessions.counters().limit_hit(limit);
        PostRefusal::TooMuch
    };
    let here = entry.realm.wait_for(&entry.id, &entry.token);
    let here = here.ok_or_else(|| too_much(Limit::WaitingPosts))?;
    let is_present = select! {
        biased;
        admitted = here => admitted,
        () = until_elsewhere(sessions, &entry) => true,
        () = sessions.sleep(PATIENCE) => false,
    };
    if !is_present {
        return Err(PostRefusal::Absent);
    }
    let posting = entry.realm.begin_post(&entry.id);
    let posting = posting.ok_or_else(|| too_much(Limit::PostsPerClient))?;
    match entry.realm.holder(&entry.id, &entry.token) {
        Some(peer) if !wait_for_turn(sessions, &peer, entry.messages_per_second).await => {
            return Err(too_much(Limit::MessagesPerSecond));
        }
        None if sessions.node.membership().is_none() => return Err(PostRefusal::Absent),
        _ => {}
    }
    Ok(Sender { entry, _posting: posting })
}

/// Waits while the client is above its rate limit. False if that would take too long.
async fn wait_for_turn(sessions: &Sessions, peer: &Peer, messages_per_second: u32) -> bool {
    let pause = peer.charge(0, messages_per_second);
    if pause > PATIENCE {
        return false;
    }
    if !pause.is_zero() {
        sessions.sleep(pause).await;
    }
    true
}

/// Whether another node has the client.
async fn is_elsewhere(sessions: &Sessions, Entry { realm, id, .. }: &Entry) -> bool {
    let Some(membership) = sessions.node.membership() else { return false };
    matches!(membership.find_peer(&realm.address(id)).await, Whereabouts::At(_))
}

/// Waits until another node has the client: for ever, if there are no other nodes.
async fn until_elsewhere(sessions: &Sessions, entry: &Entry) {
    if sessions.node.membership().is_none() {
        return std::future::pending().await;
    }
    let mut pause = FIRST_PAUSE;
    while !is_elsewhere(sessions, entry).await {
        sessions.sleep(pause).await;
        pause *= 2;
    }
}

impl Sender {
    /// Handles the posted message. Looks the client up again: it may have reconnected, or lost its id, while the body
    /// arrived.
    pub(crate) async fn post(&self, sessions: &Sessions, text: &str) -> Posted {
        let posted = select! {
            biased;
            posted = self.post_somewhere(sessions, text) => posted,
            () = sessions.sleep(PATIENCE * 2) => Posted::Absent,
        };
        posted
    }

    /// Handles it here, or where the client is.
    async fn post_somewhere(&self, sessions: &Sessions, text: &str) -> Posted {
        let Entry { realm, id, token, messages_per_second, .. } = &self.entry;
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(peer) = realm.holder(id, token) {
                return handle(sessions, &peer, *messages_per_second, text);
            }
            let Some(membership) = sessions.node.membership() else { return Posted::Absent };
            match membership.post(realm, id, token, text).await {
                // Its client is between two streams.
                Posted::Absent => sessions.sleep(pause).await,
                posted => return posted,
            }
            pause *= 2;
        }
    }
}

/// Handles what clients of this node post on others.
pub(crate) fn take_posts_of_others(sessions: &Arc<Sessions>) {
    let Some(membership) = sessions.node.membership() else { return };
    // Weak, because the membership is a part of the sessions.
    let sessions = Arc::downgrade(sessions);
    membership.on_post(Box::new(move |peer, text| Box::pin(take(Weak::clone(&sessions), peer, text))));
}

async fn take(sessions: Weak<Sessions>, peer: Peer, text: String) -> Posted {
    let Some(sessions) = sessions.upgrade() else { return Posted::Absent };
    let Some(active) = sessions.keys.get(peer.key()) else { return Posted::Absent };
    let messages_per_second = active.key.settings.messages_per_second;
    if !wait_for_turn(&sessions, &peer, messages_per_second).await {
        return Posted::TooMuch;
    }
    if !peer.is_current() {
        return Posted::Absent;
    }
    handle(&sessions, &peer, messages_per_second, &text)
}

fn handle(sessions: &Sessions, peer: &Peer, messages_per_second: u32, text: &str) -> Posted {
    peer.heard();
    peer.count_messages(1, text.len() as u64);
    peer.charge(1, messages_per_second);
    match decode(text) {
        Command::Relay(envelope) => {
            let mut flushes = Vec::new();
            peerjs::relay(peer, sessions, &envelope, &mut flushes);
        }
        Command::Leave => peer.dismiss(CloseReason::Left),
        Command::Heartbeat => {}
        Command::Nothing => return Posted::Nothing,
    }
    Posted::Done
}
