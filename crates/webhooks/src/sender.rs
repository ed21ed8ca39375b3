//! A request: an event as JSON, its signature, and the meaning of its answer. The JSON contains no addresses
//! of clients, no tokens, and no settings of keys, because those may hold secrets.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::{HeaderMap, Request, StatusCode, Uri, header};
use jiff::Timestamp;
use log::kv;
use ring::hmac;
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::queues::Outcome;
use peerbroker_core::vocabulary::{ConnId, printable};
use peerbroker_events::{Event, Row, WebhookEvent};
use peerbroker_keys::{Webhook, WebhookSecret};
use peerbroker_tls::outbound::{
    Bounds, HttpClient, IncomingResponse, NoAnswer, Reach, parse_url, retry_after,
};

/// The timeout of a request, from DNS to the end of the answer. Standard Webhooks recommends 15 to 30 s.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Most bytes of an answer that are read. To an event they have no meaning, but a connection whose answer is
/// read can be used again.
const MAX_ANSWER_BYTES: usize = 16 << 10;
/// Most bytes of a refusal that are shown.
const MAX_SHOWN_BYTES: usize = 200;
/// Advice about an endpoint that does not accept a signature.
const UNVERIFIED: &str = ". Does it decode the base64 behind whsec_, and verify the body as it comes?";
/// Time limit for the body of an answer.
const REST_OF_ANSWER: Duration = Duration::from_secs(1);
/// Connections to one host that are kept.
const IDLE_CONNECTIONS: usize = 16;

/// The reason why a webhook cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWebhook {
    /// The URL cannot be requested.
    #[error("the URL {0}")]
    Url(&'static str),
    /// Nothing can be signed.
    #[error("it needs a secret, which signs the events: `echo whsec_$(openssl rand -base64 32)` makes one")]
    NoSecret,
    /// There is no URL to send to.
    #[error("it has a secret and no URL")]
    NoUrl,
    /// Events of a key must be sent over TLS.
    #[error("the URL must begin with https://, unless the server has --webhook_private")]
    NotSecure,
}

/// Checks the settings of a webhook. `private` allows URLs without TLS. A private address is noticed when an
/// event is sent.
pub fn check_webhook(webhook: &Webhook, private: bool) -> Result<(), BadWebhook> {
    match (webhook.url.as_str(), webhook.secrets.as_slice()) {
        ("", []) => Ok(()),
        ("", _) => Err(BadWebhook::NoUrl),
        (_, []) => Err(BadWebhook::NoSecret),
        (url, _) => checked_url(url, private).map(drop),
    }
}

/// The URL, if it can be requested.
pub(super) fn checked_url(text: &str, private: bool) -> Result<Uri, BadWebhook> {
    let url = parse_url(text).map_err(BadWebhook::Url)?;
    if private || url.scheme_str() == Some("https") { Ok(url) } else { Err(BadWebhook::NotSecure) }
}

/// Sends requests.
#[derive(Clone)]
pub(super) struct Sender {
    public: HttpClient,
    anywhere: HttpClient,
}

/// A request, and the secrets that sign it.
pub(super) struct Signed {
    pub(super) url: Uri,
    /// True if all addresses are allowed.
    pub(super) private: bool,
    pub(super) secrets: Vec<WebhookSecret>,
    pub(super) id: String,
    pub(super) body: String,
}

/// The outcome of a request.
pub(super) struct Attempt {
    pub(super) outcome: Outcome,
    /// The error, for the log.
    pub(super) why: String,
}

impl Sender {
    pub(super) fn new() -> Result<Self, rustls::Error> {
        let bounds =
            |reach| Bounds { reach, idle: IDLE_CONNECTIONS, timeout: TIMEOUT, max_body: MAX_ANSWER_BYTES };
        let client = |reach| HttpClient::new(bounds(reach));
        Ok(Sender { public: client(Reach::Public)?, anywhere: client(Reach::Anywhere)? })
    }

