//! The node of a pipe: this one, or another one that has it already. Then the connection goes on there, as bytes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::{Request, header};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, copy_buf, split};
use tokio::sync::watch;
use tokio::time::timeout;

use super::admission::{ClientSource, admit_end, tenant_of_end};
use super::farewell::refused_end;
use super::open::OpenSession;
use crate::cluster::{Holding, Membership};
use crate::outbound::{Bounds, HttpClient, Reach};
use crate::transport::RawConnection;
use peerbroker_broker::protocols::client::unguessable;
use peerbroker_broker::protocols::key_state::KeyState;
use peerbroker_broker::protocols::names::{Seat, SeatState, Seated};
use peerbroker_broker::protocols::pipes::{Attach, Bridge, NO_WAY, Pipes, Reserved, Ticket, WayThere};
use peerbroker_broker::protocols::query::{PIPE, values};
use peerbroker_core::vocabulary::{EndId, NameKind, PeerId, PipeId, Refusal};

/// Time for which a claim of a pipe waits for the other nodes.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(4);

/// Time for which the node of a pipe is sought. It may have to die first.
const PATIENCE: Duration = Duration::from_secs(12);

/// Pause before it is sought again.
const RETRY: Duration = Duration::from_millis(200);

/// Time for another node to take an end.
const CROSSING_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of each direction of a crossing that this node keeps.
const KEPT: usize = 16 << 10;

/// Where an end goes on.
pub(super) enum Place {
    Here(Reserved, Attach),
    There(Crossing),
}

/// The way of an end to its pipe on another node.
pub(super) struct Crossing {
    way: WayThere,
    key: String,
    pipe: PipeId,
    end: EndId,
    bridge: Bridge,
    /// That node gives it up when this ends.
    _seat: Box<dyn Seat>,
    state: watch::Receiver<SeatState>,
}

/// Finds the place of an end whose handshake has this query.
pub(super) async fn find(
    session: &OpenSession,
    query: &str,
    source: &ClientSource,
) -> Result<Place, Refusal> {
    let [pipe, end, number] = values(query, [PIPE, "end", "ticket"]);
    let (Some(pipe), Some(end)) = (PipeId::parse(&pipe), EndId::parse(&end)) else {
        return Err(Refusal::InvalidPipe);
    };
    if !number.is_empty() {
        // Another node has admitted it.
        let key = tenant_of_end(session, query)?;
        let pipes = key.part::<Pipes>();
        let address = pipes.redeem(pipe, end, &number).ok_or(Refusal::InvalidPipe)?;
        let attach = Attach { pipe, end, address };
        return Ok(Place::Here(pipes.reserve(&key, &attach)?, attach));
    }
    let key = admit_end(session, query, pipe, source).await?;
    let pipes = key.part::<Pipes>();
    let attach = Attach { pipe, end, address: source.address };
    let Some(membership) = session.membership() else {
        return Ok(Place::Here(pipes.reserve(&key, &attach)?, attach));
    };
    let until = session.clock().now() + PATIENCE;
    loop {
        let reserved = pipes.reserve(&key, &attach)?;
        // The first end of a pipe on a node finds out for both.
        if !reserved.is_new() || session.clock().now() >= until {
            return Ok(Place::Here(reserved, attach));
        }
        let client = PeerId::parse(&unguessable()).map_err(Refusal::InvalidId)?;
        let connection = key.router().next_connection();
        let name = pipe.to_string();
        let (held, claimed) = membership.hold(key.key(), NameKind::Pipe, &name, &client, connection);
        match timeout(CLAIM_TIMEOUT, claimed).await.unwrap_or(Holding::Unavailable) {
            Holding::Granted | Holding::Unavailable => {
                reserved.hold(Box::new(held));
                return Ok(Place::Here(reserved, attach));
            }
            Holding::Taken(_) => drop(held),
        }
        if let Some(crossing) = cross(membership, &key, &attach, client).await? {
            // An end that has come here meanwhile stays.
            return Ok(match reserved.give_back() {
                Ok(()) => Place::There(crossing),
                Err(reserved) => Place::Here(reserved, attach),
            });
        }
        if let Err(reserved) = reserved.give_back() {
            return Ok(Place::Here(reserved, attach));
        }
        session.clock().sleep(RETRY).await;
    }
}

