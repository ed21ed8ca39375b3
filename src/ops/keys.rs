//! Operations on keys.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::page::{self, Page, Search};
use super::problem::Problem;
use super::state::{Ops, actor, blocking};
use crate::app::Parts;
use crate::keys::{Change, Key, RANDOM_KEY_CHARS, Settings};
use crate::wire::ApiKey;

/// A JSON object. serde would also read the types below from arrays.
type Body = web::Json<Map<String, Value>>;

/// The schema of a new key: a [`Change`] and the key itself.
struct NewKey;

/// A key as the API shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = ShownKey)]
pub(super) struct ShownKey {
    /// Without secrets.
    #[serde(flatten)]
    #[schema(value_type = Key)]
    key: Value,
    /// Number of connected clients.
    clients: usize,
}

/// One page of keys.
#[derive(Serialize, ToSchema)]
#[schema(as = KeyPage)]
pub(super) struct KeyPage {
    /// Sorted by key.
    keys: Vec<ShownKey>,
    /// The `after` of the next page; `null` on the last page.
    next: Option<String>,
}

impl PartialSchema for NewKey {
    fn schema() -> RefOr<Schema> {
        let key =
            ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).description(Some(format!(
                "The key itself, 1 to {} bytes. Default: {RANDOM_KEY_CHARS} random letters and digits.",
                ApiKey::MAX_BYTES
            )));
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
#[utoipa::path(tag = "keys", operation_id = "list_keys", params(Page), responses((status = OK, body = KeyPage, description = "one page of keys"), Problem))]
#[get("/api/keys")]
pub(super) async fn list(ops: web::Data<Ops>, page: web::Query<Page>) -> Result<web::Json<KeyPage>, Problem> {
    let limit = page.limit()?;
    let keys = blocking(ops, move |parts| {
        let mut keys = parts.admin.all_keys()?;
        let (after, search) = (page.after.as_deref(), Search::new(page.search.as_deref()));
        keys.retain(|key| after.is_none_or(|after| key.key.as_str() > after));
        keys.retain(|key| search.is_in(key.key.as_str()) || search.is_in(&key.name));
        keys.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        keys.truncate(limit + 1);
        let next = page::cut_to_page(&mut keys, limit, |key| key.key.to_string());
        let keys = keys.iter().map(|key| to_shown(parts, key)).collect::<Result<_, _>>()?;
        Ok(KeyPage { keys, next })
    });
    Ok(web::Json(keys.await?))
}

/// Adds a key.
#[utoipa::path(
    tag = "keys",
    operation_id = "add_key",
    request_body = NewKey,
    responses(
        (status = CREATED, body = ShownKey, description = "the key", headers(("Location" = String, description = "the path of the key"))),
        Problem
    )
)]
#[post("/api/keys")]
pub(super) async fn add(
    ops: web::Data<Ops>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let (actor, mut body) = (actor(&request), body.into_inner());
    let key: Option<String> = read(body.remove("key").unwrap_or_default())?;
    let key = key.map(|key| ApiKey::parse(&key)).transpose()?;
    let settings: Change = read(Value::Object(body))?;
    let (added, location) = blocking(ops, move |parts| {
        let mut key = Key::new(key, "", Settings::default());
        key.apply(settings);
        let key = parts.admin.add_key(actor, key)?;
        Ok((to_shown(parts, &key)?, format!("/api/keys/{}", in_path(key.key.as_str()))))
    })
    .await?;
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(added))
}

/// Shows a key.
#[utoipa::path(
    tag = "keys",
    operation_id = "show_key",
    params(("key" = String, Path, example = "my-game")),
    responses((status = OK, body = ShownKey, description = "the key"), Problem)
)]
#[get("/api/keys/{key}")]
pub(super) async fn show(
    ops: web::Data<Ops>,
    key: web::Path<String>,
) -> Result<web::Json<ShownKey>, Problem> {
    let key = parse_key(&key)?;
    let found = blocking(ops, move |parts| to_shown(parts, &parts.admin.one_key(&key)?));
    Ok(web::Json(found.await?))
}

/// Changes the given settings of a key; the others stay.
#[utoipa::path(
    tag = "keys",
    operation_id = "change_key",
    params(("key" = String, Path, example = "my-game")),
    request_body(content = Change, example = json!({"allow_discovery": true})),
    responses((status = OK, body = ShownKey, description = "the key"), Problem)
)]
#[patch("/api/keys/{key}")]
pub(super) async fn change(
    ops: web::Data<Ops>,
    request: HttpRequest,
    key: web::Path<String>,
    body: Body,
) -> Result<web::Json<ShownKey>, Problem> {
    let (actor, key) = (actor(&request), parse_key(&key)?);
    let change: Change = read(Value::Object(body.into_inner()))?;
    let changed = blocking(ops, move |parts| {
        let changed = parts.admin.change_key(actor, &key, change)?;
        to_shown(parts, &changed)
    });
    Ok(web::Json(changed.await?))
}

/// Removes a key and closes its clients.
#[utoipa::path(
    tag = "keys",
    operation_id = "remove_key",
    params(("key" = String, Path, example = "my-game")),
    responses((status = NO_CONTENT, description = "the key is removed"), Problem)
)]
#[delete("/api/keys/{key}")]
pub(super) async fn remove(
    ops: web::Data<Ops>,
    request: HttpRequest,
    key: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (actor, key) = (actor(&request), parse_key(&key)?);
    blocking(ops, move |parts| Ok(parts.admin.remove_key(actor, &key)?)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Reads the key of a path. An invalid key gets the same 404 as an unknown one.
pub(super) fn parse_key(key: &str) -> Result<ApiKey, Problem> {
    ApiKey::parse(key).map_err(|_| Problem::not_found("there is no such key"))
}

fn read<T: DeserializeOwned>(json: Value) -> Result<T, Problem> {
    serde_json::from_value(json).map_err(|error| Problem::unprocessable(error.to_string()))
}

fn in_path(key: &str) -> String {
    percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn to_shown(parts: &Parts, key: &Key) -> Result<ShownKey, Problem> {
    let json = key.public_json().map_err(|error| {
        log::error!("cannot write a key as JSON: {error}");
        Problem::internal()
    })?;
    Ok(ShownKey {
        key: json,
        clients: parts.keys.get(key.key.as_str()).map_or(0, |active| active.tenant.len()),
    })
}
