//! What PeerJS clients ask for over HTTP.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use uuid::Uuid;

use super::mounted::Mounted;
use super::response::plain;
use super::{endpoint, percent, seen};
use crate::app::Parts;
use crate::wire::RealmKind;

const ABOUT: &str = r#"{"name":"PeerJS Server","description":"A server side element to broker connections between PeerJS clients.","website":"https://peerjs.com/"}"#;

/// What the reference says about itself: tools look for it.
pub(super) fn about() -> HttpResponse {
    json(ABOUT.to_owned())
}

/// Whether a key may be used from the page that asks. An unknown key is refused to nobody here, as in the
/// reference. Browsers name no origin when a page asks the very server it comes from, so who names none
/// counts as such a page.
pub(super) fn admits(mounted: &Mounted, key: &str, request: &HttpRequest) -> bool {
    let active = percent::decode(key).and_then(|key| mounted.parts.keys.get(&key));
    active.is_none_or(|active| {
        let settings = &active.key.settings;
        match endpoint::origin(request.headers()) {
            Some(origin) => settings.admits(Some(&origin)),
            None => settings.admits(None) || settings.admits(Some(&own_origin(mounted, request))),
        }
    })
}

/// The origin of pages that come from this server.
pub(super) fn own_origin(mounted: &Mounted, request: &HttpRequest) -> String {
    seen::client_options(mounted, request).origin()
}

/// A fresh id, never that of a connected peer; for one who brings a token that says whose it is, that
/// id. `text/html` as in the reference, though it is text.
pub(super) async fn new_id(parts: &Parts, key: &str, request: &HttpRequest) -> HttpResponse {
    let active = percent::decode(key).and_then(|key| parts.keys.get(&key));
    let is_held = |id: &str| active.as_ref().is_some_and(|active| active.tenant.has_peer(id));
    let mut id = Uuid::new_v4().to_string();
    while is_held(&id) {
        id = Uuid::new_v4().to_string();
    }
    if let (Some(active), Some(token)) = (&active, bearer(request)) {
        match active.id_of(token).await {
            Ok(Some(owned)) => id = owned.to_string(),
            Ok(None) => {}
            Err(_) => return plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
        }
    }
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .body(id)
}

fn bearer(request: &HttpRequest) -> Option<&str> {
    let (scheme, token) = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Most ids on one page.
const PAGE: usize = 1000;

/// The ids of all peers of a key, where discovery is on: those of a page if the query asks for one. `key` is
/// percent-encoded.
pub(super) fn peers(parts: &Parts, key: &str, query: &str) -> HttpResponse {
    let Some(key) = percent::decode(key) else {
        return plain(StatusCode::BAD_REQUEST, "Bad Request");
    };
    match parts.keys.get(&key) {
        Some(active) if active.key.settings.allow_discovery => {
            let peers = active.tenant.existing(RealmKind::PeerJs);
            let ids = match Page::asked_for(query) {
                None => peers.map(|peers| peers.ids()),
                Some(Ok(Page { after, limit })) => peers.map(|peers| peers.page(after.as_deref(), limit)),
                Some(Err(NoPage)) => {
                    return plain(StatusCode::BAD_REQUEST, "limit is a whole number from 1 on\n");
                }
            };
            let ids = ids.unwrap_or_default();
            let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
            json(serde_json::json!(ids).to_string())
        }
        _ => plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
    }
}

/// Some of the ids of a key.
struct Page<'a> {
    after: Option<Cow<'a, str>>,
    limit: usize,
}

/// A page that cannot be.
struct NoPage;

impl<'a> Page<'a> {
    /// What a query asks for; `None` is all that there are, as the reference gives them.
    fn asked_for(query: &'a str) -> Option<Result<Self, NoPage>> {
        let value = |wanted: &str| {
            form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == wanted).last().map(|(_, v)| v)
        };
        let (after, limit) = (value("after"), value("limit"));
        if after.is_none() && limit.is_none() {
            return None;
        }
        let limit = limit.map_or(Ok(PAGE), |limit| match limit.parse() {
            Ok(limit @ 1_usize..) => Ok(limit.min(PAGE)),
            _ => Err(NoPage),
        });
        Some(limit.map(|limit| Page { after, limit }))
    }
}

fn json(text: String) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8")))
        .body(text)
}
