//! Serves the landing page and the demos.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, Header as _, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use ring::digest::{SHA256, digest};
use rust_embed::EmbeddedFile;

use super::embedded::{Static, Vendor};
use super::mounted::Mounted;
use super::template::{PARTS, Values};
use super::{forwarded, html, key_signup, not_found};

/// One file below `{path}broker/`; the empty name is the landing page.
pub(super) fn page(mounted: &Mounted, request: &HttpRequest, name: &str) -> HttpResponse {
    let Some((name, file)) = find(name) else {
        return not_found::page(mounted, request);
    };
    let mut response = if name.ends_with(".html") {
        let values = Values::of(mounted, forwarded::client_options(mounted, request));
        let form = key_signup::section(&mounted.parts, &values);
        let values = values.with_html("{{registration}}", form);
        html::page(StatusCode::OK, values.fill(&String::from_utf8_lossy(&file.data)))
    } else {
        cached(request, file.data.into_owned())
    };
    let headers = response.headers_mut();
    if let Ok(kind) = HeaderValue::from_str(content_type(&name).as_ref()) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

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

/// An answer that browsers keep, and ask for again with its tag.
pub(super) fn cached(request: &HttpRequest, bytes: Vec<u8>) -> HttpResponse {
    let hash = digest(&SHA256, &bytes);
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
    if is_cached { response.finish() } else { response.body(bytes) }
}
