//! Operations on the peers of a key.

use std::net::IpAddr;

use actix_web::{HttpRequest, HttpResponse, delete, get, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::keys::parse_key;
use super::page::{self, Page};
use super::problem::Problem;
use super::state::{Ops, actor, blocking};
use crate::broker::PeerInfo;
use crate::wire::{Link, PeerId, RealmKind};

/// A connected client.
#[derive(Serialize, ToSchema)]
#[schema(as = Peer)]
pub(super) struct Peer {
    /// The id of the peer.
    id: String,
    /// The protocol of the client.
    kind: Kind,
    /// The kind of connection.
    connection: Connection,
    /// When the connection was opened, in seconds since 1970.
    since: u64,
    /// The client's address; `null` if it is unknown.
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// The version that the client sent; `null` if it sent none.
    client_version: Option<String>,
    /// Number of messages that the client sent on this connection.
    messages: u64,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PeerKind)]
enum Kind {
    /// A PeerJS client.
    PeerJs,
    /// A client at the mount path: rooms and calls.
    Guest,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Connection {
    WebSocket,
    /// An HTTP stream, for PeerJS 0.3.x without a WebSocket.
    Stream,
}

/// One page of clients.
#[derive(Serialize, ToSchema)]
#[schema(as = PeerPage)]
pub(super) struct PeerPage {
    /// Sorted by id.
    peers: Vec<Peer>,
    /// The `after` of the next page; `null` on the last page.
    next: Option<String>,
}

/// Lists the connected clients of a key.
#[utoipa::path(
    tag = "peers",
    operation_id = "list_peers",
    params(("key" = String, Path, example = "my-game"), Page),
    responses((status = OK, body = PeerPage, description = "one page of clients"), Problem)
)]
#[get("/api/keys/{key}/peers")]
pub(super) async fn list(
    ops: web::Data<Ops>,
    key: web::Path<String>,
    page: web::Query<Page>,
) -> Result<web::Json<PeerPage>, Problem> {
    let (key, limit) = (parse_key(&key)?, page.limit()?);
    let peers = blocking(ops, move |parts| {
        let Some(active) = parts.keys.get(key.as_str()) else {
            // A disabled key has no clients. An unknown key is an error.
            parts.admin.one_key(&key)?;
            return Ok(PeerPage { peers: Vec::new(), next: None });
        };
        let tenant = &active.tenant;
        let mut ids = tenant.page(page.after.as_deref(), limit + 1);
        let next = page::cut_to_page(&mut ids, limit, ToString::to_string);
        let realms = [RealmKind::PeerJs, RealmKind::Guests].map(|kind| tenant.existing(kind));
        let of_id = |id: &PeerId| {
            let present = realms.iter().flatten().filter_map(|realm| {
                realm.present(id.as_str()).map(|present| Peer::new(realm.kind(), &present))
            });
            present.collect::<Vec<Peer>>()
        };
        Ok(PeerPage { peers: ids.iter().flat_map(of_id).collect(), next })
    });
    Ok(web::Json(peers.await?))
}

/// Closes the connection of a client with the close code 4005. The client may reconnect: to ban it, set `auth` of the key.
#[utoipa::path(
    tag = "peers",
    operation_id = "kick_peer",
    params(("key" = String, Path, example = "my-game"), ("id" = String, Path, example = "alice")),
    responses((status = NO_CONTENT, description = "the client is disconnected"), Problem)
)]
#[delete("/api/keys/{key}/peers/{id}")]
pub(super) async fn kick(
    ops: web::Data<Ops>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (actor, (key, id)) = (actor(&request), path.into_inner());
    let key = parse_key(&key)?;
    let kicked = PeerId::parse(&id).is_ok_and(|id| ops.parts.admin.kick(actor, &key, &id));
    if !kicked {
        return Err(Problem::not_found("no such client is connected"));
    }
    Ok(HttpResponse::NoContent().finish())
}

impl Peer {
    fn new(realm: RealmKind, PeerInfo { id, link, info, messages }: &PeerInfo) -> Self {
        Peer {
            id: id.to_string(),
            kind: match realm {
                RealmKind::PeerJs => Kind::PeerJs,
                RealmKind::Guests => Kind::Guest,
            },
            connection: match link {
                Link::Socket => Connection::WebSocket,
                Link::Stream => Connection::Stream,
            },
            since: info.since,
            address: info.address,
            client_version: info.version.map(|version| version.as_str().to_owned()),
            messages: *messages,
        }
    }
}
