//! The document that says what the relay of Nostr is and takes (NIP-11).

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

use crate::runtime::Runtime;
use peerbroker_protocols::nostr::{MAX_ID, MAX_SUBSCRIPTIONS, MAX_VALUES};

const MEDIA_TYPE: &str = "application/nostr+json";

/// True if a request asks for it.
pub(super) fn is_asked_for(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let media_types = accept.iter().flat_map(|accept| accept.split(','));
    let mut media_types = media_types.filter_map(|range| range.split(';').next());
    media_types.any(|media_type| media_type.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}

pub(super) fn about(runtime: &Runtime) -> HttpResponse {
    let about = serde_json::json!({
        "name": "peerbroker",
        "description": "Connects pages. It stores nothing: events of the kinds 20000 to 29999 go to those who are subscribed now.",
        "software": env!("CARGO_PKG_REPOSITORY"),
        "version": env!("CARGO_PKG_VERSION"),
        "supported_nips": [1, 11],
        "limitation": {
            "max_message_length": runtime.config().max_message_bytes,
            "max_subscriptions": MAX_SUBSCRIPTIONS,
            "max_subid_length": MAX_ID,
            "max_event_tags": MAX_VALUES,
            "restricted_writes": true,
        },
    });
    HttpResponse::Ok().content_type(MEDIA_TYPE).body(about.to_string())
}