    /// Sends an event once.
    pub(super) async fn send(self, request: Signed) -> Attempt {
        let answered = match self.post(request).await {
            Ok(answered) => answered,
            Err(why) => return Attempt::failed(&why),
        };
        let Attempt { outcome, why } = Attempt::of(answered.head.status, &answered.head.headers);
        // The body of the answer decides nothing, even if it breaks off.
        match timeout(REST_OF_ANSWER, answered.read()).await {
            Ok(Err(error @ NoAnswer::TimedOut(_))) => Attempt::failed(&error.to_string()),
            Ok(Ok(answer)) if outcome != Outcome::Delivered => {
                let is_denied = matches!(answer.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
                let advice = if is_denied { UNVERIFIED } else { "" };
                Attempt { outcome, why: why + &shown(answer.body()) + advice }
            }
            _ => Attempt { outcome, why },
        }
    }

    /// Sends a message once. Returns the text of its answer.
    pub(super) async fn ask(&self, request: Signed) -> Result<String, String> {
        let answered = self.post(request).await?;
        let status = answered.head.status;
        if !status.is_success() {
            let text = answered.read().await.map(|answer| shown(answer.body())).unwrap_or_default();
            return Err(format!("it answers {status}{text}"));
        }
        let answer = answered.read().await.map_err(|error| error.to_string())?;
        String::from_utf8(answer.into_body().into()).map_err(|error| error.to_string())
    }

    async fn post(&self, request: Signed) -> Result<IncomingResponse, String> {
        let Signed { url, private, secrets, id, body } = request;
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("peerbroker/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signatures(&secrets, &id, timestamp, &body))
            .body(body)
            .map_err(|error| error.to_string())?;
        let client = if private { &self.anywhere } else { &self.public };
        client.send(request).await.map_err(|error| error.to_string())
    }
}

impl Attempt {
    /// The endpoint has not answered.
    pub(super) fn failed(why: &str) -> Self {
        Attempt { outcome: Outcome::Failed(None), why: format!("it cannot be reached: {why}") }
    }

    fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        let outcome = match status {
            status if status.is_success() => Outcome::Delivered,
            StatusCode::GONE => Outcome::Hopeless,
            _ => Outcome::Failed(retry_after(headers)),
        };
        Attempt { outcome, why: format!("it answers {status}") }
    }
}

/// The beginning of a text of the endpoint on one line, behind a colon.
fn shown(body: &[u8]) -> String {
    let start = body.get(..MAX_SHOWN_BYTES).unwrap_or(body);
    let text = String::from_utf8_lossy(start);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { text } else { format!(": {}", printable(&text)) }
}

/// A signature for each secret, with blanks between them.
fn signatures(secrets: &[WebhookSecret], id: &str, timestamp: u64, body: &str) -> String {
    let signed = format!("{id}.{timestamp}.{body}");
    let sign = |secret: &WebhookSecret| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.bytes());
        format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed.as_bytes())))
    };
    secrets.iter().map(sign).collect::<Vec<_>>().join(" ")
}

/// Names that distinguish this process from others.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// The name of this node, if it is in a cluster.
    pub(super) node: Option<String>,
    /// Random, new each time that the process starts.
    pub(super) run: String,
}

impl Names {
    /// The id of an event. It has no dot, because dots separate the parts of the signed text.
    pub(super) fn id(&self, number: u64) -> String {
        format!("msg_{}_{number}", self.run)
    }

    /// The id of a message of a client.
    pub(super) fn message_id(&self, number: u64) -> String {
        format!("msg_{}_m{number}", self.run)
    }

    pub(super) fn connection(&self, connection: ConnId) -> String {
        format!("{}_{}", self.run, connection.get())
    }
}

/// The body of a request.
pub(super) fn body(event: &Event, happened: Timestamp, names: &Names) -> String {
    let (kind, data) = event.row(|row| (row.webhook.map(WebhookEvent::label), data(&row, names)));
    json!({ "type": kind, "timestamp": format!("{happened:.3}"), "data": data }).to_string()
}

