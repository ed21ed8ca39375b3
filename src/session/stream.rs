//! A PeerJS 0.3.x client where it has no WebSocket, or not yet: it hears through a stream and posts
//! what it has to say.

use std::sync::Arc;
use std::time::Duration;

use tokio::select;

use super::admission::{Claim, ConnectRequest, Entry, Refusal, Source};
use super::peerjs::{self, PeerJs};
use super::run::run;
use crate::app::Service;
use crate::broker::Posting;
use crate::dialect::peerjs::{Command, decode};
use crate::limits::ConnectionPermit;
use crate::transport::Socket;
use crate::transport::stream::{StreamBody, StreamSocket, stream};
use crate::wire::CloseReason;

/// How long a stream waits for the WebSocket that its client opens together with it: of the two only
/// one may be greeted.
const HEAD_START: Duration = Duration::from_secs(1);

/// How long a stream that has ended counts as open: its client comes with the next one.
const GRACE: Duration = Duration::from_secs(5);

/// How long something that is posted waits for its client's stream or WebSocket.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens a stream; the session goes on by itself. `renewed` says that it follows another one.
pub(crate) async fn open_stream(
    service: &Arc<Service>,
    claim: Claim,
    ConnectRequest { source, counted, .. }: ConnectRequest,
    renewed: bool,
) -> Result<(StreamBody, impl Future<Output = ()> + use<>), Refusal> {
    let (entry, _) = peerjs::admit(service, claim, &source).await?;
    let (socket, body) = stream(service.sleep(GRACE));
    Ok((body, serve(socket, Arc::clone(service), counted, entry, renewed)))
}

async fn serve(
    socket: StreamSocket,
    service: Arc<Service>,
    counted: Option<ConnectionPermit>,
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
            // It is greeted there, or hears there why not.
            _ = websocket => return,
            () = service.sleep(HEAD_START) => {}
        }
        if socket.is_abandoned() {
            return;
        }
    }
    run(socket, &service, counted, std::future::ready(Ok((entry, PeerJs)))).await;
}

/// A client that posts something.
pub(crate) struct Sender {
    entry: Entry,
    _posting: Posting,
}

/// What became of something that was posted.
pub(crate) enum PostOutcome {
    /// It is done.
    Done,
    /// It means nothing.
    Nothing,
    /// Its client is not here any more.
    Refused,
}

/// Why a client's message is not read.
pub(crate) enum PostRefusal {
    /// It does not come, or is another one.
    Absent,
    /// It posts too much at a time, or too many wait for it.
    TooMuch,
}

/// Waits, within bounds, until a client is here.
pub(crate) async fn sender(service: &Service, claim: Claim, source: &Source) -> Result<Sender, PostRefusal> {
    let (entry, _) = peerjs::admit(service, claim, source).await.map_err(|_| PostRefusal::Absent)?;
    let here = entry.realm.wait_for(&entry.id, &entry.token).ok_or(PostRefusal::TooMuch)?;
    let is_here = select! {
        admitted = here => admitted,
        () = service.sleep(PATIENCE) => false,
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
        service.sleep(pause).await;
    }
    Ok(Sender { entry, _posting: posting })
}

impl Sender {
    /// Does what is posted. Its client is looked up anew: it may have come back, or left its id to
    /// somebody else, while the body came.
    pub(crate) fn post(&self, service: &Service, text: &str) -> PostOutcome {
        let Entry { realm, id, token, .. } = &self.entry;
        let Some(peer) = realm.holder(id, token) else { return PostOutcome::Refused };
        peer.heard();
        peer.count_messages(1);
        peer.charge(1, self.entry.messages_per_second);
        match decode(text) {
            Command::Relay(envelope) => {
                let mut flushes = Vec::new();
                peerjs::relay(&peer, service, &envelope, &mut flushes);
            }
            Command::Leave => peer.dismiss(CloseReason::Left),
            Command::Heartbeat => {}
            Command::Nothing => return PostOutcome::Nothing,
        }
        PostOutcome::Done
    }
}