/// Asks the node of a pipe to take an end. `None` if it has the pipe no more, or does not answer.
async fn cross(
    membership: &Arc<Membership>,
    key: &Arc<KeyState>,
    attach: &Attach,
    client: PeerId,
) -> Result<Option<Crossing>, Refusal> {
    let &Attach { pipe, end, address } = attach;
    let wanted = Ticket { pipe, end, address }.wanted();
    let name = (NameKind::Pipe, pipe.to_string());
    let seated =
        Arc::clone(membership).seat(key.key().clone(), name, Some(wanted), client, Duration::ZERO).await;
    match seated {
        Seated::In { seat, told, state } => {
            let Some(way) = WayThere::parse(&told) else { return Ok(None) };
            let bridge = key.part::<Pipes>().bridge(address)?;
            let key = key.key().to_string();
            Ok(Some(Crossing { way, key, pipe, end, bridge, _seat: seat, state }))
        }
        Seated::Refused(NO_WAY) => Err(Refusal::Unavailable),
        _ => Ok(None),
    }
}

impl Crossing {
    /// Connects to the other node, and passes on bytes until one side ends.
    pub(super) async fn carry(self, raw: RawConnection, close_timeout: Duration) {
        let RawConnection { io: mut client, read, unwritten } = raw;
        let Crossing { way, key, pipe, end, mut bridge, _seat, mut state } = self;
        let there = timeout(CROSSING_TIMEOUT, connect(&way, &key, pipe, end)).await;
        let mut there = match there.map_err(|_| "it takes too long".to_owned()) {
            Ok(Ok(there)) => there,
            Ok(Err(why)) | Err(why) => {
                let url = &way.url;
                log::warn!(
                    "a pipe is on the node at {url}, which cannot be reached: {why}. --node_url sets the URL of a node"
                );
                let refusal = refused_end(Refusal::Unavailable);
                // The client may be gone.
                let _ = client.write_all(&[&unwritten, refusal.as_bytes()].concat()).await;
                let _ = client.shutdown().await;
                return;
            }
        };
        let is_over = |state: &SeatState| *state == SeatState::Lost;
        let first = async {
            client.write_all(&unwritten).await?;
            there.write_all(&read).await
        };
        if !matches!(timeout(CROSSING_TIMEOUT, first).await, Ok(Ok(()))) {
            return;
        }
        tokio::select! {
            () = exchange(client, there, close_timeout) => {}
            () = bridge.ended() => {}
            // The other node is dead.
            _ = state.wait_for(is_over) => {}
        }
    }
}

/// Passes on bytes in both directions. Once one has ended, the other has a bounded time.
async fn exchange(
    client: impl AsyncRead + AsyncWrite,
    there: impl AsyncRead + AsyncWrite,
    close_timeout: Duration,
) {
    let (from_client, to_client) = split(client);
    let (from_there, to_there) = split(there);
    let mut out = pin!(pass(from_client, to_there));
    let mut back = pin!(pass(from_there, to_client));
    tokio::select! {
        () = &mut out => drop(timeout(close_timeout, back).await),
        () = &mut back => drop(timeout(close_timeout, out).await),
    }
}

/// Passes on bytes until the end, and ends the other direction too.
async fn pass(from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    // A broken connection is an end.
    let _ = copy_buf(&mut BufReader::with_capacity(KEPT, from), &mut to).await;
    let _ = to.shutdown().await;
}

async fn connect(
    way: &WayThere,
    key: &str,
    pipe: PipeId,
    end: EndId,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>, String> {
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("key", key), ("end", &end.to_string()), ("ticket", &way.ticket)])
        .finish();
    let request = Request::get(format!("{}pipe/{pipe}?{query}", way.url))
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        // Nobody caches what is between two nodes.
        .header(header::SEC_WEBSOCKET_KEY, "AAAAAAAAAAAAAAAAAAAAAA==")
        .body(())
        .map_err(|error| error.to_string())?;
    let bounds = Bounds { reach: Reach::Anywhere, idle: 0, timeout: CROSSING_TIMEOUT, max_body: 0 };
    let client = HttpClient::trusting_anybody(bounds).map_err(|error| error.to_string())?;
    client.upgrade(request).await.map_err(|error| error.to_string())
}
