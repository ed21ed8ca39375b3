//! Operations on the peers of a key.

use actix_web::web::{Data, Json, Query};
use actix_web::{HttpRequest, HttpResponse, delete, get};
use serde::Serialize;
use utoipa::ToSchema;

use super::keys::tenant;
use super::problem::Problem;
use super::state::{AdminState, JsonResult, Page, Reply, Search, actor};
use super::target::OfKey;
use peerbroker_core::vocabulary::PeerId;
use peerbroker_node::PeerReport;

/// Clients that a search reads in one request, and per question. In a cluster each question costs every node
/// some work.
const MAX_SEARCHED: usize = 20_000;
const SEARCH_BATCH: usize = 2000;

/// A page of clients.
#[derive(Serialize, ToSchema)]
pub(super) struct PeerPage {
    /// Sorted by id.
    peers: Vec<PeerReport>,
    /// The `after` of the next page; `null` on the last page.
    next: Option<String>,
}

/// Lists the connected clients of a key. A search among very many clients takes several pages, and some may
/// be empty.
#[utoipa::path(
    tag = "peers",
    params(("key" = String, Path, example = "my-game"), Page),
    responses((status = OK, body = PeerPage, description = "one page of clients"), Problem)
)]
#[get("/api/keys/{key}/peers")]
pub(super) async fn list_peers(
    ops: Data<AdminState>,
    OfKey { key, names: [] }: OfKey,
    page: Query<Page>,
) -> JsonResult<PeerPage> {
    let limit = page.limit()?;
    let search = Search::new(page.search.as_deref());
    tenant(ops.clone(), key.clone()).await?;
    let fits = |peer: &PeerReport| {
        search.is_in(&peer.id) || peer.address.is_some_and(|address| search.begins(&address.to_string()))
    };
    // If all fit, one question is enough: the entry behind the page tells that there is a next one.
    let batch = if search.is_for_all() { limit + 1 } else { SEARCH_BATCH };
    let mut next = page.into_inner().after;
    let mut found = Vec::<PeerReport>::new();
    for _ in 0..MAX_SEARCHED / SEARCH_BATCH {
        let peers = ops.runtime.node.peers_after(key.as_str(), next.as_deref(), batch).await;
        let is_last = peers.is_empty() || search.is_for_all();
        next = peers.last().map(|peer| peer.id.clone());
        for peer in peers.into_iter().filter(fits) {
            // Clients of one id belong to one page, because the next one begins after that id.
            if found.len() >= limit
                && let Some(end) = found.last().filter(|end| end.id != peer.id)
            {
                let next = Some(end.id.clone());
                return Ok(Json(PeerPage { peers: found, next }));
            }
            found.push(peer);
        }
        if is_last {
            next = None;
            break;
        }
    }
    Ok(Json(PeerPage { peers: found, next }))
}

/// Shows a connected client, and in a cluster the node that has its connection.
#[utoipa::path(
    tag = "peers",
    params(("key" = String, Path, example = "my-game"), ("id" = String, Path, example = "alice")),
    responses((status = OK, body = PeerReport, description = "the client"), Problem)
)]
#[get("/api/keys/{key}/peers/{id}")]
pub(super) async fn show_peer(
    ops: Data<AdminState>,
    OfKey { key, names: [id] }: OfKey<1>,
) -> JsonResult<PeerReport> {
    let id = PeerId::parse(&id).map_err(|_| absent())?;
    // A PeerJS client and a guest may have the same id, and in an outage clients of two nodes.
    let peer = ops.runtime.node.peers_called(key.as_str(), &id).await.into_iter().next();
    peer.map(Json).ok_or_else(absent)
}

fn absent() -> Problem {
    Problem::not_found("no such client is connected")
}

/// Closes the connection of a client with the close code 4005. The client may reconnect: to keep it out, ban
/// its address, or set `auth` of the key.
#[utoipa::path(
    tag = "peers",
    params(("key" = String, Path, example = "my-game"), ("id" = String, Path, example = "alice")),
    responses((status = NO_CONTENT, description = "the client is disconnected"), Problem)
)]
#[delete("/api/keys/{key}/peers/{id}")]
pub(super) async fn kick_peer(
    ops: Data<AdminState>,
    request: HttpRequest,
    OfKey { key, names: [id] }: OfKey<1>,
) -> Reply {
    let actor = actor(&request);
    let id = PeerId::parse(&id).map_err(|_| absent())?;
    match ops.runtime.control.kick(actor, &key, &id).await {
        true => Ok(HttpResponse::NoContent().finish()),
        false => Err(absent()),
    }
}
