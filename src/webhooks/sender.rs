//! One request: its signature, and what the answer means.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{HeaderMap, Request, StatusCode, Uri, header};
use ring::hmac;
use tokio::time::timeout;

use super::queue::Outcome;
use crate::clock::Clock;
use crate::http_client::{self, HttpClient, Reach};
use crate::keys::WebhookSecret;

/// The timeout of a request, from DNS to the end of the answer. Standard Webhooks recommends 15 to 30 s.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Most bytes of an answer that are read. They mean nothing, but a connection whose answer is read can be used again.
const MAX_ANSWER_BYTES: usize = 16 << 10;
/// How long the body of an answer may take.
const REST_OF_ANSWER: Duration = Duration::from_secs(1);
/// Connections to one host that are kept.
const IDLE_CONNECTIONS: usize = 16;

/// Sends requests.
#[derive(Clone)]
pub(super) struct Sender {
    public: HttpClient,
    anywhere: HttpClient,
    clock: Clock,
}

/// How a request ended.
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// Whether the endpoint wants no further events (410).
    pub(super) is_gone: bool,
    /// What went wrong, for the log.
    pub(super) why: String,
}

impl Sender {
    pub(super) fn new(clock: Clock) -> Result<Self, rustls::Error> {
        let client = |reach| http_client::client(reach, IDLE_CONNECTIONS);
        Ok(Sender { public: client(Reach::Public)?, anywhere: client(Reach::Anywhere)?, clock })
    }

    /// Sends an event once. `private` allows all addresses.
    pub(super) async fn send(
        self,
        url: Uri,
        private: bool,
        secrets: Vec<WebhookSecret>,
        id: String,
        body: String,
    ) -> Answer {
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("peerbroker/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures(&secrets, &id, timestamp, &body))
            .body(Full::from(body));
        let request = match request {
            Ok(request) => request,
            Err(error) => return Answer::failed(error.to_string()),
        };
        let client = if private { self.anywhere } else { self.public };
        let exchange = async {
            let response = client.request(request).await.map_err(|error| http_client::reason(&error))?;
            let (head, body) = response.into_parts();
            // Redirects are not followed: they would lead to an address that nobody has chosen.
            let answer = Answer::of(head.status, &head.headers);
            // What the answer says more, or whether it breaks off, changes nothing.
            let _ = timeout(REST_OF_ANSWER, Limited::new(body, MAX_ANSWER_BYTES).collect()).await;
            Ok(answer)
        };
        tokio::select! {
            answer = exchange => answer.unwrap_or_else(Answer::failed),
            () = self.clock.sleep(TIMEOUT) => Answer::failed(format!("no answer within {} seconds", TIMEOUT.as_secs())),
        }
    }
}

impl Answer {
    /// The endpoint has not answered.
    pub(super) fn failed(why: String) -> Self {
        Answer { outcome: Outcome::Failed(None), is_gone: false, why }
    }

    fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        let outcome = match status {
            status if status.is_success() => Outcome::Delivered,
            StatusCode::GONE => Outcome::Hopeless,
            _ => Outcome::Failed(retry_after(headers)),
        };
        Answer { outcome, is_gone: status == StatusCode::GONE, why: format!("the answer is {status}") }
    }
}

/// The pause that the endpoint asks for, in seconds. Dates are ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// One signature for each secret, with blanks between them.
fn signatures(secrets: &[WebhookSecret], id: &str, timestamp: u64, body: &str) -> String {
    let signed = format!("{id}.{timestamp}.{body}");
    let sign = |secret: &WebhookSecret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.bytes());
        format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed.as_bytes())))
    };
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use standardwebhooks::Webhook;

    use super::*;

    #[test]
    fn the_published_library_accepts_the_signature_of_each_secret_and_no_other() {
        let secret = |fill: u8| format!("whsec_{}", STANDARD.encode([fill; 32]));
        let secrets = [1, 2].map(|fill| WebhookSecret::parse(&secret(fill)).unwrap());
        let (id, body) = ("msg_1", r#"{"type":"peer.connected"}"#);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", now.into());
        headers.insert("webhook-signature", signatures(&secrets, id, now, body).parse().unwrap());
        for (fill, is_valid) in [(1, true), (2, true), (3, false)] {
            let library = Webhook::new(&secret(fill)).unwrap();
            assert_eq!(library.verify(body.as_bytes(), &headers).is_ok(), is_valid, "{fill}");
            assert!(library.verify(b"{}", &headers).is_err());
        }
    }

    #[test]
    fn only_2xx_is_success_and_only_410_is_the_end() {
        for status in [200, 201, 204, 299, 301, 307, 400, 401, 404, 410, 413, 429, 500, 502, 503] {
            let answer = Answer::of(StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
            assert_eq!(answer.outcome == Outcome::Delivered, status < 300, "{status}");
            assert_eq!(answer.is_gone, status == 410, "{status}");
        }
    }

    #[test]
    fn a_pause_is_asked_for_in_seconds() {
        for (text, pause) in [("120", Some(120)), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None)] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap())]);
            assert_eq!(retry_after(&headers), pause.map(Duration::from_secs), "{text}");
        }
    }
}
