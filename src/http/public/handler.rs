//! The tools of all handlers: the broker at its path, parts of requests, and answers with their headers,
//! those of CORS among them.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use tokio::time::timeout;

use crate::runtime::Runtime;
use peerbroker_config::MountPath;
use peerbroker_keys::Origin;

/// A broker at a path: everything that handlers of requests need.
pub(crate) struct Mounted {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) path: MountPath,
    /// The server speaks TLS. An embedded broker cannot know that, so it checks each request.
    pub(crate) secure: bool,
    /// The machine's LAN address, if the server listens on it.
    pub(crate) lan_host: Option<IpAddr>,
}

impl Mounted {
    pub(super) fn is_secure(&self, request: &HttpRequest) -> bool {
        self.secure || request.app_config().secure()
    }
}

/// Time limit for a client to send a body.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a body of at most `max` bytes.
pub(super) async fn read_body(payload: web::Payload, max: usize) -> Result<Bytes, HttpResponse> {
    match timeout(TIMEOUT, payload.to_bytes_limited(max)).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(_))) => Err(bare(StatusCode::BAD_REQUEST)),
        Ok(Err(_)) => Err(bare(StatusCode::PAYLOAD_TOO_LARGE)),
        Err(_) => Err(bare(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// The value of this name in a query or a form. Of repeated ones the last counts, as for clients.
pub(super) fn value<'a>(form: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    form_urlencoded::parse(form).filter(|(known, _)| known == name).last().map(|(_, value)| value)
}

pub(super) fn bearer(request: &HttpRequest) -> Option<&str> {
    let (scheme, token) = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The origin of the page that sends the request. Native apps send none.
pub(super) fn origin(headers: &HeaderMap) -> Option<String> {
    let origin = headers.get(header::ORIGIN).filter(|origin| !origin.is_empty())?;
    Some(String::from_utf8_lossy(origin.as_bytes()).into_owned())
}

pub(super) const NO_CACHE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-cache");
pub(super) const NO_STORE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");
pub(super) const NOSNIFF: (HeaderName, &str) = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");

/// An answer whose text is the reason phrase of its status.
pub(super) fn bare(status: StatusCode) -> HttpResponse {
    plain(status, status.canonical_reason().unwrap_or_default())
}

pub(super) fn plain(status: StatusCode, text: impl MessageBody + 'static) -> HttpResponse {
    HttpResponse::build(status).content_type("text/plain; charset=utf-8").body(text)
}

pub(super) fn json(text: impl MessageBody + 'static) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json; charset=utf-8").body(text)
}

/// The answer with these headers.
pub(super) fn with<const N: usize>(
    mut response: HttpResponse,
    headers: [(HeaderName, &'static str); N],
) -> HttpResponse {
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Adds the headers that let the requesting page read the answer, if `allowed` has its origin. An empty list
/// allows every origin. False if it has another one.
pub(super) fn allow_origin(allowed: &[Origin], request: &HttpRequest, response: &mut HttpResponse) -> bool {
    vary(response, "Origin");
    let Some(origin) = request.headers().get(header::ORIGIN).filter(|origin| !origin.is_empty()) else {
        return true;
    };
    let matches = |text: &str| allowed.iter().any(|allowed| allowed.matches(text));
    let is_allowed = allowed.is_empty() || origin.to_str().is_ok_and(matches);
    if is_allowed {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    is_allowed
}

/// The answer to `OPTIONS`. It allows every header, and the methods that peerjs-server allows.
pub(super) fn preflight(request: &HttpRequest) -> HttpResponse {
    let mut response = HttpResponse::NoContent().finish();
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET,HEAD,PUT,PATCH,POST,DELETE");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    let requested = request.headers().get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    if let Some(requested) = requested.filter(|requested| !requested.is_empty()) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, requested.clone());
    }
    vary(&mut response, "Access-Control-Request-Headers");
    response
}

pub(super) fn vary(response: &mut HttpResponse, on: &'static str) {
    response.headers_mut().append(header::VARY, HeaderValue::from_static(on));
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_http::h1;
    use actix_web::FromRequest as _;
    use actix_web::dev::Payload;
    use actix_web::test::TestRequest;
    use tokio::select;
    use tokio::time::{Instant, sleep};

    async fn payload(body: h1::Payload) -> web::Payload {
        let request = TestRequest::default().to_http_request();
        web::Payload::from_request(&request, &mut Payload::from(body)).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let (mut sender, body) = h1::Payload::create(false);
        sender.feed_data(r#"{"type":"HEARTBEAT""#.into());
        let refused = read_body(payload(body).await, 1000).await.expect_err("half a body");
        assert_eq!(refused.status(), StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_ten_seconds_however_many_bytes_of_it_come() {
        let (mut sender, body) = h1::Payload::create(false);
        let payload = payload(body).await;
        let begin = Instant::now();
        let drip = async {
            loop {
                sleep(Duration::from_millis(300)).await;
                sender.feed_data("x".into());
            }
        };
        let refused = select! {
            answer = read_body(payload, 1000) => answer.expect_err("a body without end"),
            () = drip => unreachable!(),
        };
        assert_eq!(refused.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(begin.elapsed().as_secs(), 10);
    }
}
