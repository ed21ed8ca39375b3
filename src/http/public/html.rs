//! The built-in pages: their files and libraries, which are in the binary, and HTML for requests that prefer
//! it.

use std::borrow::Cow;

use actix_web::http::header::{self, Header as _, HeaderName};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use rust_embed::RustEmbed;

use super::handler::{Mounted, NO_STORE, NOSNIFF, with};
use peerbroker_config::{ClientOptions, Dialect};
use peerbroker_core::vocabulary::{expected, labels};

#[derive(RustEmbed)]
#[folder = "static/"]
pub(super) struct Static;

/// The modules of the client for pages, which the built-in pages import below `client/`.
#[derive(RustEmbed)]
#[folder = "client/src/"]
pub(super) struct Client;

/// A build of a library that the pages use, without the name of its source map.
pub(super) struct Library {
    pub(super) file: &'static str,
    pub(super) text: &'static str,
    /// The hash for `integrity` in HTML.
    pub(super) integrity: &'static str,
}

/// A file of `npm/vendor/dist`, which `make vendor` makes. With its hash, a library.
macro_rules! vendored {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/npm/vendor/dist/", $file))
    };
    ($file:literal, $integrity:literal) => {
        Library { file: $file, text: vendored!($file), integrity: $integrity }
    };
}

/// A file of the client for pages. `make vendor` makes those in `dist`.
macro_rules! client {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/client/", $file))
    };
}

/// The release of both builds of PeerJS.
pub(super) const PEERJS_VERSION: &str = "1.5.5";

pub(super) const PEERJS: Library =
    vendored!("peerjs.min.js", "sha384-xSYA4ssQq8Yhz/Q1+3vKEeT4lDqURUEp1xRPmwcOjnk1DscU9fCDjifAraFhWPmQ");

/// The build of PeerJS that is not minified.
pub(super) const PEERJS_READABLE: Library =
    vendored!("peerjs.js", "sha384-wBK0FNOkLGym0CCY2ePxqPX20marLejkiCBjz8AZ2VYiAi8cJUS7qrZ2QRAzpNoU");

pub(super) const QRCODE: Library =
    vendored!("qrcode.min.js", "sha384-rB5UXwlJGak2I7mDuXWjLi9FszO4sPQbOZf1PJTUZ0rYpDqyS1tsRBkxW+Gn0C2h");

pub(super) const SIMPLE_PEER: Library =
    vendored!("simplepeer.min.js", "sha384-MZ3ciGjiWCKKLGxi6Gf7uIU8N5/QSyhpZHhvn2TdHP0ofkCkbCGW1j3ZMzYhocpu");

pub(super) const YJS: Library =
    vendored!("yjs.min.js", "sha384-Op3xjSJqDAVeGPcMZf6gPU+7jXun/sfTtkEcqluEAVt11hvno2IWUuR/TinE06pV");

/// Data channels over the broker, for `<script src>`.
pub(super) const PIPES: Library = Library {
    file: "webrtc.js",
    text: client!("dist/webrtc.js"),
    integrity: "sha384-LUkR/txcFYVoOH3S34Vld9PiwOpfFs2bMnGpd8+ep++DCo0yEsj7H+GoIkiTS5jG",
};

/// Data channels over the broker, as a module that a page installs itself.
pub(super) const PIPES_MODULE: &str = client!("dist/webrtc.mjs");

/// A script that sets `usePipes`, which loads `webrtc.js` when a connection needs it.
pub(super) const LAZY_PIPES: &str = client!("dist/pipes.js");

/// Presets PeerJS to its broker, as a script that sets `presetPeer`. The script of call reports sets
/// `callReports`.
pub(super) const PRESET: &str = client!("dist/peer.js");
pub(super) const REPORTS: &str = client!("dist/reports.js");

/// The client for rooms as a script that sets `rooms`, and as a module. Both read `maxMessageBytes`.
pub(super) const ROOMS: &str = client!("dist/rooms.js");
pub(super) const ROOMS_MODULE: &str = client!("dist/rooms.mjs");

/// Reads `lanHost`, and the library for QR codes.
pub(super) const SHARE: &str = client!("dist/share.js");

/// Types for TypeScript.
pub(super) const PEERJS_TYPES: &str = client!("types/peerjs.d.ts");
pub(super) const ROOMS_TYPES: &str = client!("types/rooms.d.ts");

const LIBRARIES: [Library; 5] = [PEERJS, PEERJS_READABLE, QRCODE, SIMPLE_PEER, YJS];

impl Library {
    pub(super) fn script(&self) -> String {
        format!(r#"<script src="vendor/{}"></script>"#, self.file)
    }
}

labels! {
    /// A file of the client, by its name below the mount path.
    pub(super) enum ClientFile {
        PeerJs = "peerjs.js",
        MinifiedPeerJs = "peerjs.min.js",
        PeerJsModule = "peerjs.mjs",
        PeerJsAll = "peerjs.all.js",
        PeerJsTypes = "peerjs.d.ts",
        Rooms = "rooms.js",
        RoomsModule = "rooms.mjs",
        RoomsTypes = "rooms.d.ts",
        Share = "share.js",
        Pipes = "webrtc.js",
        PipesModule = "webrtc.mjs",
    }
}

impl ClientFile {
    /// The file with this name. The published builds of PeerJS are not among these.
    pub(super) fn find(name: &str) -> Option<Self> {
        ClientFile::ALL.into_iter().find(|file| file.label() == name)
    }

