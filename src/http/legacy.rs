//! The HTTP form of PeerJS 0.3.x: a stream to hear through, and a POST for each message.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, rt, web};
use tokio::time::timeout;

use super::peerjs::decode_key as decode;
use super::routes::{Post, Posted};
use super::{endpoint, plain, too_many_requests};
use crate::service::Service;
use crate::session::{self, Claim, Refusal, Unheard};
use crate::transport::connection::Watch;

/// How long a body may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Has nginx pass on each line as it comes.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(super) async fn answer(
    service: &Arc<Service>,
    request: &HttpRequest,
    post: Post<'_>,
    payload: web::Payload,
) -> HttpResponse {
    let claim = match claim(post) {
        Ok(claim) => claim,
        Err(refusal) => return refuse(StatusCode::BAD_REQUEST, refusal),
    };
    match post.what {
        Posted::Stream => open(service, request, claim).await,
        Posted::Message if is_too_large(service, request) => too_large(),
        Posted::Message => relay(service, request, claim, payload).await,
    }
}

fn claim(Post { key, id, token, .. }: Post<'_>) -> Result<Claim, Refusal> {
    let [key, id, token] = [key, id, token].map(|part| decode(part).unwrap_or_default());
    Claim::check(&key, &id, &token)
}

async fn open(service: &Arc<Service>, request: &HttpRequest, claim: Claim) -> HttpResponse {
    let caller = match endpoint::caller(service, "", request.headers(), request.peer_addr()) {
        Ok(caller) => caller,
        Err(too_many) => return too_many_requests(too_many),
    };
    // The first stream of a client has the number 0.
    let renewed = !request.query_string().split('&').any(|pair| pair == "i=0");
    match session::open_stream(service, claim, caller, renewed).await {
        Ok((mut body, session)) => {
            rt::spawn(session);
            if let Some(watch) = request.conn_data::<Rc<Watch>>() {
                body.watch(Rc::clone(watch));
            }
            HttpResponse::Ok()
                .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")))
                .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
                .insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
                .insert_header((X_ACCEL_BUFFERING, HeaderValue::from_static("no")))
                .streaming(body)
        }
        Err(refusal) => refuse(StatusCode::UNAUTHORIZED, refusal),
    }
}

async fn relay(
    service: &Service,
    request: &HttpRequest,
    claim: Claim,
    payload: web::Payload,
) -> HttpResponse {
    let source = endpoint::source(service, request.headers(), request.peer_addr());
    // Before the body is read: until then it is with the client, and costs us nothing.
    let sender = match session::sender(service, claim, &source).await {
        Ok(sender) => sender,
        Err(Unheard::Absent) => return plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
        Err(Unheard::TooMuch) => return plain(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
    };
    let body = match read(payload, service.config.max_message_bytes).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    // Without text it is a message of nothing.
    match sender.post(service, std::str::from_utf8(&body).unwrap_or_default()) {
        session::Outcome::Done => plain(StatusCode::OK, "OK"),
        session::Outcome::Nothing => plain(StatusCode::BAD_REQUEST, "This is no message of PeerJS."),
        session::Outcome::Refused => plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
    }
}

/// Reads a body of at most `max` bytes, within bounds of time.
pub(super) async fn read(payload: web::Payload, max: usize) -> Result<Bytes, HttpResponse> {
    match timeout(BODY_TIMEOUT, payload.to_bytes_limited(max)).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(_))) => Err(plain(StatusCode::BAD_REQUEST, "Bad Request")),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(plain(StatusCode::REQUEST_TIMEOUT, "Request Timeout")),
    }
}

fn is_too_large(service: &Service, request: &HttpRequest) -> bool {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    announced.and_then(|length| length.parse().ok()).is_some_and(|length: u64| {
        usize::try_from(length).map_or(true, |length| length > service.config.max_message_bytes)
    })
}

fn too_large() -> HttpResponse {
    plain(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large")
}

fn refuse(status: StatusCode, refusal: Refusal) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")))
        .body(refusal.text().into_owned())
}

#[cfg(test)]
mod tests {
    use actix_http::h1;
    use actix_web::FromRequest as _;
    use actix_web::dev::Payload;
    use actix_web::test::TestRequest;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let (mut sender, body) = h1::Payload::create(false);
        sender.feed_data(r#"{"type":"HEARTBEAT""#.into());
        let request = TestRequest::default().to_http_request();
        let payload = web::Payload::from_request(&request, &mut Payload::from(body)).await.unwrap();
        let refused = read(payload, 1000).await.expect_err("half a body");
        assert_eq!(refused.status(), StatusCode::REQUEST_TIMEOUT);
    }
}
