//! The HTTP transport of PeerJS 0.3.x: a stream to the client, and a POST for each of its messages.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, rt, web};
use tokio::select;

use super::response::plain;
use super::routes::{Post, PostKind};
use super::{body, endpoint, percent};
use crate::app::Parts;
use crate::limits::LimitExceeded;
use crate::session::{self, Claim, PostRefusal, Posted};
use crate::transport::connection_state::ConnectionState;
use crate::wire::{HandshakeRefusal, Refusal};

/// Makes nginx forward each line at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(super) async fn answer(
    parts: &Arc<Parts>,
    request: &HttpRequest,
    post: Post<'_>,
    payload: web::Payload,
) -> HttpResponse {
    let claim = match claim(post) {
        Ok(claim) => claim,
        Err(refusal) => return refuse(StatusCode::BAD_REQUEST, refusal),
    };
    match post.kind {
        PostKind::Stream => open_stream(parts, request, claim).await,
        PostKind::Message if is_too_large(parts, request) => body::too_large(),
        PostKind::Message => relay(parts, request, claim, payload).await,
    }
}

fn claim(Post { key, id, token, .. }: Post<'_>) -> Result<Claim, Refusal> {
    let [key, id, token] = [key, id, token].map(|part| percent::decode(part).unwrap_or_default());
    Claim::check(&key, &id, &token)
}

async fn open_stream(parts: &Arc<Parts>, request: &HttpRequest, claim: Claim) -> HttpResponse {
    let connection = request.conn_data::<Rc<ConnectionState>>();
    let connect =
        match endpoint::connect_request(parts, "", request.headers(), request.peer_addr(), connection) {
            Ok(request) => request,
            Err(too_many) => return too_many_requests(too_many),
        };
    // A client numbers its streams from 0, so any other number renews a stream.
    let renewed = !request.query_string().split('&').any(|pair| pair == "i=0");
    match session::open_stream(&parts.sessions, claim, connect, renewed).await {
        Ok((mut body, session)) => {
            rt::spawn(session);
            if let Some(connection) = connection {
                body.watch(Rc::clone(connection));
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

async fn relay(parts: &Parts, request: &HttpRequest, claim: Claim, payload: web::Payload) -> HttpResponse {
    let source = endpoint::source(parts, request.headers(), request.peer_addr());
    // Runs before the body is read: until then the client holds the body, and it costs no memory here.
    let connection = request.conn_data::<Rc<ConnectionState>>();
    let client_left = poll_fn(|cx| connection.map_or(Poll::Pending, |connection| connection.poll_ended(cx)));
    let sender = select! {
        biased;
        sender = session::sender(&parts.sessions, claim, &source) => sender,
        // Nobody waits for the answer.
        () = client_left => Err(PostRefusal::Absent),
    };
    let sender = match sender {
        Ok(sender) => sender,
        Err(PostRefusal::Absent) => return plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
        Err(PostRefusal::TooMuch) => return plain(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
    };
    let body = match body::read(payload, parts.config().max_message_bytes).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    // A body that is not UTF-8 is handled as an empty one.
    match sender.post(&parts.sessions, std::str::from_utf8(&body).unwrap_or_default()).await {
        Posted::Done => plain(StatusCode::OK, "OK"),
        Posted::Nothing => plain(StatusCode::BAD_REQUEST, "This is not a PeerJS message."),
        Posted::Absent => plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
        Posted::TooMuch => plain(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
        Posted::Unknown => plain(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    }
}

fn is_too_large(parts: &Parts, request: &HttpRequest) -> bool {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).is_some_and(|length: u64| {
        usize::try_from(length).map_or(true, |length| length > parts.config().max_message_bytes)
    })
}

pub(super) fn too_many_requests(too_many: LimitExceeded) -> HttpResponse {
    let refusal = HandshakeRefusal::TooManyConnections;
    let mut response = plain(refusal.status(), refusal.ending().text.unwrap_or_default());
    response.headers_mut().insert(header::RETRY_AFTER, too_many.seconds().into());
    response
}

fn refuse(status: StatusCode, refusal: Refusal) -> HttpResponse {
    plain(status, refusal.text().into_owned())
}