    /// True if the file is for every protocol that exchanges descriptions of WebRTC.
    pub(super) fn is_of_pipes(self) -> bool {
        matches!(self, ClientFile::Pipes | ClientFile::PipesModule)
    }
}

/// True if the scripts let data go over the broker.
pub(super) fn offers_pipes(mounted: &Mounted) -> bool {
    mounted.runtime.config().pipes.total > 0
}

/// `peerjs-1.5.5.min.js`: a name with the version, because the file never changes.
pub(super) fn plain_name(library: &Library) -> String {
    library.file.replacen("peerjs", &format!("peerjs-{PEERJS_VERSION}"), 1)
}

/// The published build of PeerJS with this name, without a preset.
pub(super) fn published(name: &str) -> Option<Library> {
    [PEERJS, PEERJS_READABLE].into_iter().find(|library| plain_name(library) == name)
}

/// True if the client has a file with this name.
pub(super) fn is_of_client(name: &str) -> bool {
    ClientFile::find(name).is_some() || published(name).is_some()
}

/// A file that pages find below `vendor/`.
pub(super) fn vendored(name: &str) -> Option<&'static str> {
    match name {
        "LICENSES.txt" => Some(vendored!("LICENSES.txt")),
        _ => LIBRARIES.into_iter().find(|library| library.file == name).map(|library| library.text),
    }
}

/// The content security policy: what pages may load, and which servers they may talk to.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self' ws: wss:; base-uri 'self'; form-action 'self'; frame-ancestors 'self'";

/// True if a request prefers HTML to JSON. With `*/*`, which programs send, it does not.
pub(crate) fn prefers_html(request: &HttpRequest) -> bool {
    let Ok(accept) = header::Accept::parse(request) else { return false };
    let quality = |wanted: &mime::Mime| {
        // The most specific range counts (RFC 9110, section 12.5.1).
        let fits = |range: &mime::Mime| match (range.type_(), range.subtype()) {
            (mime::STAR, _) => Some(0),
            (kind, mime::STAR) if kind == wanted.type_() => Some(1),
            (kind, sub) if kind == wanted.type_() && sub == wanted.subtype() => Some(2),
            _ => None,
        };
        let ranges = accept.iter().filter_map(|range| Some((fits(&range.item)?, range.quality)));
        ranges.max_by_key(|(specific, _)| *specific).map(|(_, quality)| quality)
    };
    quality(&mime::TEXT_HTML) > quality(&mime::APPLICATION_JSON)
}

/// A page with this content in the frame of all pages. It is for one visitor, so nothing caches it.
pub(super) fn framed(status: StatusCode, title: &str, content: String, values: Values) -> HttpResponse {
    let page = HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .body(in_frame(title, content, values));
    with(with(page, OF_PAGES), [NOSNIFF, NO_STORE])
}

pub(super) fn in_frame(title: &str, content: String, values: Values) -> String {
    values.with("title", title).with_html("content", content).part("frame.html")
}

/// The headers of every page. With `no-referrer`, browsers would send `Origin: null` with the form.
pub(super) const OF_PAGES: [(HeaderName, &str); 2] =
    [(header::CONTENT_SECURITY_POLICY, POLICY), (header::REFERRER_POLICY, "same-origin")];

/// The file of a demo.
pub(super) fn demo(name: &str) -> String {
    format!("demos/{name}/index.html")
}

/// True if there is a demo of this name, for a path in place of its file.
pub(super) fn has_page(name: &str) -> bool {
    Static::get(&demo(name)).is_some()
}

/// The folder in `static/` for operators, on their own port.
pub(super) const DASHBOARD: &str = "dashboard/";

/// The folder in `static/` with parts of pages. It is not served.
pub(super) const PARTS: &str = "parts/";

