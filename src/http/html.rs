//! Answers of HTML.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};

use super::embedded::{CDN, Library, PEERJS, QRCODE, SIMPLE_PEER};
use super::template::Values;

/// A page with this content in the frame of all pages. It is for one visitor, so nothing caches it.
pub(super) fn framed(status: StatusCode, title: &str, content: String, values: Values) -> HttpResponse {
    let text = values.with("{{title}}", title).with_html("{{content}}", content).part("frame.html");
    let mut response = page(status, text);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn page(status: StatusCode, page: String) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CONTENT_SECURITY_POLICY, policy()))
        // With `no-referrer`, browsers would send `Origin: null` with the form.
        .insert_header((header::REFERRER_POLICY, HeaderValue::from_static("same-origin")))
        .body(page)
}

/// The content security policy: what pages may load, and which servers they may talk to.
fn policy() -> String {
    let libraries = [PEERJS, QRCODE, SIMPLE_PEER];
    let cdn = if libraries.iter().all(Library::is_embedded) { String::new() } else { format!(" {CDN}") };
    format!(
        "default-src 'none'; script-src 'self'{cdn}; style-src 'self'; img-src 'self' data:; \
         connect-src 'self' ws: wss:; base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
    )
}
