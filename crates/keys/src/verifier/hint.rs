//! Hints about tokens that are refused, or odd, for the log and the dashboard. They decide nothing, so they
//! may read a token whose signature is wrong.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::Denied;
use peerbroker_core::vocabulary::ApiKey;

/// Most characters of a claim that are shown.
const MAX_SHOWN_CHARS: usize = 64;

/// A time in seconds since 1970 beyond it is one in milliseconds: it is in the year 5138.
const MOST_SECONDS: f64 = 1e11;

/// A claim of a valid token that is surely wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OddClaim {
    /// An `exp` in milliseconds.
    ExpiryInMilliseconds,
    /// An `iat` that is this many seconds from now.
    IssuedLater(f64),
}

impl OddClaim {
    /// The oddity, to be read after "a token".
    pub fn what(self) -> &'static str {
        match self {
            OddClaim::ExpiryInMilliseconds => "whose expiry (exp) is in milliseconds",
            OddClaim::IssuedLater(_) => "that was issued in the future (iat)",
        }
    }

    /// The consequence, and advice.
    pub fn hint(self) -> String {
        match self {
            OddClaim::ExpiryInMilliseconds => {
                "exp counts seconds since 1970, so this token is valid for thousands of years: divide by 1000"
                    .to_owned()
            }
            OddClaim::IssuedLater(ahead) if is_in_milliseconds(ahead) => {
                "its iat is in milliseconds, and has to be in seconds since 1970".to_owned()
            }
            OddClaim::IssuedLater(ahead) => {
                format!("its iat is {} from now: {WRONG_CLOCK}", spoken(ahead))
            }
        }
    }
}

const WRONG_CLOCK: &str = "the clock of its issuer, or of this machine, is wrong";

pub(super) fn is_in_milliseconds(time: f64) -> bool {
    time > MOST_SECONDS
}

/// The value in this token, shortened, and advice.
pub(super) fn of(denied: &Denied, token: &str, key: &ApiKey, now: f64) -> String {
    let mut parts = token.split('.').map(object);
    let header = parts.next().flatten();
    let claims = parts.next().flatten();
    let in_header = |name: &str| shown(header.as_ref().and_then(|header| header.get(name)));
    let claim = |name: &str| claims.as_ref().and_then(|claims| claims.get(name));
    let time = |name: &str| claim(name).and_then(Value::as_f64).unwrap_or(now);
    match denied {
        Denied::NoToken(_) | Denied::Malformed if has_scheme(token) => {
            "it begins with \"Bearer \": pass the token alone".to_owned()
        }
        Denied::NoToken(_) | Denied::Malformed => {
            "does the page pass `token` to Peer? Without one, PeerJS sends a random text".to_owned()
        }
        Denied::Header | Denied::Algorithm(_) => format!("its alg is {}", in_header("alg")),
        Denied::Critical => "tokens without crit are needed".to_owned(),
        Denied::UnknownKeyId => {
            format!("its kid is {}, which the file of --jwks_file does not have", in_header("kid"))
        }
        Denied::NoKeyId => "sign with a kid of the file of --jwks_file in the header".to_owned(),
        Denied::Signature => {
            "it was signed with another secret or private key than that of this key, or was changed"
                .to_owned()
        }
        Denied::DecodedSecret(form) => format!(
            "the bytes of the text are the secret: sign with the text as it is, without decoding it from {form}"
        ),
        Denied::UntrimmedSecret => {
            "white space at the end of the file of the secret is no part of it: have the signer trim the text"
                .to_owned()
        }
        Denied::Claims => wrong_claim(claims.as_ref()),
        Denied::NoExpiry => "add exp, in seconds since 1970".to_owned(),
        Denied::Expired => {
            format!(
                "it expired {} ago: give the page a new one before it connects",
                spoken(now - time("exp"))
            )
        }
        Denied::NotYet if is_in_milliseconds(time("nbf")) => {
            "its nbf is in milliseconds, and has to be in seconds since 1970".to_owned()
        }
        Denied::NotYet => format!("it is valid only {} from now: {WRONG_CLOCK}", spoken(time("nbf") - now)),
        Denied::Audience => {
            let found = shown(claim("aud"));
            let key = key.as_str();
            match claim("sub").and_then(odd_subject) {
                // It is the next thing that would be wrong, and nobody can change it either.
                Some(why) => format!("its aud is {found}, and has to be {key:?} or missing; {why}"),
                None => format!(
                    "its aud is {found}, and has to be {key:?} or missing. If it cannot be changed, add a key with its name"
                ),
            }
        }
        Denied::NoSubject => "add sub, the id of the client".to_owned(),
        Denied::Subject => match claim("sub").and_then(odd_subject) {
            Some(why) => why,
            None => format!("its sub is {}", shown(claim("sub"))),
        },
        Denied::EveryId => "give each client an id, or a prefix as in \"guest-*\"".to_owned(),
        Denied::UnusableSubject(_) => format!("its sub is {}", shown(claim("sub"))),
        Denied::NoKeySet(path) => format!("make {}, or mend it", path.display()),
        Denied::Unusable => "the log says why since the server read the key".to_owned(),
        Denied::Tokenless => {
            "the key asks for verified identities, which only PeerJS clients can have".to_owned()
        }
        Denied::Refused(404 | 405) => "does the URL of --auth_url take POST?".to_owned(),
        Denied::Refused(_) => "the webhook of --auth_url decides".to_owned(),
        Denied::Overloaded => "the webhook of --auth_url is too slow".to_owned(),
        Denied::TimedOut | Denied::Unreachable(_) => {
            "check that the webhook of --auth_url runs, and that this machine reaches it".to_owned()
        }
        Denied::OtherId | Denied::BadAnswer | Denied::LongAnswer => {
            "see the answers of a webhook in the documentation of keys".to_owned()
        }
    }
}

