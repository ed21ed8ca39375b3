//! The rooms of a key, their members, and the topics.

use std::sync::Arc;

use actix_web::get;
use actix_web::web::{Data, Json, Query};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::keys::tenant;
use super::problem::Problem;
use super::state::{AdminState, JsonResult, Page, Search, cut_to_page};
use super::target::OfKey;
use peerbroker_core::vocabulary::{RealmKind, expected};
use peerbroker_rooms::Rooms;

/// A room.
#[derive(Serialize, ToSchema)]
#[schema(as = Room)]
pub(super) struct ShownRoom {
    /// Name of the room.
    name: String,
    /// Number of its members, of all nodes.
    members: usize,
}

/// A page of rooms.
#[derive(Serialize, ToSchema)]
pub(super) struct RoomPage {
    /// Sorted by name.
    rooms: Vec<ShownRoom>,
    /// The `after` of the next page; `null` on the last page.
    next: Option<String>,
}

/// A topic.
#[derive(Serialize, ToSchema)]
pub(super) struct Topic {
    /// Name of the topic.
    name: String,
    /// Number of its subscribers, of all nodes.
    subscribers: usize,
}

/// A page of topics.
#[derive(Serialize, ToSchema)]
pub(super) struct TopicPage {
    /// Sorted by name.
    topics: Vec<Topic>,
    /// The `after` of the next page; `null` on the last page.
    next: Option<String>,
}

/// A client in a room.
#[derive(Serialize, ToSchema)]
pub(super) struct Member {
    /// Id of the client.
    id: String,
    /// Public data of the client: any JSON value. Missing if it has none.
    #[schema(value_type = Option<serde_json::Value>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
}

/// A page of members.
#[derive(Serialize, ToSchema)]
pub(super) struct MemberPage {
    /// Sorted by id.
    members: Vec<Member>,
    /// The `after` of the next page; `null` on the last page.
    next: Option<String>,
}

/// Lists the rooms of a key that have members, of all nodes.
#[utoipa::path(
    tag = "rooms",
    params(("key" = String, Path, example = "my-game"), Page),
    responses((status = OK, body = RoomPage, description = "one page of rooms"), Problem)
)]
#[get("/api/keys/{key}/rooms")]
pub(super) async fn list_rooms(
    ops: Data<AdminState>,
    OfKey { key, names: [] }: OfKey,
    page: Query<Page>,
) -> JsonResult<RoomPage> {
    let rooms = tenant(ops, key).await?.and_then(|tenant| tenant.existing_rooms(RealmKind::PeerJs));
    let (rooms, next) = one_page(rooms, &page, |(name, members)| ShownRoom { name, members })?;
    Ok(Json(RoomPage { rooms, next }))
}

/// Lists the topics of a key that have subscribers, of all nodes.
#[utoipa::path(
    tag = "rooms",
    params(("key" = String, Path, example = "my-game"), Page),
    responses((status = OK, body = TopicPage, description = "one page of topics"), Problem)
)]
#[get("/api/keys/{key}/topics")]
pub(super) async fn list_topics(
    ops: Data<AdminState>,
    OfKey { key, names: [] }: OfKey,
    page: Query<Page>,
) -> JsonResult<TopicPage> {
    let rooms = tenant(ops, key).await?.and_then(|tenant| tenant.existing_rooms(RealmKind::Guests));
    let (topics, next) = one_page(rooms, &page, |(name, subscribers)| Topic { name, subscribers })?;
    Ok(Json(TopicPage { topics, next }))
}

/// A page of rooms or topics, of their names and numbers of members, and the `after` of the next one.
fn one_page<T>(
    rooms: Option<Arc<Rooms>>,
    page: &Page,
    entry: impl FnMut((String, usize)) -> T,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let limit = page.limit()?;
    let search = Search::new(page.search.as_deref());
    let rooms = rooms.into_iter().flat_map(|rooms| rooms.behind(page.after.as_deref()));
    let rooms = rooms.filter(|(name, _)| search.is_in(name));
    let (rooms, next) = cut_to_page(rooms, limit, |(name, _)| name.clone());
    Ok((rooms.into_iter().map(entry).collect(), next))
}

/// Lists the members of a room, of all nodes; none if there is no such room. Clients that may come back
/// within the reclaim timeout are among them.
#[utoipa::path(
    tag = "rooms",
    params(("key" = String, Path, example = "my-game"), ("name" = String, Path, example = "lobby"), Page),
    responses((status = OK, body = MemberPage, description = "one page of members"), Problem)
)]
#[get("/api/keys/{key}/rooms/{name}/members")]
pub(super) async fn list_members(
    ops: Data<AdminState>,
    OfKey { key, names: [name] }: OfKey<1>,
    page: Query<Page>,
) -> JsonResult<MemberPage> {
    let limit = page.limit()?;
    let search = Search::new(page.search.as_deref());
    let rooms = tenant(ops, key).await?.and_then(|tenant| tenant.existing_rooms(RealmKind::PeerJs));
    let members = rooms.into_iter().flat_map(|rooms| rooms.members_behind(&name, page.after.as_deref()));
    let member = |(id, data): (_, Option<String>)| Member {
        id,
        data: data.map(|data| expected(RawValue::from_string(data), "JSON of a client")),
    };
    let members = members.filter(|(id, _)| search.is_in(id)).map(member);
    let (members, next) = cut_to_page(members, limit, |member| member.id.clone());
    Ok(Json(MemberPage { members, next }))
}
