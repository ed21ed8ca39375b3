//! Tokens that may do a part of the API, for one key.

use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse, delete, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::object::Object;
use super::problem::Problem;
use super::state::{AdminState, Reply, actor, blocking};
use super::target::OfKey;
use peerbroker_keys::{KeyToken, TokenChange, TokenScope};

/// A token that is added.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// A name for people, such as that of the program that uses it.
    #[schema(max_length = 100)]
    name: String,
    /// The scopes of the token.
    #[schema(min_items = 1)]
    scopes: Vec<TokenScope>,
}

/// A token that was added.
#[derive(Serialize, ToSchema)]
struct AddedToken {
    /// Text of the token, which is not shown again.
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
    ops: Data<AdminState>,
    request: HttpRequest,
    OfKey { key, names: [] }: OfKey,
    body: Json<Object<NewToken>>,
) -> Reply {
    let actor = actor(&request);
    let Object(NewToken { name, scopes }) = body.into_inner();
    let (token, text) = KeyToken::new(&key, &name, scopes);
    blocking(ops, move |runtime| Ok(runtime.control.change_token(actor, &key, TokenChange::Add(token))?))
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
    ops: Data<AdminState>,
    request: HttpRequest,
    OfKey { key, names: [name] }: OfKey<1>,
) -> Reply {
    let actor = actor(&request);
    blocking(ops, move |runtime| Ok(runtime.control.change_token(actor, &key, TokenChange::Remove(name))?))
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
