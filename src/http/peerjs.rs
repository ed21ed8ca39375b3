//! The HTTP endpoints of PeerJS: ids, and the list of peers.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::legacy::too_many_requests;
use super::mounted::Mounted;
use super::response::plain;
use super::{endpoint, forwarded, ids, percent};
use crate::app::Parts;
use crate::keys::IdStyle;
use crate::wire::{PeerId, RealmKind};

const ABOUT: &str = r#"{"name":"PeerJS Server","description":"A server side element to broker connections between PeerJS clients.","website":"https://peerjs.com/"}"#;

/// Tells the built-in pages that no client can open with this key. PeerJS does not look at it.
const UNKNOWN_KEY: (&str, &str) = ("x-peerbroker-key", "unknown");

/// The same text as peerjs-server: tools look for it.
pub(super) fn about() -> HttpResponse {
    json(ABOUT.to_owned())
}

/// Whether the page that sends the request may use the key. An unknown key is admitted here, as in peerjs-server.
/// Browsers omit `Origin` on same-origin requests, so a request without it counts as one from this server's own page.
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

/// The origin of this server's own pages.
pub(super) fn own_origin(mounted: &Mounted, request: &HttpRequest) -> String {
    forwarded::client_options(mounted, request).origin()
}

/// Answers with a fresh id, never that of a connected peer of any node. If the client sends a token with a subject, it gets that id.
/// The type is `text/html`, as in peerjs-server.
pub(super) async fn new_id(parts: &Parts, key: &str, request: &HttpRequest) -> HttpResponse {
    let key = percent::decode(key).unwrap_or_default();
    let active = parts.keys.get(&key);
    let style = active.as_ref().map_or(parts.config().id_style, |active| active.key.settings.id_style);
    let is_taken = async |id: &str| match (PeerId::parse(id), &active) {
        (Err(_), _) => true,
        (Ok(id), Some(active)) => parts.node.has_peer(active.tenant.key(), &id).await,
        (Ok(_), None) => false,
    };
    let mut id = match &parts.generate_id {
        Some(generate) => ids::untaken(|| generate(&key), is_taken).await,
        // Nobody else has the same one, so nobody is asked.
        None if style == IdStyle::Uuid => ids::random(style),
        None => ids::untaken(|| ids::random(style), is_taken).await,
    };
    if let (Some(active), Some(token)) = (&active, bearer(request)) {
        match active.id_of(token).await {
            Ok(Some(owned)) => id = owned.to_string(),
            Ok(None) => {}
            Err(_) => return plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
        }
    }
    let mut response = HttpResponse::Ok();
    if active.is_none() {
        response.insert_header(UNKNOWN_KEY);
    }
    response
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .body(id)
}

pub(super) fn bearer(request: &HttpRequest) -> Option<&str> {
    let (scheme, token) = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Most ids of a page.
const MAX_PAGE: usize = 1000;

/// Answers with the ids of all peers of a key, or of one page of them, if discovery is on. `key` is percent-encoded.
pub(super) async fn peers(parts: &Parts, key: &str, request: &HttpRequest) -> HttpResponse {
    let Some(key) = percent::decode(key) else {
        return plain(StatusCode::BAD_REQUEST, "Bad Request");
    };
    if !parts.keys.get(&key).is_some_and(|active| active.key.settings.allow_discovery) {
        return plain(StatusCode::UNAUTHORIZED, "Unauthorized");
    }
    // All nodes work for it, as they do for a client that opens.
    if parts.node.membership().is_some()
        && let Err(too_many) = endpoint::count_open(parts, request)
    {
        return too_many_requests(too_many);
    }
    let ids = match Page::asked_for(request.query_string()) {
        None => parts.node.all_ids(&key).await,
        Some(Ok(Page { after, limit })) => {
            parts.node.page(&key, Some(RealmKind::PeerJs), after.as_deref(), limit).await
        }
        Some(Err(InvalidLimit)) => {
            return plain(StatusCode::BAD_REQUEST, "limit is a whole number from 1 on\n");
        }
    };
    json(serde_json::json!(ids).to_string())
}

/// The page of ids that a query asks for.
struct Page<'a> {
    after: Option<Cow<'a, str>>,
    limit: usize,
}

/// The `limit` of a query is not a whole number from 1 on.
struct InvalidLimit;

impl<'a> Page<'a> {
    /// `None` if the query asks for all ids, as PeerJS does.
    fn asked_for(query: &'a str) -> Option<Result<Self, InvalidLimit>> {
        let value = |wanted: &str| {
            form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == wanted).last().map(|(_, v)| v)
        };
        let (after, limit) = (value("after"), value("limit"));
        if after.is_none() && limit.is_none() {
            return None;
        }
        let limit = limit.map_or(Ok(MAX_PAGE), |limit| match limit.parse() {
            Ok(limit @ 1_usize..) => Ok(limit.min(MAX_PAGE)),
            _ => Err(InvalidLimit),
        });
        Some(limit.map(|limit| Page { after, limit }))
    }
}

pub(super) fn json(text: String) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8")))
        .body(text)
}
