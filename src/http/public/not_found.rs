//! The 404 names the correct client options, because a wrong `path` is the most common mistake.

use actix_http::RequestHead;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, http::StatusCode, http::header};

use super::files::WithoutHtml;
use super::handler::{Mounted, NO_STORE, NOSNIFF, plain, with};
use super::html::Values;
use super::routes::{self, Route};
use super::{documents, endpoint, forwarded, html};
use peerbroker_config::{ClientOptions, Dialect};
use peerbroker_core::vocabulary::{Address, printable};
use peerbroker_events::Mistake;
use peerbroker_node::session::{ClientSource, Credentials};
use peerbroker_protocols::{mistakes, peerjs};

/// Most characters of the requested path that are shown.
const MAX_SHOWN_CHARS: usize = 200;

pub(super) fn page(mounted: &Mounted, request: &HttpRequest) -> HttpResponse {
    let method = request.method().as_str();
    let path = request.path();
    let is_page = request.extensions().get::<WithoutHtml>().is_some();
    let advice = if is_page {
        let page = format!("{path}.html");
        Some((format!("Its file is at {}.", shown(&page)), Some(page)))
    } else {
        advice(mounted, path)
    };
    let source = endpoint::source(&mounted.runtime, request.head());
    record_with(mounted, method, path, &source, advice.as_ref().map(|(text, _)| text.clone()));
    let options = forwarded::client_options(mounted, request);
    if !mounted.runtime.config().pages || !html::prefers_html(request) {
        let hint = advice.map(|(hint, _)| format!("{hint}\n")).unwrap_or_default();
        let text = text_with(mounted, method, path, &options, &hint);
        // The text contains the host, and the key of a cache in front may lack it.
        return with(plain(StatusCode::NOT_FOUND, text), [NO_STORE, NOSNIFF]);
    }
    let has_key = mounted.runtime.config().default_key;
    let options = if has_key { options } else { ClientOptions { key: String::new(), ..options } };
    let (hint, page) = advice.unwrap_or_default();
    let page = page.map(|page| html::escape(&page));
    let link = page.map(|page| format!(r#"<a class="button" href="{page}">Open {page}</a>"#));
    let values = Values::of(mounted, options)
        .with("request", &format!("{method} {}", shown(path)))
        .with("hint", &hint)
        .with_html("place", link.unwrap_or_default());
    let client = values.part(if has_key { "one-snippet.html" } else { "key-needed.html" });
    let values = values.with_html("client", client);
    html::framed(StatusCode::NOT_FOUND, "Not found", values.part("not-found.html"), values)
}

/// Tells the operator that a client requests a path without content.
pub(super) fn record(mounted: &Mounted, method: &str, path: &str, source: &ClientSource) {
    record_with(mounted, method, path, source, advice(mounted, path).map(|(text, _)| text));
}

/// Tells the operator that a client sent this request for a path without content.
pub(super) fn record_request(mounted: &Mounted, head: &RequestHead) {
    record(mounted, head.method.as_str(), head.uri.path(), &endpoint::source(&mounted.runtime, head));
}

fn record_with(mounted: &Mounted, method: &str, path: &str, source: &ClientSource, advice: Option<String>) {
    source.record_mistake(&mounted.runtime.node, || Mistake::NotFound {
        method: method.to_owned(),
        path: shown(path),
        mount: mounted.path.shown().to_owned(),
        // The log names the right path instead.
        hint: advice.filter(|text| text != OUTSIDE),
        is_of_client: is_of_client(path),
    });
}

/// True if PeerJS asks for this path below a wrong one, or a page for a script of ours.
fn is_of_client(path: &str) -> bool {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    matches!(last, "id" | "peers" | "peerjs") || html::is_of_client(last)
}

/// Tells the operator that a client opens a WebSocket at a path that has none.
pub(super) fn record_socket(mounted: &Mounted, head: &RequestHead) {
    let mistake = Mistake::NoWebSocket { path: shown(head.uri.path()), hint: socket_advice(mounted, head) };
    endpoint::mistake(&mounted.runtime, head, mistake);
}

/// The reason why a path has no WebSocket, and the addresses of those that this server has.
pub(super) fn socket_advice(mounted: &Mounted, head: &RequestHead) -> String {
    let dialects = mounted.runtime.config().dialects;
    let mount = mounted.path.as_str();
    let path = head.uri.path();
    let below = path.strip_prefix(mount).or_else(|| path.strip_prefix('/')).unwrap_or_default();
    let first = below.split('/').next().unwrap_or_default();
    let of_path = Dialect::ALL.into_iter().find(|dialect| match dialect.address() {
        Address::Segment(segment) | Address::Room(segment) => segment == first,
        Address::Root => false,
    });
    match of_path {
        Some(dialect) if !dialects.has(dialect) => return format!("{}.", mistakes::turns_on(dialect)),
        Some(dialect) => {
            let place = mistakes::place(dialect.address(), mount);
            let below = mistakes::advice(dialect).below;
            if !below.is_empty() {
                return format!("The address is {place}: {below}.");
            }
        }
        None if first == "socket.io" => return SOCKET_IO.to_owned(),
        None if let Some(off) = turned_off(mounted, path) => return off,
        None if protocol(head).is_some_and(|protocol| protocol.starts_with("mqtt")) => {
            return format!("{}.", sentence(mistakes::MQTT));
        }
        None => {}
    }
    let is_of_peerjs = Credentials::are_in(head.uri.query().unwrap_or_default());
    if is_of_peerjs && dialects.has(Dialect::PeerJs) {
        let served = routes::socket(&mounted.path);
        return format!(
            "The one of this broker is at {served:?}: does a proxy in front, or a dev server, change the path?"
        );
    }
    let speaks = format!("This broker speaks the protocols of {}.", mistakes::addresses(dialects, mount));
    if routes::find(&mounted.path, path) == Route::Root {
        let of_root = Dialect::ALL.into_iter().filter(|dialect| dialect.address() == Address::Root);
        let all: Vec<String> = of_root.map(|dialect| format!("+{}", dialect.label())).collect();
        return format!(
            "--dialects turns on the protocols that are spoken here: {}. {speaks}",
            all.join(", ")
        );
    }
    // Its address has a room, and its library sends nothing else that would tell.
    if head.uri.query().is_none() && dialects.has(Dialect::Topics) {
        return format!("{speaks} If it is y-websocket, which adds a room to the address: {Y_WEBSOCKET}");
    }
    speaks
}

/// The subprotocol that a client offers.
fn protocol(head: &RequestHead) -> Option<&str> {
    head.headers().get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()
}

/// A text with a capital letter at its beginning.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Tells the operator once that a proxy in front cuts the path of PeerJS clients, which are served
/// nevertheless.
pub(super) fn record_cut(mounted: &Mounted, source: &ClientSource) {
    if source.is_doctor {
        return;
    }
    mounted.runtime.cut_path.call_once(|| {
        let path = mounted.path.shown().to_owned();
        source.record_mistake(&mounted.runtime.node, || Mistake::CutPath { path });
    });
}

/// The text of the 404 for a WebSocket.
pub(super) fn socket_text(mounted: &Mounted, head: &RequestHead, options: &ClientOptions) -> String {
    let hint = format!("{}\n", socket_advice(mounted, head));
    text_with(mounted, head.method.as_str(), head.uri.path(), options, &hint)
}

/// The text of the 404: the request, this server's path and key, and the correct client options.
pub(super) fn text(mounted: &Mounted, method: &str, path: &str, options: &ClientOptions) -> String {
    let hint = advice(mounted, path).map(|(hint, _)| format!("{hint}\n")).unwrap_or_default();
    text_with(mounted, method, path, options, &hint)
}

fn text_with(mounted: &Mounted, method: &str, path: &str, options: &ClientOptions, hint: &str) -> String {
    let config = mounted.runtime.config();
    let (key, client) = if config.default_key {
        (format!("and its key is {:?}", config.key.as_str()), options.to_string())
    } else {
        let client = ClientOptions { key: String::new(), ..options.clone() }.to_string();
        let client = format!("{}, key: …}}", client.trim_end_matches('}'));
        ("and it has no built-in key: clients need one from its operator".to_owned(), client)
    };
    format!(
        "404: {method} {} was not found.\n\
         {hint}\n\
         This is a peerbroker, a server for PeerJS. Its path is {:?} {key}.\n\
         A client finds it with\n\n\
         \x20   new Peer({client})\n",
        shown(path),
        mounted.path.as_str()
    )
}

const NO_UPGRADE: &str = "This is the address of the WebSocket. It only answers a GET that asks for an upgrade. If a client sent this \
    request, the proxy in front drops the Upgrade header: have it forward WebSocket upgrades.";

const OUTSIDE: &str = "This server only answers below its path. If your browser shows another path than this one, the proxy in front \
    changes it: have the proxy pass the path unchanged.";

const ON_THE_API: &str = "The dashboard, the metrics and the API have a port of their own: start the server with --ops_port, and look \
    there. The server prints the address when it starts.";

/// Paths at which other servers have their health check.
const HEALTH_CHECKS: [&str; 8] =
    ["health", "healthcheck", "health-check", "status", "ping", "live", "livez", "ready"];

const HEALTH: &str = "The health check of this server is at /healthz.";

const SOCKET_IO: &str = "socket.io is another protocol, which this broker does not speak: its clients need a server of socket.io.";

const Y_WEBSOCKET: &str = "that is another protocol. Use y-webrtc, or a server of y-websocket.";

const PIPES_OFF: &str = "Data does not go over this broker: --pipes on turns that on.";

const PAGES_OFF: &str = "The demos and the documentation are off: --pages=false.";

/// The flag, if a path is one of a protocol that is off, and has no route of its own.
fn turned_off(mounted: &Mounted, path: &str) -> Option<String> {
    let dialects = mounted.runtime.config().dialects;
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let dialect = match last {
        // The address of most trackers.
        "announce" => Dialect::Tracker,
        _ if html::ClientFile::find(last).is_some_and(html::ClientFile::is_of_pipes) => {
            return (!html::offers_pipes(mounted)).then(|| PIPES_OFF.to_owned());
        }
        _ if is_of_client(path) => Dialect::PeerJs,
        _ => return None,
    };
    if dialects.has(dialect) {
        return None;
    }
    let place = match dialect.address() {
        Address::Root => format!(", at {}", mounted.path),
        _ => String::new(),
    };
    Some(format!("{}{place}.", mistakes::turns_on(dialect)))
}

/// The place of a script that a page asks for beside itself.
fn script_place(mounted: &Mounted, below: &str) -> Option<String> {
    let (_, script) = below.rsplit_once('/').filter(|(_, script)| html::is_of_client(script))?;
    Some(format!(
        "The script is at {mount}{script}: begin its src with a slash, as in src=\"{mount}{script}\".",
        mount = mounted.path
    ))
}

/// The reason why a path leads nowhere, if that is clear, and the path of the page that a person looks for.
fn advice(mounted: &Mounted, path: &str) -> Option<(String, Option<String>)> {
    let route = routes::find(&mounted.path, path);
    let mount = mounted.path.as_str();
    let below = path.strip_prefix(mount).or_else(|| path.strip_prefix('/')).unwrap_or_default();
    let name = below.trim_end_matches('/');
    let page = name.strip_prefix("broker/").unwrap_or(name);
    let is_page =
        || page == "docs" || page.strip_prefix("docs/").is_some_and(documents::has) || html::has_page(page);
    let dialects = mounted.runtime.config().dialects;
    let text = match name.split('/').next() {
        _ if let Route::Socket(dialect) | Route::Room(dialect, _) =
            routes::find_socket(&mounted.path, path) =>
        {
            if !dialects.has(dialect) {
                return Some((format!("{}.", mistakes::turns_on(dialect)), None));
            }
            NO_UPGRADE
        }
        Some("socket.io") => SOCKET_IO,
        _ if let Some(off) = turned_off(mounted, path) => return Some((off, None)),
        _ if let Route::File(below) = route
            && let Some(place) = script_place(mounted, below) =>
        {
            return Some((place, None));
        }
        Some("dashboard" | "metrics" | "api" | "readyz") => ON_THE_API,
        _ if HEALTH_CHECKS.contains(&name) => HEALTH,
        _ if mounted.runtime.config().pages && is_page() => {
            let page = format!("{mount}broker/{page}");
            return Some((format!("That page is at {page} here."), Some(page)));
        }
        Some("broker") if !mounted.runtime.config().pages => PAGES_OFF,
        _ if !mounted.runtime.config().pages && is_page() => PAGES_OFF,
        _ if route == Route::Outside => OUTSIDE,
        _ => return None,
    };
    Some((text.to_owned(), None))
}

/// A path as pages and the log may show it: short, escaped, and without a token. PeerJS 0.3.x puts
/// the token into paths: `{key}/{id}/{token}/offer`.
pub(super) fn shown(path: &str) -> String {
    let mut segments: Vec<&str> = path.split('/').collect();
    let is_last = |segment: &&str| *segment == routes::ID || peerjs::is_posted_to(segment);
    let last = segments.iter().rposition(is_last).unwrap_or_default();
    if let Some([_root, .., _key, _id, token, _word]) = segments.get_mut(..=last) {
        *token = "…";
    }
    printable(&segments.join("/").chars().take(MAX_SHOWN_CHARS).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_a_path_is_not_shown() {
        assert_eq!(shown("/peerjs/someid/secret/offer"), "/peerjs/someid/…/offer");
        assert_eq!(shown("/x/peerjs/someid/secret/id/"), "/x/peerjs/someid/…/id/");
        assert_eq!(shown("/x/peerjs/someid/secret/room-join"), "/x/peerjs/someid/…/room-join");
        assert_eq!(shown("/x/peerjs/someid/secret/presence-watch"), "/x/peerjs/someid/…/presence-watch");
        assert_eq!(shown("/"), "/");
        assert_eq!(shown("/peerjs/peerjs/id"), "/peerjs/peerjs/id");
    }
}
