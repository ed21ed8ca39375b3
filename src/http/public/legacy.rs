//! The HTTP transport of PeerJS 0.3.x: a stream to the client, and a POST for each of its messages.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use actix_web::http::{StatusCode, header};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse, rt};
use tokio::select;
use tokio::time::sleep;

use super::handler::{NO_STORE, NOSNIFF, bare, plain, read_body};
use super::routes::Post;
use super::{endpoint, handshake::status_of};
use crate::http::path::decode;
use crate::runtime::Runtime;
use peerbroker_core::vocabulary::{HandshakeRefusal, Refusal};
use peerbroker_limits::LimitExceeded;
use peerbroker_node::session::{self, Credentials, Posted};
use peerbroker_transport::connection::ConnectionState;
use peerbroker_transport::stream::HANDOVER;

pub(super) async fn answer(
    runtime: &Runtime,
    request: &HttpRequest,
    post: Post<'_>,
    payload: Payload,
) -> HttpResponse {
    let [key, id, token] = [post.key, post.id, post.token].map(|part| decode(part).unwrap_or_default());
    let credentials = match Credentials::check(&key, &id, &token) {
        Ok(credentials) => credentials,
        Err(refusal) => return plain(StatusCode::BAD_REQUEST, refusal.text().into_owned()),
    };
    if post.is_stream {
        open_stream(runtime, request, credentials).await
    } else if is_too_large(runtime, request) {
        bare(StatusCode::PAYLOAD_TOO_LARGE)
    } else {
        forward(runtime, request, credentials, payload).await
    }
}

async fn open_stream(runtime: &Runtime, request: &HttpRequest, credentials: Credentials) -> HttpResponse {
    let connection = request.conn_data::<Rc<ConnectionState>>();
    let permit = connection.and_then(|connection| connection.permit());
    let source = endpoint::source(runtime, request.head());
    let connect = match endpoint::connect_request(runtime, String::new(), source, permit) {
        Ok(request) => request,
        Err(too_many) => return too_many_requests(too_many),
    };
    // A client numbers its streams from 0, so any other number renews a stream.
    let renewed = !request.query_string().split('&').any(|pair| pair == "i=0");
    match session::open_stream(&runtime.node, credentials, connect, renewed).await {
        Ok((mut body, session)) => {
            rt::spawn(session);
            if renewed {
                sleep(HANDOVER).await;
            }
            body.connection = connection.cloned();
            HttpResponse::Ok()
                .content_type("application/octet-stream")
                .insert_header(NO_STORE)
                .insert_header(NOSNIFF)
                // Makes nginx forward each line at once.
                .insert_header(("x-accel-buffering", "no"))
                .streaming(body)
        }
        Err(refusal) => refuse(refusal),
    }
}

async fn forward(
    runtime: &Runtime,
    request: &HttpRequest,
    credentials: Credentials,
    payload: Payload,
) -> HttpResponse {
    let source = endpoint::source(runtime, request.head());
    // Runs before the body is read: until then the client holds the body, so it costs no memory here.
    let connection = request.conn_data::<Rc<ConnectionState>>();
    let client_left = poll_fn(|cx| connection.map_or(Poll::Pending, |connection| connection.poll_ended(cx)));
    let sender = select! {
        biased;
        sender = session::sender(&runtime.node, credentials, &source) => sender,
        // Nothing waits for the answer.
        () = client_left => Err(Posted::Absent),
    };
    let sender = match sender {
        Ok(sender) => sender,
        Err(outcome) => return answer_to(outcome),
    };
    let max = runtime.config().max_message_bytes;
    // A body without a length may be as long as any.
    let length = content_length(request).and_then(|length| usize::try_from(length).ok());
    let _held = match session::hold(&runtime.node, source.address, length.unwrap_or(max).min(max)) {
        Ok(held) => held,
        Err(outcome) => return answer_to(outcome),
    };
    let body = match read_body(payload, max).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    // A body that is not UTF-8 is handled as an empty one.
    answer_to(sender.post(&runtime.node, std::str::from_utf8(&body).unwrap_or_default()).await)
}

fn answer_to(outcome: Posted) -> HttpResponse {
    match outcome {
        Posted::Done => bare(StatusCode::OK),
        Posted::Ignored => plain(StatusCode::BAD_REQUEST, "This is not a PeerJS message."),
        Posted::Absent => bare(StatusCode::UNAUTHORIZED),
        Posted::TooMuch => bare(StatusCode::TOO_MANY_REQUESTS),
        Posted::Unknown => bare(StatusCode::SERVICE_UNAVAILABLE),
        Posted::Banned => refuse(Refusal::Banned),
    }
}

fn is_too_large(runtime: &Runtime, request: &HttpRequest) -> bool {
    let max = runtime.config().max_message_bytes as u64;
    content_length(request).is_some_and(|length| length > max)
}

fn content_length(request: &HttpRequest) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(super) fn too_many_requests(too_many: LimitExceeded) -> HttpResponse {
    let refusal = HandshakeRefusal::TooManyConnections;
    let mut response = plain(status_of(refusal), refusal.ending().text.unwrap_or_default());
    response.headers_mut().insert(header::RETRY_AFTER, too_many.seconds().into());
    response
}

/// Refuses a client of a key.
pub(super) fn refuse(refusal: Refusal) -> HttpResponse {
    let status = match refusal {
        Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Banned => StatusCode::FORBIDDEN,
        _ => StatusCode::UNAUTHORIZED,
    };
    plain(status, refusal.text().into_owned())
}
