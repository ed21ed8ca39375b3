//! Serves the landing page and the demos. The dashboard uses some of their files.

use std::borrow::Cow;
use std::net::IpAddr;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, Header as _, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use ring::digest::{SHA256, digest};

use super::embedded::{Static, vendored};
use super::mounted::Mounted;
use super::template::{PARTS, Values};
use super::{docs, forwarded, html, ice, key_signup, not_found};

pub(crate) use super::html::prefers_html;
pub(crate) use super::template::Values as PageValues;

/// One file below `{path}broker/`; the empty name is the landing page.
pub(super) fn page(mounted: &Mounted, request: &HttpRequest, name: &str) -> HttpResponse {
    if let Some(name) = docs::requested(name) {
        return docs::page(mounted, request, name);
    }
    let Some((name, content)) = find(name) else {
        return not_found::page(mounted, request);
    };
    let mut response = if name.ends_with(".html") {
        let options = forwarded::client_options(mounted, request);
        let start = start(mounted, &options.host);
        let values = Values::of(mounted, options);
        let form = key_signup::section(&mounted.parts, &values);
        let start = values.part(start);
        let values = values
            .with_html("{{registration}}", form)
            .with_html("{{start}}", start)
            .with("{{relay}}", &ice::has_relay(mounted, request).to_string())
            .with("{{ice}}", &ice::has_servers(mounted, request).to_string());
        html::page(StatusCode::OK, values.fill(&String::from_utf8_lossy(&content)))
    } else {
        cached(request, content)
    };
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(content_type(&name).as_ref()) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The part with the main button of the landing page: the first thing that works here.
fn start(mounted: &Mounted, host: &str) -> &'static str {
    match (mounted.parts.config().default_key, key_signup::is_open(&mounted.parts)) {
        (false, true) => "start-register.html",
        (false, false) => "start-test.html",
        (true, _) if is_loopback(host) && mounted.lan_host.is_none() => "start-windows.html",
        (true, _) => "start-phone.html",
    }
}

/// Whether only this machine reaches a host of this name.
fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let address: Result<IpAddr, _> = host.trim_matches(['[', ']']).parse();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// A file by its name, and the name of the file itself.
pub(crate) fn find(name: &str) -> Option<(String, Cow<'static, [u8]>)> {
    if name.starts_with(PARTS) {
        return None;
    }
    if let Some(file) = name.strip_prefix("vendor/").and_then(vendored) {
        return Some((name.to_owned(), file.as_bytes().into()));
    }
    let index = format!("{name}{}index.html", if name.is_empty() || name.ends_with('/') { "" } else { "/" });
    [name.to_owned(), index].into_iter().find_map(|name| Static::get(&name).map(|file| (name, file.data)))
}

pub(crate) fn content_type(name: &str) -> String {
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    match kind.type_() {
        mime::TEXT => format!("{kind}; charset=utf-8"),
        _ => kind.to_string(),
    }
}

/// An answer that browsers keep, and ask for again with its tag.
pub(crate) fn cached(request: &HttpRequest, content: Cow<'static, [u8]>) -> HttpResponse {
    let hash = digest(&SHA256, &content);
    let hash: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let tag = header::EntityTag::new_strong(hash);
    let is_cached = match header::IfNoneMatch::parse(request) {
        Ok(header::IfNoneMatch::Any) => true,
        Ok(header::IfNoneMatch::Items(tags)) => tags.iter().any(|cached| cached.weak_eq(&tag)),
        Err(_) => false,
    };
    let mut response =
        if is_cached { HttpResponse::NotModified() } else { HttpResponse::build(StatusCode::OK) };
    response.insert_header(header::ETag(tag));
    match content {
        _ if is_cached => response.finish(),
        Cow::Borrowed(content) => response.body(content),
        Cow::Owned(content) => response.body(content),
    }
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
