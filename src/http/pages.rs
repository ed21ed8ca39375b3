//! The landing page and the demos, embedded in the binary.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, Header as _, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{Mounted, key_signup, not_found, seen};
use crate::client_options::ClientOptions;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Static;

/// Published builds of the libraries that the pages use; there if `make vendor` ran before the
/// build.
#[derive(RustEmbed)]
#[folder = "vendor/dist/"]
#[allow_missing = true]
struct Vendor;

/// A library of the pages: from the binary, or else from where npm packages are served.
struct Library {
    file: &'static str,
    elsewhere: &'static str,
    integrity: &'static str,
}

const CDN: &str = "https://unpkg.com";

const PEERJS: Library = Library {
    file: "peerjs.min.js",
    elsewhere: "/peerjs@1.5.5/dist/peerjs.min.js",
    integrity: "sha384-x0YgkOr/3UOZP2CRDxGW9e0Q+2Qjyr3uJrm4xU32Y7ZCNAo7Cc7bjhrZMi/dwczu",
};

const QRCODE: Library = Library {
    file: "qrcode.js",
    elsewhere: "/qrcode-generator@2.0.4/dist/qrcode.js",
    integrity: "sha384-e9EFD6BGC90bkW9aDV5xbbBfzwN7G8YImHao2lfLVKV/hPB0E0go+H3I64h7oHtA",
};

const SIMPLE_PEER: Library = Library {
    file: "simplepeer.min.js",
    elsewhere: "/simple-peer@9.11.1/simplepeer.min.js",
    integrity: "sha384-MZ3ciGjiWCKKLGxi6Gf7uIU8N5/QSyhpZHhvn2TdHP0ofkCkbCGW1j3ZMzYhocpu",
};

/// Whether a request would rather have HTML than JSON. Equal is no: programs say `*/*`.
pub(super) fn prefers_html(request: &HttpRequest) -> bool {
    let Ok(accept) = header::Accept::parse(request) else {
        return false;
    };
    let quality = |wanted: &mime::Mime| {
        // The most specific range counts, wherever it stands.
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

/// One file below `{path}broker/`; the empty name is the landing page.
pub(super) fn page(mounted: &Mounted, request: &HttpRequest, name: &str) -> HttpResponse {
    let Some((name, file)) = find(name) else {
        return not_found::page(mounted, request);
    };
    let mut response = if name.ends_with(".html") {
        let values = Values::of(mounted, seen_options(mounted, request));
        let form = key_signup::section(&mounted.service, &values);
        let values = values.with_html("{{registration}}", form);
        html(StatusCode::OK, values.fill(&String::from_utf8_lossy(&file.data)))
    } else {
        asset(request, &file)
    };
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(content_type(&name).as_ref()) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// A page that no file has, with this in its frame: an answer to one person, for whom alone it is.
pub(super) fn answer(status: StatusCode, title: &str, content: String, values: Values) -> HttpResponse {
    let page = values.with("{{title}}", title).with_html("{{content}}", content).part("frame.html");
    let mut response = html(status, page);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The options of a client, as the one who asks sees this server.
pub(super) fn seen_options(mounted: &Mounted, request: &HttpRequest) -> ClientOptions {
    seen::by_client(mounted, request.headers(), request.peer_addr(), mounted.is_secure(request))
}

/// Parts of pages, in `static/`, which are no pages.
const PARTS: &str = "parts/";

fn find(name: &str) -> Option<(String, EmbeddedFile)> {
    if name.starts_with(PARTS) {
        return None;
    }
    if let Some(file) = name.strip_prefix("vendor/").and_then(Vendor::get) {
        return Some((name.to_owned(), file));
    }
    let index = format!("{name}{}index.html", if name.is_empty() || name.ends_with('/') { "" } else { "/" });
    [name.to_owned(), index].into_iter().find_map(|name| Static::get(&name).map(|file| (name, file)))
}

fn content_type(name: &str) -> String {
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    match kind.type_() {
        mime::TEXT => format!("{kind}; charset=utf-8"),
        _ => kind.to_string(),
    }
}

fn asset(request: &HttpRequest, file: &EmbeddedFile) -> HttpResponse {
    let hash: String =
        file.metadata.sha256_hash().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = header::EntityTag::new_strong(hash);
    let known = match header::IfNoneMatch::parse(request) {
        Ok(header::IfNoneMatch::Any) => true,
        Ok(header::IfNoneMatch::Items(tags)) => tags.iter().any(|known| known.weak_eq(&tag)),
        Err(_) => false,
    };
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::build(StatusCode::OK) };
    response.insert_header(header::ETag(tag));
    if known { response.finish() } else { response.body(file.data.to_vec()) }
}

fn html(status: StatusCode, page: String) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CONTENT_SECURITY_POLICY, policy()))
        // Not `no-referrer`: with it browsers do not say of a form which origin it comes from.
        .insert_header((header::REFERRER_POLICY, HeaderValue::from_static("same-origin")))
        .body(page)
}

