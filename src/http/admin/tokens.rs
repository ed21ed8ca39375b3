//! Tokens that may do a part of the API, for one key.

use actix_web::http::Method;
use actix_web::web::{Data, Json, Path};
use actix_web::{HttpRequest, HttpResponse, delete, post};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keys::parse_key;
use super::problem::Problem;
use super::state::{Ops, Reply, actor, blocking};
use crate::keys::{KeyToken, TokenChange, TokenScope};
use crate::wire::ApiKey;

/// A token that is added.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// A name for people, such as that of the program that uses it.
    #[schema(max_length = 100)]
    name: String,
    /// The scopes of the token.
    scopes: Vec<TokenScope>,
}

/// A token that was added.
#[derive(Serialize, ToSchema)]
struct AddedToken {
    /// Its text, which is not shown again.
    token: String,
}

/// Adds a token for a key. Programs send it as they send the admin token.
#[utoipa::path(
    tag = "tokens",
    params(("key" = String, Path, example = "my-game")),
    request_body(content = NewToken, example = json!({"name": "shop", "scopes": ["messages"]})),
    responses((status = CREATED, body = AddedToken, description = "the token"), Problem)
)]
#[post("/api/keys/{key}/tokens")]
pub(super) async fn add_token(
    ops: Data<Ops>,
    request: HttpRequest,
    key: Path<String>,
    body: Json<NewToken>,
) -> Reply {
    let (actor, key, NewToken { name, scopes }) = (actor(&request), parse_key(&key)?, body.into_inner());
    let (token, text) = KeyToken::new(&key, &name, scopes);
    blocking(ops, move |runtime| Ok(runtime.admin.change_token(actor, &key, TokenChange::Add(token))?))
        .await?;
    Ok(HttpResponse::Created().json(AddedToken { token: text }))
}

/// Removes a token of a key: it is not valid any more.
#[utoipa::path(
    tag = "tokens",
    params(("key" = String, Path, example = "my-game"), ("name" = String, Path, example = "shop")),
    responses((status = NO_CONTENT, description = "the token is removed"), Problem)
)]
#[delete("/api/keys/{key}/tokens/{name}")]
pub(super) async fn remove_token(
    ops: Data<Ops>,
    request: HttpRequest,
    path: Path<(String, String)>,
) -> Reply {
    let (actor, (key, name)) = (actor(&request), path.into_inner());
    let key = parse_key(&key)?;
    blocking(ops, move |runtime| Ok(runtime.admin.change_token(actor, &key, TokenChange::Remove(name))?))
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The scope that a request needs, and its key. `None` if tokens of keys may not send it.
pub(super) fn needed(method: &Method, pattern: Option<&str>, path: &str) -> Option<(TokenScope, ApiKey)> {
    let scope = match (method.as_str(), pattern?) {
        (
            "POST",
            "/api/keys/{key}/messages"
            | "/api/keys/{key}/peers/{id}/messages"
            | "/api/keys/{key}/rooms/{name}/messages",
        ) => TokenScope::Messages,
        (
            "GET" | "HEAD",
            "/api/keys/{key}/peers"
            | "/api/keys/{key}/peers/{id}"
            | "/api/keys/{key}/rooms"
            | "/api/keys/{key}/rooms/{name}/members",
        ) => TokenScope::PeersRead,
        ("DELETE", "/api/keys/{key}/peers/{id}") => TokenScope::Kick,
        _ => return None,
    };
    let key = percent_decode_str(path.split('/').nth(3)?).decode_utf8().ok()?;
    Some((scope, ApiKey::parse(&key).ok()?))
}