/// A subject that no page can pass to PeerJS, such as `auth0|…`, and advice.
fn odd_subject(subject: &Value) -> Option<String> {
    let id = subject.as_str().filter(|id| !id.ends_with('*'))?;
    // As in PeerJS 1.5.5, lib/utils/validateId.ts.
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_usable = id.split([' ', '_', '-']).all(is_part);
    let shown = shown(Some(subject));
    (!is_usable).then(|| {
        format!("its sub is {shown}, which PeerJS takes for no id: have your server check this token, and sign one of its own")
    })
}

/// True for a token as in the header `Authorization`.
fn has_scheme(token: &str) -> bool {
    token.split_once(' ').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
}

/// The claim that has a wrong type, as far as that is clear.
fn wrong_claim(claims: Option<&Map<String, Value>>) -> String {
    let Some(claims) = claims else { return "they have to be a JSON object".to_owned() };
    let is_audience = |value: &Value| match value {
        Value::Array(list) => list.iter().all(Value::is_string),
        value => value.is_string(),
    };
    let wrong = ["exp", "nbf", "sub", "aud"].into_iter().find_map(|name| {
        let value = claims.get(name)?;
        let (is_right, expected) = match name {
            "sub" => (value.is_string(), "a text"),
            "aud" => (is_audience(value), "a text or a list of texts"),
            _ => (value.is_number(), "a number of seconds since 1970"),
        };
        (!is_right).then(|| {
            format!("its {name} is {} {}, and has to be {expected}", kind(value), shown(Some(value)))
        })
    });
    wrong.unwrap_or_else(|| "a claim is there twice, or too large".to_owned())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty:",
        Value::Bool(_) => "a truth value:",
        Value::Number(_) => "a number:",
        Value::String(_) => "a text:",
        Value::Array(_) => "a list:",
        Value::Object(_) => "an object:",
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// A claim as JSON, shortened, and without characters that could forge a line.
fn shown(claim: Option<&Value>) -> String {
    let Some(claim) = claim else { return "missing".to_owned() };
    let text = crate::escaped(&claim.to_string());
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// A duration in seconds, for people.
fn spoken(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3600.0),
        // A claim may be any number.
        s => format!("{:.0} days", s.min(MOST_SECONDS) / 86_400.0),
    }
}
