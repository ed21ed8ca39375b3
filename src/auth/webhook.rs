//! Asks the webhook of a key's owner whether a client may have an id.

use std::error::Error;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{Request, Uri, header};
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::answers::{Answer, Answers, Found, Hash};
use super::claimant::Claimant;
use super::error::{BadAuth, Denied};
use super::jwt;
use crate::http_client::{self, HttpClient, Reach, parse_url, reason};
use crate::wire::PeerId;

/// The timeout of a request, from DNS to the last byte of the answer.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Most bytes of an answer's body.
const MAX_ANSWER_BYTES: usize = 4096;

/// The client of all keys: one of its own would take each key 15 KB and 0.1 ms. Connections are not reused, because the worker that
/// opened one may be busy or gone when another worker needs it. Answers are cached instead.
static CLIENT: LazyLock<Result<Arc<HttpClient>, rustls::Error>> =
    LazyLock::new(|| http_client::client(Reach::Anywhere, 0).map(Arc::new));

pub(super) struct Webhook {
    url: Uri,
    client: Arc<HttpClient>,
    answers: Mutex<Answers>,
    timeout: Duration,
}

/// The body of the request.
#[derive(Serialize)]
struct Question<'a> {
    key: &'a str,
    id: &'a str,
    token: &'a str,
    address: Option<String>,
    origin: Option<&'a str>,
}

/// The body of an answer, if it is an object. Other members are ignored.
#[derive(Deserialize)]
struct WebhookAnswer {
    #[serde(default, deserialize_with = "jwt::present")]
    id: Option<String>,
}

impl Webhook {
    pub(super) fn new(url: &str) -> Result<Self, BadAuth> {
        Ok(Webhook::with(parse(url)?, CLIENT.clone()?, TIMEOUT))
    }

    /// A webhook with other root certificates or another timeout.
    #[cfg(test)]
    pub(super) fn custom(url: &str, tls: rustls::ClientConfig, timeout: Duration) -> Result<Self, BadAuth> {
        let client = Arc::new(http_client::client_with(tls, Reach::Anywhere, 0));
        Ok(Webhook::with(parse(url)?, client, timeout))
    }

    fn with(url: Uri, client: Arc<HttpClient>, timeout: Duration) -> Self {
        Webhook { url, client, answers: Mutex::new(Answers::new()), timeout }
    }

    /// Whether the owner of the key lets the client have the id. Any failure is a no.
    pub(super) async fn ask(&self, claimant: &Claimant<'_>) -> Answer {
        let text = question(claimant)?;
        let hash = hash(&text)?;
        let question = match self.answers().find(hash, Instant::now()) {
            Found::Answer(answer) => return answer,
            Found::Question(question) => question,
        };
        // If the asking client leaves, the next waiting one asks again.
        let answer = question.answer.get_or_init(|| self.post(text, claimant.id)).await;
        self.answers().keep(hash, &question, answer, Instant::now());
        answer.clone()
    }

    async fn post(&self, text: Vec<u8>, id: &PeerId) -> Answer {
        let asked = tokio::time::timeout(self.timeout, self.exchange(text, id)).await;
        asked.unwrap_or(Err(Denied::TimedOut))
    }

    async fn exchange(&self, text: Vec<u8>, id: &PeerId) -> Answer {
        let request = Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("peerbroker/", env!("CARGO_PKG_VERSION")))
            .body(Full::from(text))
            .map_err(|error| failure(&error))?;
        let response = self.client.request(request).await.map_err(|error| failure(&error))?;
        // A redirect is a no: following it would send the token to another server.
        if !response.status().is_success() {
            return Err(Denied::Refused(response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body =
            body.map_err(
                |error| {
                    if error.is::<LengthLimitError>() { Denied::LongAnswer } else { failure(&*error) }
                },
            )?;
        check_answer(&body.to_bytes(), id)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse(text: &str) -> Result<Uri, BadAuth> {
    parse_url(text).map_err(BadAuth::Url)
}

fn question(Claimant { key, id, token, address, origin }: &Claimant<'_>) -> Result<Vec<u8>, Denied> {
    serde_json::to_vec(&Question {
        key: key.as_str(),
        id: id.as_str(),
        token: token.as_str(),
        // An IPv6 socket reports IPv4 clients as mapped addresses.
        address: address.map(|address| address.to_canonical().to_string()),
        origin: *origin,
    })
    .map_err(|error| failure(&error))
}

/// Keys the hashes of questions. It never leaves the process, so a hash reveals nothing about a token.
static SECRET: LazyLock<hmac::Key> =
    LazyLock::new(|| hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>()));

fn hash(question: &[u8]) -> Result<Hash, Denied> {
    hmac::sign(&SECRET, question).as_ref().try_into().map_err(|_| Denied::Overloaded)
}

/// An answer of 2xx is a yes, except if its body is an object with another `id`, or begins with `{` and cannot be parsed.
fn check_answer(body: &[u8], id: &PeerId) -> Answer {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body).trim_ascii();
    if !body.starts_with(b"{") {
        return Ok(());
    }
    let answered: WebhookAnswer = serde_json::from_slice(body).map_err(|_| Denied::BadAnswer)?;
    match answered.id {
        Some(answered) if answered != id.as_str() => Err(Denied::OtherId),
        Some(_) | None => Ok(()),
    }
}

fn failure(error: &(dyn Error + 'static)) -> Denied {
    Denied::Unreachable(Arc::from(reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_share_one_client() {
        let [one, other] = ["https://a.test/", "https://b.test/"].map(|url| Webhook::new(url).unwrap());
        assert!(Arc::ptr_eq(&one.client, &other.client));
    }
}
