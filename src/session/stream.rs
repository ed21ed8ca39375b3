//! A PeerJS 0.3.x client without a WebSocket, or before it has one: it receives over an HTTP stream and sends by POST.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;

use super::admission::{Claim, ConnectRequest, Entry, Source};
use super::peerjs::{self, PeerJs};
use super::run::run;
use super::sessions::Sessions;
use crate::broker::PostPermit;
use crate::dialect::peerjs::{Command, decode};
use crate::limits::ConnectionPermit;
use crate::transport::Socket;
use crate::transport::stream::{StreamBody, StreamSocket, stream};
use crate::wire::{CloseReason, Refusal};

/// How long a stream waits for the WebSocket that its client opens at the same time: only one of the two may get OPEN.
const HEAD_START: Duration = Duration::from_secs(1);

/// How long an ended stream counts as open: its client opens the next one.
const GRACE: Duration = Duration::from_secs(5);

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
    let Entry { realm, id, token, .. } = &entry;
    if !(renewed && realm.is_streamed(id, token)) {
        realm.end_stream(id, token);
        let Some(websocket) = realm.wait_for(id, token) else {
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

/// The result of a POST.
pub(crate) enum PostOutcome {
    /// The message was handled.
    Done,
    /// The body is not a message.
    Nothing,
    /// The client is no longer registered.
    Refused,
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
    let here = entry.realm.wait_for(&entry.id, &entry.token).ok_or(PostRefusal::TooMuch)?;
    let is_here = select! {
        admitted = here => admitted,
        () = sessions.sleep(PATIENCE) => false,
    };
    if !is_here {
        return Err(PostRefusal::Absent);
    }
    let posting = entry.realm.begin_post(&entry.id).ok_or(PostRefusal::TooMuch)?;
    let peer = entry.realm.holder(&entry.id, &entry.token).ok_or(PostRefusal::Absent)?;
    let pause = peer.charge(0, entry.messages_per_second);
    if pause > PATIENCE {
        return Err(PostRefusal::TooMuch);
    }
    if !pause.is_zero() {
        sessions.sleep(pause).await;
    }
    Ok(Sender { entry, _posting: posting })
}

impl Sender {
    /// Handles the posted message. Looks the client up again: it may have reconnected, or lost its id, while the body
    /// arrived.
    pub(crate) fn post(&self, sessions: &Sessions, text: &str) -> PostOutcome {
        let Entry { realm, id, token, .. } = &self.entry;
        let Some(peer) = realm.holder(id, token) else { return PostOutcome::Refused };
        peer.heard();
        peer.count_messages(1, text.len() as u64);
        peer.charge(1, self.entry.messages_per_second);
        match decode(text) {
            Command::Relay(envelope) => {
                let mut flushes = Vec::new();
                peerjs::relay(&peer, sessions, &envelope, &mut flushes);
            }
            Command::Leave => peer.dismiss(CloseReason::Left),
            Command::Heartbeat => {}
            Command::Nothing => return PostOutcome::Nothing,
        }
        PostOutcome::Done
    }
}
