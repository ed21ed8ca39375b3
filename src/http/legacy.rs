//! The HTTP form of PeerJS 0.3.x: a stream to hear through, and a POST for each message.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, rt, web};
use tokio::time::timeout;

use super::peerjs::decode_key as decode;
use super::routes::{Post, Posted};
use super::{endpoint, plain, too_many_requests};
use crate::service::Service;
use crate::session::{self, Claim, Refusal};
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
    let origin = endpoint::origin(request.headers());
    // Before the body is read: until then it is with the client, and costs us nothing.
    let Some(sender) = session::sender(service, claim, origin.as_deref()).await else {
        return plain(StatusCode::UNAUTHORIZED, "Unauthorized");
    };
    let max = service.config.max_message_bytes;
    let body = match timeout(BODY_TIMEOUT, payload.to_bytes_limited(max)).await {
        Ok(Ok(Ok(body))) => body,
        Ok(Ok(Err(_))) => return plain(StatusCode::BAD_REQUEST, "Bad Request"),
        Ok(Err(_)) => return plain(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large"),
        Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
    };
    match std::str::from_utf8(&body) {
        Ok(text) if sender.post(service, text) => plain(StatusCode::OK, "OK"),
        _ => plain(StatusCode::BAD_REQUEST, "This is no message of PeerJS."),
    }
}

fn refuse(status: StatusCode, refusal: Refusal) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")))
        .body(refusal.text().into_owned())
}