fn data(row: &Row<'_>, names: &Names) -> Map<String, Value> {
    let subject = [
        ("key", row.key.map(|key| key.as_str().into())),
        ("realm", row.realm.map(|realm| realm.label().into())),
        ("id", row.id.map(|id| id.as_str().into())),
        ("caller", row.call.map(|[caller, _]| caller.as_str().into())),
        ("callee", row.call.map(|[_, callee]| callee.as_str().into())),
        ("connection", row.connection.map(|connection| names.connection(connection).into())),
        ("by", row.by.map(|by| by.name().into())),
    ];
    let more = row.data.iter().map(|(name, value)| (*name, Some(json_of(value))));
    let process = [
        ("run", (row.webhook == Some(WebhookEvent::ServerStarted)).then(|| names.run.as_str().into())),
        ("node", names.node.as_deref().map(Value::from)),
    ];
    let all = subject.into_iter().chain(more).chain(process);
    all.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Texts, numbers and nothing: no event has other values.
fn json_of(value: &kv::Value<'_>) -> Value {
    value.to_borrowed_str().map_or_else(|| value.to_u64().into(), Value::from)
}

#[cfg(test)]
mod tests {
    use standardwebhooks::Webhook as Library;

    use super::*;
    use peerbroker_core::vocabulary::ApiKey;
    use peerbroker_events::{Actor, KeyEvent};

    #[test]
    fn the_published_library_accepts_the_signature_of_each_secret_and_no_other() {
        let secret = |fill: u8| format!("whsec_{}", STANDARD.encode([fill; 32]));
        let secrets = [1, 2].map(|fill| WebhookSecret::parse(&secret(fill)).unwrap());
        let id = "msg_1";
        let body = r#"{"type":"peer.connected"}"#;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.parse().unwrap());
        headers.insert("webhook-timestamp", now.into());
        headers.insert("webhook-signature", signatures(&secrets, id, now, body).parse().unwrap());
        for (fill, is_valid) in [(1, true), (2, true), (3, false)] {
            let library = Library::new(&secret(fill)).unwrap();
            assert_eq!(library.verify(body.as_bytes(), &headers).is_ok(), is_valid, "{fill}");
            assert!(library.verify(b"{}", &headers).is_err());
        }
    }

    #[test]
    fn only_2xx_is_success_and_only_410_is_the_end() {
        for status in [200, 201, 204, 299, 301, 307, 400, 401, 404, 410, 413, 429, 500, 502, 503] {
            let answer = Attempt::of(StatusCode::from_u16(status).unwrap(), &HeaderMap::new());
            assert_eq!(answer.outcome == Outcome::Delivered, status < 300, "{status}");
            assert_eq!(answer.outcome == Outcome::Hopeless, status == 410, "{status}");
        }
    }

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_by_a_date() {
        for (text, pause) in [
            ("120", Some(120)),
            ("Wed, 21 Oct 2026 07:28:20 GMT", Some(20)),
            ("Wed, 21 Oct 2026 07:27:00 GMT", None),
            ("-1", None),
        ] {
            let sent = "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap();
            let headers =
                HeaderMap::from_iter([(header::RETRY_AFTER, text.parse().unwrap()), (header::DATE, sent)]);
            assert_eq!(retry_after(&headers), pause.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn an_event_of_a_key_has_neither_its_settings_nor_the_address_of_the_actor() {
        let by = Actor::Api(Some([192, 0, 2, 1].into()));
        let what = KeyEvent::Created(by, r#"{"auth":"secret"}"#.to_owned());
        let event = Event::Key { key: ApiKey::parse("k").unwrap(), what };
        let body =
            body(&event, Timestamp::UNIX_EPOCH, &Names { node: Some("n1".to_owned()), run: "1".to_owned() });
        let expected = r#"{"data":{"by":"api","key":"k","node":"n1"},"timestamp":"1970-01-01T00:00:00.000Z","type":"key.created"}"#;
        assert_eq!(body, expected);
    }
}