/// The values of placeholders.
#[derive(Clone, Default)]
pub(crate) struct Values(Vec<(Cow<'static, str>, String)>);

impl Values {
    /// The values that every page can use.
    pub(super) fn of(mounted: &Mounted, options: ClientOptions) -> Self {
        let origin = options.origin();
        let ClientOptions { host, port, path, key, secure } = options;
        let lan_host = mounted.lan_host.map(|host| host.to_string()).unwrap_or_default();
        let config = mounted.runtime.config();
        // In an address without other parameters, or behind them.
        let [key_query, and_key] = ["?", "&"]
            .map(|sign| if config.default_key { String::new() } else { format!("{sign}key={key}") });
        let hidden = |is_shown: bool| if is_shown { "" } else { "hidden" };
        let mut values = Values::default();
        for dialect in Dialect::ALL {
            values = values.with(format!("{dialect}_hidden"), hidden(config.dialects.has(dialect)));
        }
        let has_pipes = offers_pipes(mounted);
        let has_peerjs = config.dialects.has(Dialect::PeerJs);
        let script = |file: &str| format!(r#"<script src="{}{file}"></script>"#, escape(&path));
        values
            .with("pipes_hidden", hidden(has_pipes))
            .with_html("pipes", if has_pipes { script("webrtc.js") } else { String::new() })
            .with("base", &format!("{path}broker/"))
            .with("path", &path)
            .with("key", &key)
            .with("own_origin", &origin)
            .with("own_socket_origin", &origin.replacen("http", "ws", 1))
            .with("key_query", &key_query)
            .with("and_key", &and_key)
            .with("host", &host)
            .with("port", &port.to_string())
            .with("secure", &secure.to_string())
            .with("lan_host", &lan_host)
            .with("default_key", &config.default_key.to_string())
            .with("version", env!("CARGO_PKG_VERSION"))
            .with_html("peerjs", if has_peerjs { script("peerjs.min.js") } else { String::new() })
            .with_html("qrcode", QRCODE.script())
            .with_html("simplepeer", SIMPLE_PEER.script())
            .with_html("yjs", YJS.script())
    }

    /// Adds a text, with its HTML escaped.
    pub(crate) fn with(self, name: impl Into<Cow<'static, str>>, text: &str) -> Self {
        self.with_html(name, escape(text))
    }

    /// Adds HTML.
    pub(super) fn with_html(mut self, name: impl Into<Cow<'static, str>>, html: String) -> Self {
        self.0.push((name.into(), html));
        self
    }

    /// A part of pages with its placeholders filled.
    pub(super) fn part(&self, name: &str) -> String {
        let part = Static::get(&format!("{PARTS}{name}")).ok_or(name);
        expected(part.map(|part| self.fill(&String::from_utf8_lossy(&part.data))), "a part of pages")
    }

    /// Replaces each placeholder in one pass, so that placeholders in values are not replaced.
    pub(crate) fn fill(&self, template: &str) -> String {
        let mut filled = String::with_capacity(template.len() + 512);
        let mut pieces = template.split("{{");
        filled.extend(pieces.next());
        for piece in pieces {
            match piece.split_once("}}").and_then(|(name, rest)| Some((self.value(name)?, rest))) {
                Some((value, rest)) => filled.extend([&*value, rest]),
                None => filled.extend(["{{", piece]),
            }
        }
        filled
    }

    /// The value of a placeholder: its own, or the part of its name. The name of a part of HTML lacks its
    /// extension.
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some((_, value)) = self.0.iter().find(|(known, _)| *known == name) {
            return Some(Cow::from(value));
        }
        Some(Cow::from(self.part(&format!("{name}.html")))).filter(|part| !part.is_empty())
    }
}

/// A text as HTML, also within attributes.
pub(super) fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ring::digest::{SHA384, digest};

    #[test]
    fn the_integrity_of_a_library_is_that_of_its_file() {
        for library in LIBRARIES.into_iter().chain([PIPES]) {
            let hash = STANDARD.encode(digest(&SHA384, library.text.as_bytes()));
            assert_eq!(format!("sha384-{hash}"), library.integrity, "{}", library.file);
        }
    }

    #[test]
    fn the_documentation_has_the_integrity_of_scripts_that_pages_pin() {
        let protocol = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PROTOCOL.md"));
        for library in [PEERJS, PEERJS_READABLE, PIPES] {
            assert!(protocol.contains(&format!("`{}`", library.integrity)), "{}", library.file);
        }
    }

    #[test]
    fn no_file_names_a_source_map() {
        let libraries = LIBRARIES.map(|Library { file, text, .. }| (file.into(), text.into()));
        let own = Static::iter().filter_map(|name| {
            let text = String::from_utf8_lossy(&Static::get(&name)?.data).into_owned();
            Some((name, text))
        });
        let named: Vec<_> =
            libraries.into_iter().chain(own).filter(|(_, text)| text.contains("sourceMappingURL=")).collect();
        assert!(named.is_empty(), "{:?}", named.iter().map(|(name, _)| name).collect::<Vec<_>>());
    }

    #[test]
    fn html_is_for_those_who_prefer_it() {
        for (accept, html) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("text/html", true),
            ("text/*", true),
            ("*/*", false),
            ("application/json", false),
            ("application/json, text/html;q=0.5", false),
            ("text/html;q=0, */*", false),
            ("", false),
        ] {
            let request = TestRequest::default().insert_header(("accept", accept)).to_http_request();
            assert_eq!(prefers_html(&request), html, "{accept}");
        }
        assert!(!prefers_html(&TestRequest::default().to_http_request()));
    }

    #[test]
    fn a_value_that_looks_like_a_placeholder_stays() {
        let values = Values::default().with("key", "{{path}}").with("path", "/");
        assert_eq!(values.fill("<{{key}}> {{ {{path}}"), "<{{path}}> {{ /");
    }

    #[test]
    fn a_value_cannot_leave_its_attribute() {
        assert_eq!(escape(r#"a"b<c>&'"#), "a&quot;b&lt;c&gt;&amp;&#39;");
    }
}
