//! Which pages of other origins may read the answers.

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

/// Adds the headers that let the asking page read the answer: any page, or one of `allowed`,
/// where `*` is any as well.
pub(super) fn allow(allowed: &[String], request: &HttpRequest, response: &mut HttpResponse) {
    vary(response, "Origin");
    let Some(origin) = request.headers().get(header::ORIGIN).filter(|origin| !origin.is_empty()) else {
        return;
    };
    let allows = |allowed: &String| allowed == "*" || allowed.as_bytes() == origin.as_bytes();
    if allowed.is_empty() || allowed.iter().any(allows) {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}

/// The answer to `OPTIONS`: whatever the page wants to send, it may.
pub(super) fn preflight(request: &HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::NoContent().finish();
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE"),
    );
    let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    vary(&mut response, "Access-Control-Request-Headers");
    response
}

pub(super) fn vary(response: &mut HttpResponse, on: &'static str) {
    const VARY: HeaderName = header::VARY;
    response.headers_mut().append(VARY, HeaderValue::from_static(on));
}
