//! Asks the webhook of a key's owner whether a client may have an id, and keeps its answers.

use std::collections::HashMap;
use std::error::Error;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hyper::{Request, Uri, header};
use memchr::memmem;
use parking_lot::Mutex;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::error::{BadAuth, Denied};
use super::jwt;
use peerbroker_core::single_flight::SingleFlight;
use peerbroker_core::vocabulary::{AddressPrefix, ApiKey, PeerId, RoomRights, Token};
use peerbroker_limits::Places;
use peerbroker_tls::outbound::{Bounds, HttpClient, NoAnswer, Reach, parse_url};

/// Connections are not reused, because the worker that opened one may be busy or gone when another worker
/// needs it. Answers are cached instead.
const BOUNDS: Bounds =
    Bounds { reach: Reach::Anywhere, idle: 0, timeout: Duration::from_secs(3), max_body: 4096 };

/// Time for which answers are cached.
const YES_TTL: Duration = Duration::from_secs(30);
const NO_TTL: Duration = Duration::from_secs(2);

/// Most cached answers.
pub(super) const MAX_ANSWERS: usize = 1000;

/// Most open questions.
pub(super) const MAX_QUESTIONS: usize = 64;

/// The HTTP client of all keys: a separate one would cost each key 15 KB and 0.1 ms.
static CLIENT: LazyLock<Result<Arc<HttpClient>, rustls::Error>> =
    LazyLock::new(|| HttpClient::new(BOUNDS).map(Arc::new));

/// A client that asks for an id, with its token, address and origin.
#[derive(Clone, Copy)]
pub struct Claimant<'a> {
    /// The key.
    pub key: &'a ApiKey,
    /// The id that it asks for.
    pub id: &'a PeerId,
    /// Its proof.
    pub token: &'a Token,
    /// Its address, if it has one.
    pub address: Option<IpAddr>,
    /// The origin of its page.
    pub origin: Option<&'a str>,
}

pub(super) struct Webhook {
    url: Uri,
    client: Arc<HttpClient>,
    answers: AnswerCache,
    /// The log has that its answers seem to refuse clients.
    has_warned: AtomicBool,
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
    #[serde(default, deserialize_with = "jwt::rooms")]
    rooms: RoomRights,
}

impl Webhook {
    pub(super) fn new(url: &str) -> Result<Self, BadAuth> {
        let client = CLIENT.clone()?;
        Ok(Webhook {
            url: parse_url(url).map_err(BadAuth::Url)?,
            client,
            answers: AnswerCache::default(),
            has_warned: AtomicBool::new(false),
        })
    }

    /// A webhook with other root certificates or another timeout.
    #[cfg(test)]
    pub(super) fn custom(url: &str, tls: rustls::ClientConfig, timeout: Duration) -> Result<Self, BadAuth> {
        let client = Arc::new(HttpClient::with_tls(tls, Bounds { timeout, ..BOUNDS }));
        Ok(Webhook { client, ..Webhook::new(url)? })
    }

    /// Asks the owner of the key if the client may have the id. Any failure is a no.
    pub(super) async fn ask(&self, claimant: &Claimant<'_>) -> Verdict {
        let text = question(claimant)?;
        let hash = hash(&text)?;
        self.answers.find(hash, claimant.address, || self.post(text, claimant)).await
    }

    async fn post(&self, text: Vec<u8>, claimant: &Claimant<'_>) -> Verdict {
        let request = Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("peerbroker/", env!("CARGO_PKG_VERSION")))
            .body(text)
            .map_err(|error| failure(&error))?;
        let answer = self.client.send(request).await?;
        // A redirect is a no: following it would send the token to another server.
        if !answer.head.status.is_success() {
            return Err(Denied::Refused(answer.head.status.as_u16()));
        }
        let answer = answer.read().await?;
        let rooms = check_answer(answer.body(), claimant.id)?;
        if let Some(name) = seeming_no(answer.body())
            && !self.has_warned.swap(true, Ordering::Relaxed)
        {
            log::warn!(
                "the webhook of --auth_url of the key {:?} admits a client, and says \"{name}\": false. Only the status refuses: \
                 answer 403 for a no",
                claimant.key
            );
        }
        Ok(rooms)
    }
}

impl From<NoAnswer> for Denied {
    fn from(error: NoAnswer) -> Self {
        match error {
            NoAnswer::TimedOut(_) => Denied::TimedOut,
            NoAnswer::TooLong(_) => Denied::LongAnswer,
            NoAnswer::Failed(_) => failure(&error),
        }
    }
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

/// An answer of 2xx is a yes, with the rooms that it lists, except if its body is an object with another
/// `id`, or begins with `{` and cannot be parsed.
fn check_answer(body: &[u8], id: &PeerId) -> Verdict {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body).trim_ascii();
    if !body.starts_with(b"{") {
        return Ok(RoomRights::default());
    }
    let answered: WebhookAnswer = serde_json::from_slice(body).map_err(|_| Denied::BadAnswer)?;
    match answered.id {
        Some(answered) if answered != id.as_str() => Err(Denied::OtherId),
        Some(_) | None => Ok(answered.rooms),
    }
}

