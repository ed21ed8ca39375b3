//! Serves the landing page, the demos, and the clients: PeerJS, preset to this broker and unchanged, and that
//! for rooms. The dashboard uses some of their files.

use std::borrow::Cow;
use std::net::IpAddr;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use serde_json::json;

use super::handler::{Mounted, NO_CACHE, NOSNIFF, with};
use super::html::{
    Client, ClientFile, DASHBOARD, LAZY_PIPES, Library, OF_PAGES, PARTS, PEERJS, PEERJS_READABLE,
    PEERJS_TYPES, PEERJS_VERSION, PIPES, PIPES_MODULE, PRESET, QRCODE, REPORTS, ROOMS, ROOMS_MODULE,
    ROOMS_TYPES, SHARE, Static, Values, offers_pipes, vendored,
};
use super::{docs, forwarded, html, key_signup, not_found, peerjs};
use peerbroker_config::Dialect;

pub(crate) use super::cached::cached;
pub(crate) use super::html::{Values as PageValues, prefers_html};

/// A file below `{path}broker/`; the empty name is the landing page.
pub(super) async fn page(mounted: &Mounted, request: &HttpRequest, name: &str) -> HttpResponse {
    if let Some(name) = docs::requested(name) {
        return docs::page(mounted, request, name).await;
    }
    let Some((name, mut content)) = find(name) else {
        return not_found::page(mounted, request);
    };
    if let Some((_, title, dialect)) = off(mounted, &name) {
        let options = forwarded::client_options(mounted, request);
        let values = Values::of(mounted, options).with("demo", title).with("dialect", dialect.label());
        let title = format!("{title} is off");
        return html::framed(StatusCode::NOT_FOUND, &title, values.part("off.html"), values);
    }
    let is_page = name.ends_with(".html");
    if is_page {
        let options = forwarded::client_options(mounted, request);
        let start = start(mounted, &options.host);
        let values = Values::of(mounted, options);
        let form = key_signup::section(&mounted.runtime, &values);
        let start = start.map(|part| values.part(part)).unwrap_or_default();
        let values = values
            .with_html("registration", form)
            .with_html("start", start)
            .with("relay_at", &peerjs::relay_at(mounted))
            .with("relay", &peerjs::has_relay(mounted, request).to_string())
            .with("near", peerjs::discovery(mounted, request).label())
            .with("ice", &peerjs::has_servers(mounted, request).to_string());
        content = values.fill(&String::from_utf8_lossy(&content)).into_bytes().into();
    }
    let response = with(cached(request, &name, content).await, [NOSNIFF, NO_CACHE]);
    if is_page { with(response, OF_PAGES) } else { response }
}

/// A demo: its page, its name, and the protocol that it speaks.
type Demo = (&'static str, &'static str, Dialect);

const DEMOS: [Demo; 6] = [
    ("demos/slides/index.html", "The slide remote", Dialect::PeerJs),
    ("demos/party/index.html", "The party game", Dialect::RoomCodes),
    ("demos/call/index.html", "The video call", Dialect::Calls),
    ("demos/lobby/index.html", "The lobby", Dialect::PeerJs),
    ("demos/board/index.html", "The whiteboard", Dialect::Topics),
    ("demos/talk/index.html", "The page of peerbroker listen", Dialect::PeerJs),
];

/// The demo of a page, if its protocol is off.
fn off(mounted: &Mounted, page: &str) -> Option<Demo> {
    let dialects = mounted.runtime.config().dialects;
    DEMOS.into_iter().find(|(name, _, dialect)| *name == page && !dialects.has(*dialect))
}

/// The part with the main button of the landing page: the first thing that works here. None without PeerJS,
/// which all of them need.
fn start(mounted: &Mounted, host: &str) -> Option<&'static str> {
    if !mounted.runtime.config().dialects.has(Dialect::PeerJs) {
        return None;
    }
    Some(match (mounted.runtime.config().default_key, key_signup::is_open(&mounted.runtime)) {
        (false, true) => "start-register.html",
        (false, false) => "start-test.html",
        (true, _) if is_loopback(host) && mounted.lan_host.is_none() => "start-windows.html",
        (true, _) => "start-phone.html",
    })
}

