//! The 404 names the correct client options, because a wrong `path` is the most common mistake.

use actix_http::RequestHead;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::mounted::Mounted;
use super::routes::{self, Route};
use super::template::Values;
use super::{endpoint, forwarded, html};
use crate::client_options::ClientOptions;
use crate::events::Mistake;
use crate::session::Source;

/// Most characters of the requested path that are shown.
const MAX_SHOWN_CHARS: usize = 200;

pub(super) fn page(mounted: &Mounted, request: &HttpRequest) -> HttpResponse {
    note(mounted, request.head());
    let options = forwarded::client_options(mounted, request);
    if mounted.parts.config().pages && html::prefers_html(request) {
        return framed(mounted, request, options);
    }
    let text = text(mounted, request.method().as_str(), request.path(), &options);
    HttpResponse::NotFound()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")))
        // The text contains the host, and the key of a cache in front may lack it.
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .body(text)
}

/// Tells the operator that somebody asks for a path that has nothing.
pub(super) fn note(mounted: &Mounted, head: &RequestHead) {
    let mistake = Mistake::NotFound {
        method: head.method.to_string(),
        path: shown(head.uri.path()),
        mount: mounted.path.shown().to_owned(),
    };
    let Source { origin, address } = endpoint::source(&mounted.parts, head.headers(), head.peer_addr);
    mounted.parts.client_mistake(mistake, origin, address);
}

/// The 404 for people.
fn framed(mounted: &Mounted, request: &HttpRequest, options: ClientOptions) -> HttpResponse {
    let has_key = mounted.parts.config().default_key;
    let options = if has_key { options } else { ClientOptions { key: String::new(), ..options } };
    let asked = format!("{} {}", request.method(), shown(request.path()));
    let values = Values::of(mounted, options)
        .with("{{request}}", &asked)
        .with("{{hint}}", hint(mounted, request.path()).unwrap_or_default());
    let client = if has_key { "snippet.html" } else { "key-needed.html" };
    let client = values.part(client);
    let values = values.with_html("{{client}}", client);
    html::framed(StatusCode::NOT_FOUND, "Not found", values.part("not-found.html"), values)
}

/// The text of the 404: the request, this server's path and key, and the correct client options.
pub(super) fn text(mounted: &Mounted, method: &str, path: &str, options: &ClientOptions) -> String {
    let path_shown = shown(path);
    let mount = mounted.path.as_str();
    let hint = hint(mounted, path).map(|hint| format!("{hint}\n")).unwrap_or_default();
    let config = mounted.parts.config();
    let (key, client) = if config.default_key {
        (format!("and its key is {:?}", config.key.as_str()), options.to_string())
    } else {
        let client = ClientOptions { key: String::new(), ..options.clone() }.to_string();
        let client = format!("{}, key: …}}", client.trim_end_matches('}'));
        ("and it has no built-in key: clients need one from its operator".to_owned(), client)
    };
    format!(
        "404: {method} {path_shown} was not found.\n\
         {hint}\n\
         This is a peerbroker, a server for PeerJS. Its path is {mount:?} {key}.\n\
         A client finds it with\n\n\
         \x20   new Peer({client})\n"
    )
}

/// Why this path leads nowhere, if that is clear.
fn hint(mounted: &Mounted, path: &str) -> Option<&'static str> {
    match routes::find(&mounted.path, path) {
        Route::Socket => {
            Some("This is the address of the WebSocket. It only answers a GET that asks for an upgrade.")
        }
        Route::Outside => Some(
            "This server only answers below its path. If your browser shows another path than this one, the proxy in front \
             changes it: have the proxy pass the path unchanged.",
        ),
        _ => None,
    }
}

/// A path as pages and the log may show it: short, without control characters, and without a token. PeerJS 0.3.x puts
/// the token into paths: `{key}/{id}/{token}/offer`.
pub(super) fn shown(path: &str) -> String {
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
        assert_eq!(shown("/peerjs/someid/secret/offer"), "/peerjs/someid/…/offer");
        assert_eq!(shown("/x/peerjs/someid/secret/id/"), "/x/peerjs/someid/…/id/");
        assert_eq!(shown("/"), "/");
        assert_eq!(shown("/peerjs/peerjs/id"), "/peerjs/peerjs/id");
    }
}
