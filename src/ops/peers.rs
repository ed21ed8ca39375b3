//! The clients of a key.

use std::net::IpAddr;

use actix_web::{HttpRequest, HttpResponse, delete, get, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::keys::named;
use super::page::{self, Page};
use super::problem::Problem;
use super::state::{Ops, blocking, by};
use crate::broker::PeerInfo;
use crate::wire::{Link, PeerId, RealmKind};

/// A client that is here.
#[derive(Serialize, ToSchema)]
#[schema(as = Peer)]
pub(super) struct Peer {
    /// What others call it by.
    id: String,
    /// What it speaks.
    kind: Kind,
    /// What it is connected by.
    connection: Connection,
    /// When its connection was opened, in seconds since 1970.
    since: u64,
    /// Where it is; `null` if that is not known.
    #[schema(value_type = Option<String>)]
    address: Option<IpAddr>,
    /// The version that it says it has; `null` if it says none.
    client_version: Option<String>,
    /// How many messages it has sent on this connection.
    messages: u64,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = PeerKind)]
enum Kind {
    /// A client of PeerJS.
    PeerJs,
    /// One at the root: rooms and calls.
    Guest,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Connection {
    WebSocket,
    /// An HTTP answer without end: PeerJS 0.3.x without a WebSocket.
    Stream,
}

/// Some clients.
#[derive(Serialize, ToSchema)]
#[schema(as = PeerPage)]
pub(super) struct Peers {
    /// In the order of their ids.
    peers: Vec<Peer>,
    /// What to ask for as `after` to get the next page; `null` if this is the last one.
    next: Option<String>,
}

/// The clients of a key that are here now.
#[utoipa::path(
    tag = "peers",
    operation_id = "list_peers",
    params(("key" = String, Path, example = "my-game"), Page),
    responses((status = OK, body = Peers, description = "some clients"), Problem)
)]
#[get("/api/keys/{key}/peers")]
pub(super) async fn list(
    ops: web::Data<Ops>,
    key: web::Path<String>,
    page: web::Query<Page>,
) -> Result<web::Json<Peers>, Problem> {
    let (key, limit) = (named(&key)?, page.limit()?);
    let peers = blocking(ops, move |parts| {
        let Some(active) = parts.keys.get(key.as_str()) else {
            // Nobody is here where nobody may be; but a key that is not there is a mistake.
            parts.admin.one_key(&key)?;
            return Ok(Peers { peers: Vec::new(), next: None });
        };
        let tenant = &active.tenant;
        let mut ids = tenant.page(page.after.as_deref(), limit + 1);
        let next = page::cut(&mut ids, limit, ToString::to_string);
        let realms = [RealmKind::PeerJs, RealmKind::Guests].map(|kind| tenant.existing(kind));
        let of_id = |id: &PeerId| {
            let present = realms.iter().flatten().filter_map(|realm| {
                realm.present(id.as_str()).map(|present| Peer::new(realm.kind(), &present))
            });
            present.collect::<Vec<Peer>>()
        };
        Ok(Peers { peers: ids.iter().flat_map(of_id).collect(), next })
    });
    Ok(web::Json(peers.await?))
}

/// Closes the connection of a client, with 4005. It may come back: who shall not has to be kept out by the
/// key's `auth`.
#[utoipa::path(
    tag = "peers",
    operation_id = "kick_peer",
    params(("key" = String, Path, example = "my-game"), ("id" = String, Path, example = "alice")),
    responses((status = NO_CONTENT, description = "done"), Problem)
)]
#[delete("/api/keys/{key}/peers/{id}")]
pub(super) async fn kick(
    ops: web::Data<Ops>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (by, (key, id)) = (by(&request), path.into_inner());
    let key = named(&key)?;
    let kicked = PeerId::parse(&id).is_ok_and(|id| ops.parts.admin.kick(by, &key, &id));
    if !kicked {
        return Err(Problem::not_found("no such client is here"));
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