/// The member of an answer by which its author surely meant a no.
fn seeming_no(body: &[u8]) -> Option<&'static str> {
    // Most answers have none, and need no second look.
    memmem::find(body, b"false")?;
    let answer: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let names = ["ok", "allow", "allowed", "valid", "success", "authorized"];
    names.into_iter().find(|name| answer.get(*name) == Some(&Value::Bool(false)))
}

fn failure(error: &dyn Error) -> Denied {
    Denied::Unreachable(error.to_string().into())
}

/// A keyed hash of a question.
pub(super) type Hash = [u8; 32];

/// The private rooms of a client that may have its id.
pub(super) type Verdict = Result<RoomRights, Denied>;

#[derive(Default)]
pub(super) struct AnswerCache {
    known: Mutex<HashMap<Hash, Known>>,
    asked: SingleFlight<Hash, Verdict>,
    /// Of the questions that are asked at a time, for their addresses.
    places: Arc<Places<AddressPrefix>>,
}

struct Known {
    answer: Verdict,
    until: Instant,
}

impl AnswerCache {
    /// Returns the cached answer, or asks the webhook for a client of an address. Clients with the same
    /// question wait for one answer.
    pub(super) async fn find<F: Future<Output = Verdict>>(
        &self,
        hash: Hash,
        address: Option<IpAddr>,
        ask: impl FnOnce() -> F,
    ) -> Verdict {
        if let Some(answer) = self.cached(&hash) {
            return answer;
        }
        let ask = async || {
            // Another client may have got it meanwhile.
            if let Some(answer) = self.cached(&hash) {
                return answer;
            }
            let place = self.places.take(AddressPrefix::of_remote(address), MAX_QUESTIONS);
            let Some(_place) = place else { return Err(Denied::Overloaded) };
            let answer = ask().await;
            self.keep(hash, &answer);
            answer
        };
        self.asked.ask(hash, ask).await
    }

    fn cached(&self, hash: &Hash) -> Option<Verdict> {
        let known = self.known.lock();
        known.get(hash).filter(|known| Instant::now() < known.until).map(|known| known.answer.clone())
    }

    fn keep(&self, hash: Hash, answer: &Verdict) {
        let mut known = self.known.lock();
        let now = Instant::now();
        if known.len() >= MAX_ANSWERS && !known.contains_key(&hash) {
            known.retain(|_, known| now < known.until);
            // If none has expired, the one that expires next gives way.
            if known.len() >= MAX_ANSWERS
                && let Some(next) = known.iter().min_by_key(|(_, known)| known.until).map(|(hash, _)| *hash)
            {
                known.remove(&next);
            }
        }
        let until = now + if answer.is_ok() { YES_TTL } else { NO_TTL };
        known.insert(hash, Known { answer: answer.clone(), until });
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn all_keys_share_one_client() {
        let [one, other] = ["https://a.test/", "https://b.test/"].map(|url| Webhook::new(url).unwrap());
        assert!(Arc::ptr_eq(&one.client, &other.client));
    }

    #[test]
    fn an_answer_that_seems_to_mean_no_is_seen() {
        for (body, name) in [
            (r#"{"ok":false}"#, Some("ok")),
            (r#"{"allowed": false, "rooms": []}"#, Some("allowed")),
            (r#"{"ok":true}"#, None),
            (r#"{"ok":"false"}"#, None),
            (r#"{"cached":false}"#, None),
            (r#"{"user":{"ok":false}}"#, None),
            ("false", None),
            ("", None),
        ] {
            assert_eq!(seeming_no(body.as_bytes()), name, "{body}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn questions_without_a_waiting_client_are_dropped() {
        let answers = AnswerCache::default();
        for number in 0..u8::MAX {
            let asked = answers.find([number; 32], None, pending);
            assert!(tokio::time::timeout(Duration::from_millis(1), asked).await.is_err());
        }
        assert_eq!(answers.asked.open_questions(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_whose_questions_hang_leaves_others_some() {
        let answers = AnswerCache::default();
        let [crowd, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(|address| Some(IpAddr::from(address)));
        let mut asked: Vec<_> =
            (0..100_u8).map(|number| Box::pin(answers.find([number; 32], crowd, pending))).collect();
        let answered = asked.iter_mut().filter_map(|asked| asked.as_mut().now_or_never()).count();
        assert_eq!(answered, 100 - MAX_QUESTIONS / 2, "refused");
        let ask = || async { Ok(RoomRights::default()) };
        assert!(answers.find([200; 32], other, ask).await.is_ok());
    }
}
