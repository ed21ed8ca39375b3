//! The node of a pipe: this one, or another one that has it already.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::admission::{ClientSource, admit_end, tenant_of_end};
use super::open::OpenSession;
use super::pipe_proxy::PipeProxy;
use peerbroker_cluster::{Holding, Membership};
use peerbroker_core::vocabulary::{EndId, NameKind, PeerId, PipeId, Refusal};
use peerbroker_protocols::client::unguessable;
use peerbroker_protocols::key_state::KeyState;
use peerbroker_protocols::names::Seated;
use peerbroker_protocols::pipes::{Attach, NO_WAY, PipeAddress, Pipes, Reserved, Ticket};
use peerbroker_protocols::query::{PIPE, values};

/// Time for which a claim of a pipe waits for the other nodes.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(4);

/// Time for which the node of a pipe is sought. It may have to die first.
const PATIENCE: Duration = Duration::from_secs(12);

/// Pause before it is sought again.
const RETRY: Duration = Duration::from_millis(200);

/// Where an end goes on.
pub(super) enum PipePlace {
    Here(Reserved, Attach),
    There(PipeProxy),
}

/// Finds the place of an end whose handshake has this query.
pub(super) async fn find(
    session: &OpenSession,
    query: &str,
    source: &ClientSource,
) -> Result<PipePlace, Refusal> {
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
        return Ok(PipePlace::Here(pipes.reserve(&key, &attach)?, attach));
    }
    let key = admit_end(session, query, pipe, source).await?;
    let pipes = key.part::<Pipes>();
    let attach = Attach { pipe, end, address: source.address };
    let Some(membership) = session.membership() else {
        return Ok(PipePlace::Here(pipes.reserve(&key, &attach)?, attach));
    };
    let until = session.clock().now() + PATIENCE;
    loop {
        let reserved = pipes.reserve(&key, &attach)?;
        // The first end of a pipe on a node finds out for both.
        if !reserved.is_new() || session.clock().now() >= until {
            return Ok(PipePlace::Here(reserved, attach));
        }
        let client = PeerId::parse(&unguessable()).map_err(Refusal::InvalidId)?;
        let connection = key.router().next_connection();
        let name = pipe.to_string();
        let (held, claimed) = membership.hold(key.key(), NameKind::Pipe, &name, &client, connection);
        match timeout(CLAIM_TIMEOUT, claimed).await.unwrap_or(Holding::Unavailable) {
            Holding::Granted | Holding::Unavailable => {
                reserved.hold(Box::new(held));
                return Ok(PipePlace::Here(reserved, attach));
            }
            Holding::Taken(_) => drop(held),
        }
        if let Some(proxy) = cross(membership, &key, &attach, client).await? {
            // An end that has come here meanwhile stays.
            return Ok(match reserved.give_back() {
                Ok(()) => PipePlace::There(proxy),
                Err(reserved) => PipePlace::Here(reserved, attach),
            });
        }
        if let Err(reserved) = reserved.give_back() {
            return Ok(PipePlace::Here(reserved, attach));
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
) -> Result<Option<PipeProxy>, Refusal> {
    let &Attach { pipe, end, address } = attach;
    let wanted = Ticket { pipe, end, address }.wanted();
    let name = (NameKind::Pipe, pipe.to_string());
    let seated =
        Arc::clone(membership).seat(key.key().clone(), name, Some(wanted), client, Duration::ZERO).await;
    match seated {
        Seated::In { seat, told, state } => {
            let Some(way) = PipeAddress::parse(&told) else { return Ok(None) };
            let bridge = key.part::<Pipes>().bridge(address)?;
            let key = key.key().as_str().to_owned();
            Ok(Some(PipeProxy { way, key, pipe, end, bridge, _seat: seat, state }))
        }
        Seated::Refused(NO_WAY) => Err(Refusal::Unavailable),
        _ => Ok(None),
    }
}