/// True if only this machine reaches a host of this name.
fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let address: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// A file by its name, and the name of the file itself.
pub(crate) fn find(name: &str) -> Option<(String, Cow<'static, [u8]>)> {
    if let Some(file) = name.strip_prefix("vendor/").and_then(vendored) {
        return Some((name.to_owned(), file.as_bytes().into()));
    }
    // The built one has fewer bytes.
    if name == "client/rooms/rooms.js" {
        return Some((name.to_owned(), ROOMS_MODULE.as_bytes().into()));
    }
    if let Some(file) = name.strip_prefix("client/").and_then(Client::get) {
        return Some((name.to_owned(), file.data));
    }
    let is_page =
        name.is_empty() || name.ends_with("index.html") || html::has_page(name.trim_end_matches('/'));
    let file = match name.trim_end_matches("index.html").trim_end_matches('/') {
        "" if is_page => "landing/index.html".to_owned(),
        demo if is_page => html::demo(demo),
        _ if name.starts_with(PARTS) || name.starts_with(DASHBOARD) => return None,
        _ => name.to_owned(),
    };
    Static::get(&file).map(|found| (file, found.data))
}

/// A file of the dashboard by its name.
pub(crate) fn of_dashboard(name: &str) -> Option<Cow<'static, [u8]>> {
    Static::get(&format!("{DASHBOARD}{name}")).map(|file| file.data)
}

/// The icon at the path that browsers try. Otherwise the console of each page without an icon shows a 404.
pub(super) async fn icon(request: &HttpRequest) -> HttpResponse {
    const NAME: &str = "shared/favicon.svg";
    let content = Static::get(NAME).map_or(Cow::Borrowed(&[][..]), |file| file.data);
    with(cached(request, NAME, content).await, [NOSNIFF, NO_CACHE])
}

/// A file of the client, by its name below the mount path.
pub(super) async fn client(mounted: &Mounted, request: &HttpRequest, name: &str) -> Option<HttpResponse> {
    let file = ClientFile::find(name);
    let is_on = match file {
        Some(file) if file.is_of_pipes() => offers_pipes(mounted),
        _ => mounted.runtime.config().dialects.has(Dialect::PeerJs),
    };
    if !is_on {
        return None;
    }
    let owned = |text: String| Cow::from(text.into_bytes());
    let peerjs = |library, kind| owned(preset(mounted, request, (library, kind), &pipes(mounted, kind)));
    let content = match file {
        Some(ClientFile::PeerJs) => peerjs(&PEERJS_READABLE, PageKind::Script),
        Some(ClientFile::MinifiedPeerJs) => peerjs(&PEERJS, PageKind::Script),
        Some(ClientFile::PeerJsModule) => peerjs(&PEERJS, PageKind::Module),
        Some(ClientFile::PeerJsAll) => {
            let pipes = if offers_pipes(mounted) { webrtc(mounted) } else { Cow::default() };
            let peerjs = preset(mounted, request, (&PEERJS, PageKind::Script), &pipes);
            owned(format!("{peerjs}{}", rooms(mounted, PageKind::Script, "")))
        }
        Some(ClientFile::Rooms) => owned(rooms(mounted, PageKind::Script, &pipes(mounted, PageKind::Script))),
        Some(ClientFile::RoomsModule) => {
            owned(rooms(mounted, PageKind::Module, &pipes(mounted, PageKind::Module)))
        }
        Some(ClientFile::PeerJsTypes) => PEERJS_TYPES.as_bytes().into(),
        Some(ClientFile::RoomsTypes) => ROOMS_TYPES.as_bytes().into(),
        Some(ClientFile::Share) => owned(share_script(mounted)),
        Some(ClientFile::Pipes) => owned(webrtc(mounted).into_owned()),
        Some(ClientFile::PipesModule) => PIPES_MODULE.as_bytes().into(),
        None => html::published(name)?.text.as_bytes().into(),
    };
    let for_ever = (header::CACHE_CONTROL, "public, max-age=31536000, immutable");
    let lifetime = if file.is_some() { NO_CACHE } else { for_ever };
    // Lets pages that isolate themselves (`Cross-Origin-Embedder-Policy`) load the script.
    let for_all = (header::CROSS_ORIGIN_RESOURCE_POLICY, "cross-origin");
    Some(with(cached(request, name, content).await, [lifetime, NOSNIFF, for_all]))
}

