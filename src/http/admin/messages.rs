//! Messages of the app's server to its clients.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, post};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::state::{AdminState, Reply};
use super::target::OfKey;
use peerbroker_core::vocabulary::PeerId;
use peerbroker_node::{Sent, is_of_connection};

/// The outcome of a message.
#[derive(Serialize, ToSchema)]
struct MessageOutcome {
    /// Number of clients that it goes to. Members of a room that are away count.
    reached: usize,
    /// True if it waits for an absent client.
    waits: bool,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// True if the message waits for an absent client, as messages of peers do.
    #[serde(default)]
    wait: bool,
}

/// Sends a message to a PeerJS client, on any node. The body is its payload, any JSON value.
#[utoipa::path(
    tag = "messages",
    params(("key" = String, Path, example = "my-game"), ("id" = String, Path, example = "alice"), WaitQuery),
    request_body(content = serde_json::Value, example = json!({"news": "it begins at nine"})),
    responses((status = ACCEPTED, body = MessageOutcome, description = "the message is on its way, or waits"), Problem)
)]
#[post("/api/keys/{key}/peers/{id}/messages")]
pub(super) async fn send_to_peer(
    ops: Data<AdminState>,
    request: HttpRequest,
    OfKey { key, names: [id] }: OfKey<1>,
    Query(WaitQuery { wait }): Query<WaitQuery>,
    body: Payload,
) -> Reply {
    let node = &ops.runtime.node;
    let payload = payload(&ops, &request, body).await?;
    let sent = match PeerId::parse(&id) {
        Ok(id) => node.send(&key, &id, &payload, wait).await,
        Err(_) => Sent::Absent,
    };
    match sent {
        Sent::Reached => Ok(accepted(1, false)),
        Sent::Waits => Ok(accepted(0, true)),
        Sent::Absent => {
            Err(Problem::not_found("no such client is connected; with ?wait=true the message waits for it"))
        }
        Sent::Lost(reason) => {
            let limit = reason.limit().map_or("the key is not active any more", |limit| limit.row().label);
            let why = format!("too much waits for this client: {limit}");
            Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, why))
        }
    }
}

/// Sends a message to all PeerJS clients of a key, on all nodes. The body is its payload, any JSON value.
#[utoipa::path(
    tag = "messages",
    params(("key" = String, Path, example = "my-game")),
    request_body(content = serde_json::Value, example = json!({"news": "it begins at nine"})),
    responses((status = ACCEPTED, body = MessageOutcome, description = "the message is on its way"), Problem)
)]
#[post("/api/keys/{key}/messages")]
pub(super) async fn send_to_all(
    ops: Data<AdminState>,
    request: HttpRequest,
    OfKey { key, names: [] }: OfKey,
    body: Payload,
) -> Reply {
    let node = &ops.runtime.node;
    let payload = payload(&ops, &request, body).await?;
    if node.tenant(key.as_str()).is_none() {
        return Err(Problem::not_found("there is no such key, or it is disabled"));
    }
    Ok(accepted(node.send_to_all(&key, &payload).await, false))
}

/// Sends a message to all members of a room, on all nodes. The body is its payload, any JSON value. It waits
/// for members that are away.
#[utoipa::path(
    tag = "messages",
    params(("key" = String, Path, example = "my-game"), ("name" = String, Path, example = "lobby")),
    request_body(content = serde_json::Value, example = json!({"news": "it begins at nine"})),
    responses((status = ACCEPTED, body = MessageOutcome, description = "the message is on its way"), Problem)
)]
#[post("/api/keys/{key}/rooms/{name}/messages")]
pub(super) async fn send_to_room(
    ops: Data<AdminState>,
    request: HttpRequest,
    OfKey { key, names: [room] }: OfKey<1>,
    body: Payload,
) -> Reply {
    let payload = payload(&ops, &request, body).await?;
    match ops.runtime.node.send_to_room(&key, &room, &payload) {
        0 => Err(Problem::not_found("nobody is in such a room")),
        reached => Ok(accepted(reached, false)),
    }
}

fn accepted(reached: usize, waits: bool) -> HttpResponse {
    HttpResponse::Accepted().json(MessageOutcome { reached, waits })
}

/// Reads and checks the payload of a message, whose text stays as it is. It is bounded as a message of a
/// client.
async fn payload(ops: &AdminState, request: &HttpRequest, body: Payload) -> Result<String, Problem> {
    if request.content_type() != "application/json" {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json"));
    }
    let limit = ops.runtime.config().max_message_bytes;
    let too_long = || format!("a message has at most {limit} bytes (--max_message_bytes)");
    let read = body.to_bytes_limited(limit).await;
    let bytes = read.map_err(|_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, too_long()))?;
    let wrong = |why: String| Problem::new(StatusCode::BAD_REQUEST, why);
    let bytes = bytes.map_err(|error| wrong(error.to_string()))?;
    serde_json::from_slice::<IgnoredAny>(&bytes).map_err(|error| wrong(error.to_string()))?;
    let payload = String::from_utf8(bytes.into()).map_err(|error| wrong(error.to_string()))?;
    if is_of_connection(&payload) {
        let why = "connectionId: the payload may not have this member, for PeerJS would keep the message for a connection";
        return Err(Problem::unprocessable(why));
    }
    Ok(payload)
}
