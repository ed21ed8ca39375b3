//! Reads bodies of requests, with a limit of size and a timeout.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::Bytes;
use actix_web::{HttpResponse, web};
use tokio::time::timeout;

use super::response::plain;

/// How long a client may take to send a body.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a body of at most `max` bytes.
pub(super) async fn read(payload: web::Payload, max: usize) -> Result<Bytes, HttpResponse> {
    match timeout(TIMEOUT, payload.to_bytes_limited(max)).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(_))) => Err(plain(StatusCode::BAD_REQUEST, "Bad Request")),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(plain(StatusCode::REQUEST_TIMEOUT, "Request Timeout")),
    }
}

pub(super) fn too_large() -> HttpResponse {
    plain(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large")
}

#[cfg(test)]
mod tests {
    use actix_http::h1;
    use actix_web::FromRequest as _;
    use actix_web::dev::Payload;
    use actix_web::test::TestRequest;
    use tokio::select;
    use tokio::time::{Instant, sleep};

    use super::*;

    async fn payload(body: h1::Payload) -> web::Payload {
        let request = TestRequest::default().to_http_request();
        web::Payload::from_request(&request, &mut Payload::from(body)).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let (mut sender, body) = h1::Payload::create(false);
        sender.feed_data(r#"{"type":"HEARTBEAT""#.into());
        let refused = read(payload(body).await, 1000).await.expect_err("half a body");
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
            answer = read(payload, 1000) => answer.expect_err("a body without end"),
            () = drip => unreachable!(),
        };
        assert_eq!(refused.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(begin.elapsed().as_secs(), 10);
    }
}
