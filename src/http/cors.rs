//! CORS: lets pages of other origins read the answers.

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use crate::keys::Origin;

/// Adds the headers that let the requesting page read the answer, if `allowed` has its origin. An empty list allows
/// every origin.
pub(super) fn allow(allowed: &[Origin], request: &HttpRequest, response: &mut HttpResponse) {
    vary(response, "Origin");
    let Some(origin) = request.headers().get(header::ORIGIN).filter(|origin| !origin.is_empty()) else {
        return;
    };
    let matches = |text: &str| allowed.iter().any(|allowed| allowed.matches(text));
    if allowed.is_empty() || origin.to_str().is_ok_and(matches) {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
}

/// The answer to `OPTIONS`. It allows every header, and the methods that peerjs-server allows.
pub(super) fn preflight(request: &HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::NoContent().finish();
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE"),
    );
    let requested = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    if let Some(requested) = requested.filter(|requested| !requested.is_empty()) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, requested.clone());
    }
    vary(&mut response, "Access-Control-Request-Headers");
    response
}

pub(super) fn vary(response: &mut HttpResponse, on: &'static str) {
    const VARY: HeaderName = header::VARY;
    response.headers_mut().append(VARY, HeaderValue::from_static(on));
}