/// The kind of a file of the client: both have an expression for their own address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PageKind {
    Script,
    Module,
}

/// The key of scripts that got no other one, as in PeerJS.
const USUAL_KEY: &str = "peerjs";

/// The script of data channels over the broker. It takes its address and its key from
/// `document.currentScript`, which does not know the built-in key.
fn webrtc(mounted: &Mounted) -> Cow<'static, str> {
    const CURRENT_SCRIPT: &str = "document.currentScript";
    debug_assert_eq!(PIPES.text.matches(CURRENT_SCRIPT).count(), 1, "webrtc.js reads its address once");
    let config = mounted.runtime.config();
    if !config.default_key || config.key.as_str() == USUAL_KEY {
        // These bytes are the published ones, so pages can pin them.
        return Cow::Borrowed(PIPES.text);
    }
    let key = json!(config.key.as_str());
    let script = format!("{{src:{CURRENT_SCRIPT}?.src,dataset:{{key:{key},...{CURRENT_SCRIPT}?.dataset}}}}");
    Cow::Owned(PIPES.text.replacen(CURRENT_SCRIPT, &script, 1))
}

/// The start of a file of the client, whose pages load that script when a connection needs it.
fn pipes(mounted: &Mounted, kind: PageKind) -> String {
    if !offers_pipes(mounted) {
        return String::new();
    }
    let config = mounted.runtime.config();
    let key = json!(config.default_key.then(|| config.key.as_str()));
    match kind {
        PageKind::Script => {
            format!("(() => {{\n{LAZY_PIPES}\nusePipes(document.currentScript, {key});\n}})();")
        }
        PageKind::Module => format!("{LAZY_PIPES}\nusePipes({{ src: import.meta.url }}, {key});"),
    }
}

/// PeerJS, preset to this server, behind a script of pipes.
fn preset(mounted: &Mounted, request: &HttpRequest, of: (&Library, PageKind), pipes: &str) -> String {
    let (library, kind) = of;
    let key = mounted.runtime.config().default_key.then(|| forwarded::client_options(mounted, request).key);
    let reports = peerjs::takes_reports(mounted, request);
    let has_ice = peerjs::has_servers(mounted, request);
    let settings = json!({ "key": key, "hasIceServers": has_ice, "takesReports": reports });
    let (script, argument) =
        if reports.own || reports.others { (REPORTS, ", callReports") } else { ("", "") };
    let values = Values::default()
        .with_html("version", PEERJS_VERSION.to_owned())
        .with_html("pipes", pipes.to_owned())
        .with_html("plain", html::plain_name(library))
        .with_html("integrity", library.integrity.to_owned())
        .with_html("settings", format!("{settings}{argument}"))
        .with_html("preset", PRESET.to_owned())
        .with_html("reports", script.to_owned())
        .with_html("library", library.text.to_owned());
    values.part(if kind == PageKind::Script { "peerjs.template.js" } else { "peerjs.template.mjs" })
}

/// The client for rooms, which refuses messages that this server would close the connection for.
fn rooms(mounted: &Mounted, kind: PageKind, pipes: &str) -> String {
    let (script, template) = match kind {
        PageKind::Script => (ROOMS, "rooms.template.js"),
        PageKind::Module => (ROOMS_MODULE, "rooms.template.mjs"),
    };
    let values = Values::default()
        .with_html("pipes", pipes.to_owned())
        .with_html("max_message_bytes", mounted.runtime.config().max_message_bytes.to_string())
        .with_html("rooms", script.to_owned());
    values.part(template)
}

/// A script with the address of a page for other devices, which only the server knows if the page is at
/// `localhost`.
fn share_script(mounted: &Mounted) -> String {
    let lan_host = mounted.lan_host.map(|host| host.to_string());
    let values = Values::default()
        .with_html("library", QRCODE.text.to_owned())
        .with_html("script", SHARE.to_owned())
        .with_html("lan_host", json!(lan_host).to_string());
    values.part("share.template.js")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_cannot_reach_a_loopback_host() {
        for host in ["localhost", "LOCALHOST", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["example.org", "localhost.example.org", "192.168.1.20", "[::2]", "lan.test", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
