//! The dashboard: a page with its scripts, which use the API like any other program. They are in the binary.

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, http::Method};

use super::state::AdminState;
use super::target::Target;
use crate::http::public::pages::{self, PageValues};

/// The first segment of the paths of the files.
const FOLDER: &str = "dashboard";

/// Files of the pages for clients that the dashboard uses too: it finds them below its own folder.
const SHARED: &[&str] = &["shared/", "client/", "vendor/peerjs.min.js"];

/// True if a browser requests the page itself.
pub(super) fn is_page(request: &HttpRequest, target: &Target) -> bool {
    target.is(&[""]) && is_read(request) && pages::prefers_html(request)
}

/// True if a request is for a file of the page.
pub(super) fn is_file(request: &HttpRequest, target: &Target) -> bool {
    target.below(FOLDER).is_some() && is_read(request)
}

fn is_read(request: &HttpRequest) -> bool {
    matches!(*request.method(), Method::GET | Method::HEAD)
}

/// The page.
pub(super) fn page(ops: &AdminState, request: &HttpRequest) -> HttpResponse {
    let broker = broker_origin(ops, request);
    let Some(text) = pages::of_dashboard("index.html") else {
        debug_assert!(false, "no index.html is embedded");
        return HttpResponse::InternalServerError().body("This program was built without its dashboard.");
    };
    let values = PageValues::default()
        .with("broker", &format!("{broker}{}", ops.runtime.config().path.as_str()))
        .with("version", env!("CARGO_PKG_VERSION"))
        .with("has_login", &ops.runtime.api_tokens.load().has_login().to_string());
    let page = values.fill(&String::from_utf8_lossy(&text));
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy(&broker)))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .body(page)
}

/// A file of the dashboard, if there is one of this name.
pub(super) async fn file(request: &HttpRequest, target: &Target) -> Option<HttpResponse> {
    let name = &*target.below(FOLDER)?;
    let content = match pages::of_dashboard(name) {
        Some(content) if name != "index.html" => content,
        _ => SHARED.iter().any(|shared| name.starts_with(shared)).then(|| pages::find(name))??.1,
    };
    let mut response = pages::cached(request, name, content).await;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(response)
}

/// The content security policy. The page may talk to this server and, to test a key, to the port of the
/// clients.
fn policy(broker: &str) -> String {
    let sockets = broker.replacen("http", "ws", 1);
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' {broker} {sockets}; img-src 'self' data:; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )
}

/// The probable origin of the clients' port, as the operator's browser reaches it.
fn broker_origin(ops: &AdminState, request: &HttpRequest) -> String {
    let clients = &ops.clients;
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).and_then(name_of);
    let name = clients.name.as_deref().or(host).unwrap_or("localhost");
    let scheme = if clients.is_secure { "https" } else { "http" };
    format!("{scheme}://{name}:{}", clients.port)
}

/// The name in a `Host` header, if it has only characters of names and addresses. It becomes part of the
/// policy.
fn name_of(host: &str) -> Option<&str> {
    let name = match host.find(']') {
        Some(end) => host.get(..=end)?,
        None => host.split(':').next()?,
    };
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '[' | ']' | '_');
    (!name.is_empty() && name.chars().all(is_fine)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_cannot_widen_the_policy() {
        for (host, name) in [
            ("localhost:9001", Some("localhost")),
            ("192.0.2.1", Some("192.0.2.1")),
            ("[::1]:9001", Some("[::1]")),
            ("*", None),
            ("a; script-src *", None),
            ("a 'unsafe-inline'", None),
            ("", None),
        ] {
            assert_eq!(name_of(host), name, "{host}");
        }
    }
}
