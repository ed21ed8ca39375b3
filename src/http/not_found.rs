//! A 404 that explains itself: people's first mistake is the client's `path`.

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::mounted::Mounted;
use super::routes::{self, Route};
use super::seen;
use crate::client_options::ClientOptions;

/// Most characters of the asked path that are shown.
const SHOWN: usize = 200;

pub(super) fn page(mounted: &Mounted, request: &HttpRequest) -> HttpResponse {
    let options = seen::client_options(mounted, request);
    let text = text(mounted, request.method().as_str(), request.path(), &options);
    HttpResponse::NotFound()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")))
        // It repeats the host, which a cache in front may not know to be part of what was asked.
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .body(text)
}

/// What was asked, what this server's path and key are, and the client options that match.
pub(super) fn text(mounted: &Mounted, method: &str, path: &str, options: &ClientOptions) -> String {
    let asked = without_token(path);
    let mount = mounted.path.as_str();
    let key = mounted.parts.config().shown_key();
    let key = key.as_str();
    let hint = match routes::find(&mounted.path, path) {
        Route::Socket => {
            "This is the address of the WebSocket: it answers only to a GET that asks for an upgrade.\n"
        }
        Route::Outside => "Nothing is outside this server's path.\n",
        _ => "",
    };
    format!(
        "404: {method} {asked} is nothing here.\n\
         {hint}\n\
         This is a peerbroker, a server for PeerJS. Its path is {mount:?} and its key is {key:?}.\n\
         A client finds it with\n\n\
         \x20   new Peer({options})\n"
    )
}

// In the addresses of PeerJS 0.3.x, {key}/{id}/{token}/offer, the token is a segment.
fn without_token(path: &str) -> String {
    let mut segments: Vec<&str> = path.split('/').collect();
    let words = ["id", "offer", "answer", "candidate", "leave"];
    let last = segments.iter().rposition(|segment| words.contains(segment)).unwrap_or_default();
    if let Some([_root, .., _key, _id, token, _word]) = segments.get_mut(..=last) {
        *token = "…";
    }
    segments.join("/").chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_a_path_is_not_shown() {
        assert_eq!(without_token("/peerjs/someid/secret/offer"), "/peerjs/someid/…/offer");
        assert_eq!(without_token("/x/peerjs/someid/secret/id/"), "/x/peerjs/someid/…/id/");
        assert_eq!(without_token("/"), "/");
        assert_eq!(without_token("/peerjs/peerjs/id"), "/peerjs/peerjs/id");
    }
}
