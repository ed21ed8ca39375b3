//! Answers of HTML, for requests that prefer it.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, Header as _, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::template::Values;

/// The content security policy: what pages may load, and which servers they may talk to.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self' ws: wss:; base-uri 'self'; form-action 'self'; frame-ancestors 'self'";

/// Whether a request prefers HTML to JSON. With `*/*`, which programs send, it does not.
pub(crate) fn prefers_html(request: &HttpRequest) -> bool {
    let Ok(accept) = header::Accept::parse(request) else {
        return false;
    };
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
        .insert_header((header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)))
        // With `no-referrer`, browsers would send `Origin: null` with the form.
        .insert_header((header::REFERRER_POLICY, HeaderValue::from_static("same-origin")))
        .body(page)
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
}