/// What the placeholders of a page stand for: what only this server knows.
#[derive(Clone)]
pub(super) struct Values(Vec<(&'static str, String)>);

impl Values {
    /// What every page may have.
    pub(super) fn of(mounted: &Mounted, options: ClientOptions) -> Self {
        let ClientOptions { host, port, path, key, secure } = options;
        let lan_host = mounted.lan_host.map(|host| host.to_string()).unwrap_or_default();
        let values = Values(Vec::new())
            .with("{{base}}", &format!("{path}broker/"))
            .with("{{path}}", &path)
            .with("{{key}}", &key)
            .with("{{host}}", &host)
            .with("{{port}}", &port.to_string())
            .with("{{secure}}", &secure.to_string())
            .with("{{lan_host}}", &lan_host)
            .with("{{default_key}}", &mounted.service.config.default_key.to_string())
            .with("{{version}}", env!("CARGO_PKG_VERSION"))
            .with_html("{{peerjs}}", PEERJS.script())
            .with_html("{{qrcode}}", QRCODE.script())
            .with_html("{{simplepeer}}", SIMPLE_PEER.script());
        let snippet = values.part("snippet.html");
        values.with_html("{{snippet}}", snippet)
    }

    /// The same with one more; what a text has of HTML is shown as it is.
    pub(super) fn with(self, name: &'static str, text: &str) -> Self {
        self.with_html(name, escape(text))
    }

    pub(super) fn with_html(mut self, name: &'static str, html: String) -> Self {
        self.0.push((name, html));
        self
    }

    /// A part of pages, filled.
    pub(super) fn part(&self, name: &str) -> String {
        let part = Static::get(&format!("{PARTS}{name}"));
        part.map(|part| self.fill(&String::from_utf8_lossy(&part.data))).unwrap_or_default()
    }

    fn fill(&self, template: &str) -> String {
        fill(template, &self.0)
    }
}

/// Replaces each placeholder, in one walk: a value that looks like a placeholder stays as it is.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(template.len() + 512);
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let (before, from) = rest.split_at(start);
        filled.push_str(before);
        match values.iter().find(|(name, _)| from.starts_with(name)) {
            Some((name, value)) => {
                filled.push_str(value);
                rest = from.strip_prefix(name).unwrap_or_default();
            }
            None => {
                filled.push_str("{{");
                rest = from.strip_prefix("{{").unwrap_or_default();
            }
        }
    }
    filled.push_str(rest);
    filled
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
        escaped
    })
}

impl Library {
    fn is_embedded(&self) -> bool {
        Vendor::get(self.file).is_some()
    }

    fn script(&self) -> String {
        let Library { file, elsewhere, integrity } = self;
        if self.is_embedded() {
            format!(r#"<script src="vendor/{file}"></script>"#)
        } else {
            format!(
                r#"<script src="{CDN}{elsewhere}" integrity="{integrity}" crossorigin="anonymous"></script>"#
            )
        }
    }
}

/// What the pages may load and whom they may talk to.
fn policy() -> String {
    let libraries = [PEERJS, QRCODE, SIMPLE_PEER];
    let elsewhere = if libraries.iter().all(Library::is_embedded) { "" } else { " https://unpkg.com" };
    format!(
        "default-src 'none'; script-src 'self'{elsewhere}; style-src 'self'; img-src 'self' data:; \
         connect-src 'self' ws: wss:; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

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
    fn a_value_is_never_taken_for_a_placeholder() {
        let values = [("{{key}}", "{{path}}".to_owned()), ("{{path}}", "/".to_owned())];
        assert_eq!(fill("<{{key}}> {{ {{path}}", &values), "<{{path}}> {{ /");
    }

    #[test]
    fn a_value_cannot_leave_its_attribute() {
        assert_eq!(escape(r#"a"b<c>&'"#), "a&quot;b&lt;c&gt;&amp;&#39;");
    }
}
