//! The allocations of the TURN server.

use std::net::SocketAddr;

use actix_web::web::{Data, Json, Query, ReqData};
use actix_web::{HttpRequest, HttpResponse, delete, get};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::state::{AdminState, JsonResult, Page, Reply, Search, actor, cut_to_page};
use super::target::Target;
use peerbroker_events::Event;
use peerbroker_media_api::AllocationReport;

/// An allocation of a client of TURN.
#[derive(Serialize, ToSchema)]
pub(super) struct Allocation {
    /// The address that peers see.
    #[schema(example = "203.0.113.1:50000")]
    relayed: String,
    /// The address of the client.
    client: String,
    /// `udp`, `tcp` or `tls`.
    transport: &'static str,
    /// The username of the client's credentials.
    username: String,
    /// The key whose limits the client has.
    key: String,
    /// The time at which it was made, in seconds since 1970.
    since: u64,
    /// Bytes that it has relayed, in both directions.
    bytes: u64,
}

/// A page of allocations.
#[derive(Serialize, ToSchema)]
pub(super) struct AllocationPage {
    /// Sorted by relayed address.
    allocations: Vec<Allocation>,
    /// The `after` of the next page; `null` on the last page.
    next: Option<String>,
}

impl From<AllocationReport> for Allocation {
    fn from(of: AllocationReport) -> Self {
        let AllocationReport { relayed, client, transport, username, key, since, bytes } = of;
        let [relayed, client] = [relayed, client].map(|address| address.to_string());
        Allocation { relayed, client, transport, username, key, since, bytes }
    }
}

/// Lists the allocations of this node's TURN server.
#[utoipa::path(
    tag = "turn",
    params(Page),
    responses((status = OK, body = AllocationPage, description = "one page of allocations"), Problem)
)]
#[get("/api/turn/allocations")]
pub(super) async fn list_allocations(ops: Data<AdminState>, page: Query<Page>) -> JsonResult<AllocationPage> {
    let limit = page.limit()?;
    let search = Search::new(page.search.as_deref());
    let after = page.after.as_deref().map(address).transpose()?;
    let mut found = ops.runtime.turn().map(|turn| turn.allocations()).unwrap_or_default();
    found.retain(|of| after.is_none_or(|after| of.relayed > after));
    found.retain(|of| search.is_in(&of.username) || search.begins(&of.client.to_string()));
    found.sort_by_key(|of| of.relayed);
    let found = found.into_iter().map(Allocation::from);
    let (allocations, next) = cut_to_page(found, limit, |last| last.relayed.clone());
    Ok(Json(AllocationPage { allocations, next }))
}

/// Ends an allocation of this node. Its client learns that when it refreshes it, and may make another one: to
/// keep it out, ban its address, or take its user away.
#[utoipa::path(
    tag = "turn",
    params(("relayed" = String, Path, example = "203.0.113.1:50000")),
    responses((status = NO_CONTENT, description = "the allocation is over"), Problem)
)]
#[delete("/api/turn/allocations/{relayed}")]
pub(super) async fn end_allocation(
    ops: Data<AdminState>,
    request: HttpRequest,
    target: ReqData<Target>,
) -> Reply {
    let path = target.below("api").unwrap_or_default();
    let relayed = address(path.trim_start_matches("turn/allocations/"))?;
    let ended = ops.runtime.turn().and_then(|turn| turn.end(relayed));
    let username = ended.ok_or_else(|| Problem::not_found("no allocation has this address"))?;
    let by = actor(&request);
    ops.runtime.events.emit(|| Event::AllocationEnded { relayed, username, by });
    Ok(HttpResponse::NoContent().finish())
}

fn address(text: &str) -> Result<SocketAddr, Problem> {
    text.parse().map_err(|_| Problem::unprocessable("expected a relayed address, as in 203.0.113.1:50000"))
}
