//! Operations on keys.

use std::sync::Arc;

use actix_web::web::{Data, Json, Query};
use actix_web::{HttpRequest, HttpResponse, delete, get, http::header, patch, post};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize as _, Serialize};
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::object::Object;
use super::problem::Problem;
use super::state::{AdminState, JsonResult, Page, Reply, Search, actor, blocking, cut_to_page};
use super::target::OfKey;
use crate::runtime::Runtime;
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::{Change, Key, RANDOM_KEY_CHARS, Settings};
use peerbroker_node::Tenant;

/// The schema of a new key: a [`Change`] and the key itself.
struct NewKey;

/// A key as the API shows it.
#[derive(Serialize, ToSchema)]
pub(super) struct ShownKey {
    /// The key, without secrets.
    #[serde(flatten)]
    #[schema(value_type = Key)]
    key: Value,
    /// Number of connected clients.
    clients: usize,
}

/// A page of keys.
#[derive(Serialize, ToSchema)]
pub(super) struct KeyPage {
    /// Sorted by key.
    keys: Vec<ShownKey>,
    /// The `after` of the next page; `null` on the last page.
    next: Option<String>,
}

impl PartialSchema for NewKey {
    fn schema() -> RefOr<Schema> {
        let description = format!(
            "The key itself, 1 to {} bytes. Default: {RANDOM_KEY_CHARS} random letters and digits.",
            ApiKey::MAX_BYTES
        );
        let key = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .min_length(Some(1))
            .description(Some(description));
        let mut schema = Change::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.properties.insert("key".to_owned(), key.into());
            object.description = Some("A new key. Omitted members have their defaults.".to_owned());
            object.examples = vec![json!({
                "key": "my-game",
                "name": "My game",
                "origins": ["https://game.example.org"],
                "concurrent_limit": 100
            })];
        }
        schema
    }
}

impl ToSchema for NewKey {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Change::schemas(schemas);
    }
}

/// Lists keys.
#[utoipa::path(tag = "keys", params(Page), responses((status = OK, body = KeyPage, description = "one page of keys"), Problem))]
#[get("/api/keys")]
pub(super) async fn list_keys(ops: Data<AdminState>, page: Query<Page>) -> JsonResult<KeyPage> {
    let limit = page.limit()?;
    let shown = blocking(ops, move |runtime| {
        let mut keys = runtime.control.all_keys()?;
        let after = page.after.as_deref();
        let search = Search::new(page.search.as_deref());
        keys.retain(|key| after.is_none_or(|after| key.key.as_str() > after));
        keys.retain(|key| search.is_in(key.key.as_str()) || search.is_in(&key.name));
        keys.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let (keys, next) = cut_to_page(keys.into_iter(), limit, |key| key.key.as_str().to_owned());
        let keys = keys.iter().map(|key| to_shown(runtime, key)).collect::<Result<_, _>>()?;
        Ok(KeyPage { keys, next })
    });
    shown.await.map(Json)
}

/// Adds a key.
#[utoipa::path(
    tag = "keys",
    request_body = NewKey,
    responses(
        (status = CREATED, body = ShownKey, description = "the key", headers(("Location" = String, description = "the path of the key"))),
        Problem
    )
)]
#[post("/api/keys")]
pub(super) async fn add_key(
    ops: Data<AdminState>,
    request: HttpRequest,
    body: Json<Object<Map<String, Value>>>,
) -> Reply {
    let actor = actor(&request);
    let Object(mut body) = body.into_inner();
    let key = match body.remove("key") {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => Some(ApiKey::parse(&key)?),
        Some(other) => return Err(Problem::unprocessable(format!("key: expected a string, not {other}"))),
    };
    let read = Object::deserialize(Value::Object(body));
    let Object(settings) = read.map_err(|error| Problem::unprocessable(error.to_string()))?;
    let (added, location) = blocking(ops, move |runtime| {
        let mut key = Key::new(key, "", Settings::default());
        key.apply(settings);
        let key = runtime.control.add_key(actor, key)?;
        let in_path = utf8_percent_encode(key.key.as_str(), NON_ALPHANUMERIC);
        Ok((to_shown(runtime, &key)?, format!("/api/keys/{in_path}")))
    })
    .await?;
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(added))
}

/// Shows a key.
#[utoipa::path(
    tag = "keys",
    params(("key" = String, Path, example = "my-game")),
    responses((status = OK, body = ShownKey, description = "the key"), Problem)
)]
#[get("/api/keys/{key}")]
pub(super) async fn show_key(ops: Data<AdminState>, OfKey { key, names: [] }: OfKey) -> JsonResult<ShownKey> {
    blocking(ops, move |runtime| to_shown(runtime, &runtime.control.one_key(&key)?)).await.map(Json)
}

/// Changes the given settings of a key; the others stay.
#[utoipa::path(
    tag = "keys",
    params(("key" = String, Path, example = "my-game")),
    request_body(content = Change, example = json!({"allow_discovery": true})),
    responses((status = OK, body = ShownKey, description = "the key"), Problem)
)]
#[patch("/api/keys/{key}")]
pub(super) async fn change_key(
    ops: Data<AdminState>,
    request: HttpRequest,
    OfKey { key, names: [] }: OfKey,
    body: Json<Object<Change>>,
) -> JsonResult<ShownKey> {
    let actor = actor(&request);
    let Object(change) = body.into_inner();
    let shown = blocking(ops, move |runtime| {
        let changed = runtime.control.change_key(actor, &key, change)?;
        to_shown(runtime, &changed)
    });
    shown.await.map(Json)
}

/// Removes a key and closes its clients.
#[utoipa::path(
    tag = "keys",
    params(("key" = String, Path, example = "my-game")),
    responses((status = NO_CONTENT, description = "the key is removed"), Problem)
)]
#[delete("/api/keys/{key}")]
pub(super) async fn remove_key(
    ops: Data<AdminState>,
    request: HttpRequest,
    OfKey { key, names: [] }: OfKey,
) -> Reply {
    let actor = actor(&request);
    blocking(ops, move |runtime| Ok(runtime.control.remove_key(actor, &key)?)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The tenant of a key. A disabled key has none, and an unknown key is an error.
pub(super) async fn tenant(ops: Data<AdminState>, key: ApiKey) -> Result<Option<Arc<Tenant>>, Problem> {
    match ops.runtime.node.tenant(key.as_str()) {
        Some(tenant) => Ok(Some(tenant)),
        None => blocking(ops, move |runtime| Ok(runtime.control.one_key(&key).map(|_| None)?)).await,
    }
}

fn to_shown(runtime: &Runtime, key: &Key) -> Result<ShownKey, Problem> {
    let json = key.public_json().map_err(|error| {
        log::error!("cannot write a key as JSON: {error}");
        Problem::internal()
    })?;
    let clients = runtime.node.tenant(key.key.as_str()).map_or(0, |tenant| tenant.len());
    Ok(ShownKey { key: json, clients })
}
