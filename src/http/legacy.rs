//! The HTTP form of PeerJS 0.3.x: a stream to hear through, and a POST for each message.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, rt, web};
use tokio::select;

use super::peerjs::decode_key as decode;
use super::routes::{Post, Posted};
use super::{body, endpoint, plain, too_many_requests};
use crate::app::Parts;
use crate::session::{self, Claim, PostRefusal};
use crate::transport::connection_state::ConnectionState;
use crate::wire::Refusal;

/// Has nginx pass on each line as it comes.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub(super) async fn answer(
    service: &Arc<Parts>,
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
        Posted::Message if is_too_large(service, request) => body::too_large(),
        Posted::Message => relay(service, request, claim, payload).await,
    }
}

fn claim(Post { key, id, token, .. }: Post<'_>) -> Result<Claim, Refusal> {
    let [key, id, token] = [key, id, token].map(|part| decode(part).unwrap_or_default());
    Claim::check(&key, &id, &token)
}

async fn open(service: &Arc<Parts>, request: &HttpRequest, claim: Claim) -> HttpResponse {
    let exchange = request.conn_data::<Rc<ConnectionState>>();
    let caller = match endpoint::caller(service, "", request.headers(), request.peer_addr(), exchange) {
        Ok(caller) => caller,
        Err(too_many) => return too_many_requests(too_many),
    };
    // The first stream of a client has the number 0.
    let renewed = !request.query_string().split('&').any(|pair| pair == "i=0");
    match session::open_stream(&service.sessions, claim, caller, renewed).await {
        Ok((mut body, session)) => {
            rt::spawn(session);
            if let Some(exchange) = exchange {
                body.watch(Rc::clone(exchange));
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

async fn relay(service: &Parts, request: &HttpRequest, claim: Claim, payload: web::Payload) -> HttpResponse {
    let source = endpoint::source(service, request.headers(), request.peer_addr());
    // Before the body is read: until then it is with the client, and costs us nothing.
    let exchange = request.conn_data::<Rc<ConnectionState>>();
    let left = poll_fn(|cx| exchange.map_or(Poll::Pending, |exchange| exchange.poll_ended(cx)));
    let sender = select! {
        biased;
        sender = session::sender(&service.sessions, claim, &source) => sender,
        // Nobody waits for the answer.
        () = left => Err(PostRefusal::Absent),
    };
    let sender = match sender {
        Ok(sender) => sender,
        Err(PostRefusal::Absent) => return plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
        Err(PostRefusal::TooMuch) => return plain(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
    };
    let body = match body::read(payload, service.config().max_message_bytes).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    // Without text it is a message of nothing.
    match sender.post(&service.sessions, std::str::from_utf8(&body).unwrap_or_default()) {
        session::PostOutcome::Done => plain(StatusCode::OK, "OK"),
        session::PostOutcome::Nothing => plain(StatusCode::BAD_REQUEST, "This is no message of PeerJS."),
        session::PostOutcome::Refused => plain(StatusCode::UNAUTHORIZED, "Unauthorized"),
    }
}

fn is_too_large(service: &Parts, request: &HttpRequest) -> bool {
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    announced.and_then(|length| length.parse().ok()).is_some_and(|length: u64| {
        usize::try_from(length).map_or(true, |length| length > service.config().max_message_bytes)
    })
}

fn refuse(status: StatusCode, refusal: Refusal) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")))
        .body(refusal.text().into_owned())
}
