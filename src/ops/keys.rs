//! Keys: what each of them may do.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::page::{self, Page};
use super::problem::Problem;
use super::state::{Ops, blocking, by};
use crate::app::Parts;
use crate::keys::{Change, Key, RANDOM_KEY_CHARS, Settings};
use crate::wire::ApiKey;

/// An object of JSON. The types that it is read into would take arrays as well.
type Body = web::Json<Map<String, Value>>;

/// A key that is to be added: what is in a [`Change`], and the key itself.
struct NewKey;

/// A key as the API shows it.
#[derive(Serialize, ToSchema)]
#[schema(as = ShownKey)]
pub(super) struct Shown {
    /// Never with a secret.
    #[serde(flatten)]
    #[schema(value_type = Key)]
    key: Value,
    /// How many clients it has now.
    clients: usize,
}

/// Some keys.
#[derive(Serialize, ToSchema)]
#[schema(as = KeyPage)]
pub(super) struct Keys {
    /// In the order of their text.
    keys: Vec<Shown>,
    /// What to ask for as `after` to get the next page; `null` if this is the last one.
    next: Option<String>,
}

impl PartialSchema for NewKey {
    fn schema() -> RefOr<Schema> {
        let key = ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).description(Some(
            format!(
                "The key itself, 1 to {} bytes; if it is left out, {RANDOM_KEY_CHARS} random letters and digits.",
                ApiKey::MAX_BYTES
            ),
        ));
        let mut schema = Change::schema();
        if let RefOr::T(Schema::Object(object)) = &mut schema {
            object.properties.insert("key".to_owned(), key.into());
            object.description =
                Some("A key that is to be added. What is left out has its default.".to_owned());
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

/// The keys.
#[utoipa::path(tag = "keys", operation_id = "list_keys", params(Page), responses((status = OK, body = Keys, description = "some keys"), Problem))]
#[get("/api/keys")]
pub(super) async fn list(ops: web::Data<Ops>, page: web::Query<Page>) -> Result<web::Json<Keys>, Problem> {
    let limit = page.limit()?;
    let keys = blocking(ops, move |parts| {
        let mut keys = parts.admin.all_keys()?;
        let after = page.after.as_deref();
        keys.retain(|key| after.is_none_or(|after| key.key.as_str() > after));
        keys.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        keys.truncate(limit + 1);
        let next = page::cut(&mut keys, limit, |key| key.key.to_string());
        let keys = keys.iter().map(|key| shown(parts, key)).collect::<Result<_, _>>()?;
        Ok(Keys { keys, next })
    });
    Ok(web::Json(keys.await?))
}

/// Adds a key.
#[utoipa::path(
    tag = "keys",
    operation_id = "add_key",
    request_body = NewKey,
    responses(
        (status = CREATED, body = Shown, description = "the key", headers(("Location" = String, description = "where it is"))),
        Problem
    )
)]
#[post("/api/keys")]
pub(super) async fn add(
    ops: web::Data<Ops>,
    request: HttpRequest,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let (by, mut body) = (by(&request), body.into_inner());
    let key: Option<String> = read(body.remove("key").unwrap_or_default())?;
    let key = key.map(|key| ApiKey::parse(&key)).transpose()?;
    let settings: Change = read(Value::Object(body))?;
    let (added, location) = blocking(ops, move |parts| {
        let mut key = Key::new(key, "", Settings::default());
        key.apply(settings);
        let key = parts.admin.add_key(by, key)?;
        Ok((shown(parts, &key)?, format!("/api/keys/{}", in_path(key.key.as_str()))))
    })
    .await?;
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(added))
}

/// One key.
#[utoipa::path(
    tag = "keys",
    operation_id = "show_key",
    params(("key" = String, Path, example = "my-game")),
    responses((status = OK, body = Shown, description = "the key"), Problem)
)]
#[get("/api/keys/{key}")]
pub(super) async fn show(ops: web::Data<Ops>, key: web::Path<String>) -> Result<web::Json<Shown>, Problem> {
    let key = named(&key)?;
    let found = blocking(ops, move |parts| shown(parts, &parts.admin.one_key(&key)?));
    Ok(web::Json(found.await?))
}

/// Changes what is named of a key; all else stays.
#[utoipa::path(
    tag = "keys",
    operation_id = "change_key",
    params(("key" = String, Path, example = "my-game")),
    request_body(content = Change, example = json!({"allow_discovery": true})),
    responses((status = OK, body = Shown, description = "the key"), Problem)
)]
#[patch("/api/keys/{key}")]
pub(super) async fn change(
    ops: web::Data<Ops>,
    request: HttpRequest,
    key: web::Path<String>,
    body: Body,
) -> Result<web::Json<Shown>, Problem> {
    let (by, key) = (by(&request), named(&key)?);
    let change: Change = read(Value::Object(body.into_inner()))?;
    let changed = blocking(ops, move |parts| {
        let changed = parts.admin.change_key(by, &key, change)?;
        shown(parts, &changed)
    });
    Ok(web::Json(changed.await?))
}

/// Removes a key and closes its clients.
#[utoipa::path(
    tag = "keys",
    operation_id = "remove_key",
    params(("key" = String, Path, example = "my-game")),
    responses((status = NO_CONTENT, description = "done"), Problem)
)]
#[delete("/api/keys/{key}")]
pub(super) async fn remove(
    ops: web::Data<Ops>,
    request: HttpRequest,
    key: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let (by, key) = (by(&request), named(&key)?);
    blocking(ops, move |parts| Ok(parts.admin.remove_key(by, &key)?)).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The key of a path. One that cannot be is simply not there.
pub(super) fn named(key: &str) -> Result<ApiKey, Problem> {
    ApiKey::parse(key).map_err(|_| Problem::not_found("there is no such key"))
}

fn read<T: DeserializeOwned>(json: Value) -> Result<T, Problem> {
    serde_json::from_value(json).map_err(|error| Problem::unprocessable(error.to_string()))
}

fn in_path(key: &str) -> String {
    percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn shown(parts: &Parts, key: &Key) -> Result<Shown, Problem> {
    let json = key.public_json().map_err(|error| {
        log::error!("cannot write a key as JSON: {error}");
        Problem::failed()
    })?;
    Ok(Shown { key: json, clients: parts.keys.get(key.key.as_str()).map_or(0, |active| active.tenant.len()) })
}
