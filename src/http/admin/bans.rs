//! Operations on bans, and the addresses that are busiest.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use actix_web::web::{Data, Json, Query, ReqData};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::object::Object;
use super::problem::Problem;
use super::state::{AdminState, JsonResult, Reply, Search, actor, blocking};
use super::target::Target;
use peerbroker_config::Ban;
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::{KeyError, unix_time};

/// Most addresses of an answer.
const MAX_ADDRESSES: usize = 1000;

/// Longest ban, in seconds. Later ends cannot be written.
const LONGEST: u64 = Duration::from_secs(100 * 365 * 24 * 60 * 60).as_secs();

/// A ban that is set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBan {
    /// An address, or a network.
    #[schema(example = "192.0.2.0/24")]
    network: String,
    /// The key whose clients are refused; `null` means all.
    #[serde(default)]
    key: Option<String>,
    /// The time until the ban ends; `null` means that it does not.
    #[serde(default)]
    seconds: Option<u64>,
}

/// A ban.
#[derive(Serialize, ToSchema)]
#[schema(as = Ban)]
pub(super) struct ShownBan {
    /// The address, or the network.
    network: String,
    /// The key whose clients are refused; `null` means all.
    key: Option<String>,
    /// The end, in seconds since 1970; `null` means never.
    until: Option<u64>,
    /// True if the configuration sets it, so that only a change of that ends it.
    configured: bool,
    /// The reason why it is probably not meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    warning: Option<Cow<'static, str>>,
}

/// All bans.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownBans {
    /// The bans: those of the configuration first.
    bans: Vec<ShownBan>,
}

impl ShownBan {
    fn of(ban: &Ban, configured: bool) -> Self {
        let network = Ban { key: None, ..ban.clone() }.place();
        let key = ban.key.as_ref().map(|key| key.as_str().to_owned());
        ShownBan { network, key, until: ban.until, configured, warning: ban.warning().map(Cow::from) }
    }
}

/// Lists the bans that are not over.
#[utoipa::path(tag = "bans", responses((status = OK, body = ShownBans, description = "all bans"), Problem))]
#[get("/api/bans")]
pub(super) async fn list_bans(ops: Data<AdminState>) -> JsonResult<ShownBans> {
    // A change that waits for the store holds them.
    let (configured, set) = blocking(ops, |runtime| Ok(runtime.control.bans.all())).await?;
    let shown = |bans: Vec<Ban>, configured| bans.into_iter().map(move |ban| ShownBan::of(&ban, configured));
    Ok(Json(ShownBans { bans: shown(configured, true).chain(shown(set, false)).collect() }))
}

/// Bans the clients of a network on all nodes, in place of an earlier ban of the same network and key. Their
/// connections are closed with the close code 4008.
#[utoipa::path(
    tag = "bans",
    request_body(content = NewBan, example = json!({"network": "192.0.2.7", "seconds": 3600})),
    responses((status = CREATED, body = ShownBan, description = "the ban"), Problem)
)]
#[post("/api/bans")]
pub(super) async fn add_ban(
    ops: Data<AdminState>,
    request: HttpRequest,
    body: Json<Object<NewBan>>,
) -> Reply {
    let actor = actor(&request);
    let Object(NewBan { network, key, seconds }) = body.into_inner();
    let mut ban = ban(&network, key.as_deref())?;
    ban.until = match seconds {
        None => None,
        Some(seconds @ 1..=LONGEST) => Some(unix_time().saturating_add(seconds)),
        Some(_) => {
            return Err(Problem::unprocessable(format!("seconds: must be from 1 to {LONGEST}, or null")));
        }
    };
    let shown = ShownBan::of(&ban, false);
    let unknown = blocking(ops, move |runtime| {
        let key = ban.key.clone();
        runtime.control.bans.add(actor, ban)?;
        Ok(key.filter(|key| matches!(runtime.control.one_key(key), Err(KeyError::Unknown(_)))))
    });
    let warning = unknown.await?.map(|key| format!("it bans nobody: there is no key {:?}", key.as_str()));
    Ok(HttpResponse::Created().json(ShownBan { warning: warning.map(Cow::from).or(shown.warning), ..shown }))
}

/// The key of a ban.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct OfBan {
    /// The key, of a ban for one.
    key: Option<String>,
}

/// Ends a ban.
#[utoipa::path(
    tag = "bans",
    params(("network" = String, Path, example = "192.0.2.7"), OfBan),
    responses((status = NO_CONTENT, description = "the ban is over"), Problem)
)]
#[delete("/api/bans/{network:.+}")]
pub(super) async fn end_ban(
    ops: Data<AdminState>,
    request: HttpRequest,
    target: ReqData<Target>,
    of: Query<OfBan>,
) -> Reply {
    let actor = actor(&request);
    // The slash of a network may be encoded, or a segment of its own.
    let path = target.below("api").unwrap_or_default();
    let ban = ban(path.trim_start_matches("bans/"), of.key.as_deref())?;
    blocking(ops, move |runtime| Ok(runtime.control.bans.end(actor, &ban)?)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A ban without an end.
fn ban(network: &str, key: Option<&str>) -> Result<Ban, Problem> {
    let wrong = |error: &dyn std::fmt::Display| Problem::unprocessable(format!("network: {error}"));
    let key = key.map(ApiKey::parse).transpose()?;
    if network.contains(',') {
        return Err(wrong(&"expected an address or a network, as in 192.0.2.7 or 2001:db8::/48"));
    }
    let ban = Ban::parse(network).map_err(|error| wrong(&error))?;
    Ok(Ban { key, ..ban })
}

/// The use that an address makes of this node.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownAddress {
    /// The address; of IPv6, its /64.
    address: String,
    /// Open connections of the address, also over HTTP.
    connections: u32,
    /// WebSockets and streams that it has opened since it was first seen. It is forgotten when it has no
    /// connection, and its full burst again.
    opened: u32,
    /// Connections that a limit of addresses has refused in that time.
    limit_hits: u32,
    /// True if it is banned for all keys.
    banned: bool,
}

/// The busiest addresses.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownAddresses {
    /// The addresses: first those that reach limits most often, then those with the most connections.
    addresses: Vec<ShownAddress>,
}

/// The addresses that a request asks for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Most addresses of the answer. Values above 1000 count as 1000.
    #[param(default = 1000, minimum = 1, example = 10)]
    limit: Option<usize>,
    /// Lists only addresses that begin with this text.
    search: Option<String>,
}

/// Lists the busiest addresses of clients of this node, but no loopback addresses.
#[utoipa::path(tag = "bans", params(Asked), responses((status = OK, body = ShownAddresses, description = "the busiest first"), Problem))]
#[get("/api/addresses")]
pub(super) async fn list_addresses(ops: Data<AdminState>, asked: Query<Asked>) -> JsonResult<ShownAddresses> {
    let search = Search::new(asked.search.as_deref());
    let most = asked.limit.unwrap_or(MAX_ADDRESSES).min(MAX_ADDRESSES);
    if most == 0 {
        return Err(Problem::unprocessable("limit: must be a whole number from 1 on"));
    }
    let busiest = ops.runtime.addresses.busiest(most, |address| search.begins(address));
    let shown = busiest.into_iter().map(|report| ShownAddress {
        address: match report.address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("{address}/64"),
        },
        connections: report.connections,
        opened: report.opened,
        limit_hits: report.limit_hits,
        banned: ops.runtime.node.bans.has(Some(report.address), None),
    });
    Ok(Json(ShownAddresses { addresses: shown.collect() }))
}
