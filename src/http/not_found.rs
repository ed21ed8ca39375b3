//! The 404 names the correct client options, because a wrong `path` is the most common mistake.

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::forwarded;
use super::mounted::Mounted;
use super::routes::{self, Route};
use crate::client_options::ClientOptions;

/// Most characters of the requested path that are shown.
const MAX_SHOWN_CHARS: usize = 200;

pub(super) fn page(mounted: &Mounted, request: &HttpRequest) -> HttpResponse {
    let options = forwarded::client_options(mounted, request);
    let text = text(mounted, request.method().as_str(), request.path(), &options);
    HttpResponse::NotFound()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")))
        // The text contains the host, and the key of a cache in front may lack it.
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .body(text)
}

/// The text of the 404: the request, this server's path and key, and the correct client options.
pub(super) fn text(mounted: &Mounted, method: &str, path: &str, options: &ClientOptions) -> String {
    let path_shown = without_token(path);
    let mount = mounted.path.as_str();
    let key = mounted.parts.config().shown_key();
    let key = key.as_str();
    let hint = match routes::find(&mounted.path, path) {
        Route::Socket => {
            "This is the address of the WebSocket. It only answers a GET that asks for an upgrade.\n"
        }
        Route::Outside => {
            "This server only answers below its path. If your browser shows another path than this one, the proxy in front \
             changes it: have the proxy pass the path unchanged.\n"
        }
        _ => "",
    };
    format!(
        "404: {method} {path_shown} was not found.\n\
         {hint}\n\
         This is a peerbroker, a server for PeerJS. Its path is {mount:?} and its key is {key:?}.\n\
         A client finds it with\n\n\
         \x20   new Peer({options})\n"
    )
}

// PeerJS 0.3.x puts the token into paths: {key}/{id}/{token}/offer.
fn without_token(path: &str) -> String {
    let mut segments: Vec<&str> = path.split('/').collect();
    let words = ["id", "offer", "answer", "candidate", "leave"];
    let last = segments.iter().rposition(|segment| words.contains(segment)).unwrap_or_default();
    if let Some([_root, .., _key, _id, token, _word]) = segments.get_mut(..=last) {
        *token = "…";
    }
    segments.join("/").chars().filter(|c| !c.is_control()).take(MAX_SHOWN_CHARS).collect()
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
