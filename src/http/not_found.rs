//! A 404 that explains itself: people's first mistake is the client's `path`.

use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::Mounted;
use super::peerjs::encode_key;
use super::routes::{self, Route};

/// Most characters of the asked path that are shown.
const SHOWN: usize = 200;

pub(super) fn page(mounted: &Mounted, request: &HttpRequest) -> HttpResponse {
    let text = text(mounted, request.method().as_str(), request.path(), request.headers());
    HttpResponse::NotFound()
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .body(text)
}

/// What was asked, what this server's path and key are, and the client options that match.
pub(super) fn text(mounted: &Mounted, method: &str, path: &str, headers: &HeaderMap) -> String {
    let asked = without_token(path);
    let mount = mounted.path.as_str();
    let key = encode_key(mounted.service.config.key.as_str());
    let Origin { host, port, secure } = Origin::of(mounted, headers);
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
         \x20   new Peer({{ host: {host:?}, port: {port}, path: {mount:?}, key: {key:?}, secure: {secure} }})\n"
    )
}

/// Where the client found this server: host, port, and whether over TLS.
pub(super) struct Origin {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) secure: bool,
}

impl Origin {
    /// What the request says, or what a trusted proxy in front of us says.
    pub(super) fn of(mounted: &Mounted, headers: &HeaderMap) -> Self {
        let proxied = mounted.service.config.proxied;
        let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let forwarded = |name: &'static str| header(HeaderName::from_static(name)).filter(|_| proxied);
        let secure = forwarded("x-forwarded-proto").map_or(mounted.secure, |proto| proto == "https");
        let host = forwarded("x-forwarded-host").or_else(|| header(header::HOST)).unwrap_or("localhost");
        let host: String = host.chars().take(SHOWN).collect();
        let default = if secure { 443 } else { 80 };
        match host.rsplit_once(':') {
            Some((name, port)) if !name.is_empty() && !port.ends_with(']') => {
                Origin { host: name.to_owned(), port: port.parse().unwrap_or(default), secure }
            }
            _ => Origin { host, port: default, secure },
        }
    }
}

// In the addresses of PeerJS 0.3.x, {key}/{id}/{token}/offer, the token is a segment.
fn without_token(path: &str) -> String {
    let mut segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    if let [_root, .., _key, _id, token, "id" | "offer" | "answer" | "candidate" | "leave"] =
        &mut segments[..]
    {
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
        assert_eq!(without_token("/x/peerjs/someid/secret/id/"), "/x/peerjs/someid/…/id");
        assert_eq!(without_token("/peerjs/peerjs/id"), "/peerjs/peerjs/id");
    }
}
