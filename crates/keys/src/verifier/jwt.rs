//! Reads a JSON Web Token and decides what it allows. Pure: the keys and the time are parameters.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::error::Denied;
use super::hint::{OddClaim, is_in_milliseconds};
use super::verifying_keys::VerifyingKeys;
use peerbroker_core::vocabulary::{ApiKey, PeerId, RoomRights};

/// Seconds by which the clock of the token's issuer may differ.
const LEEWAY: f64 = 30.0;

/// The members of a header that decide something. Keys in it (`jku`, `x5u`, `jwk`, `x5c`) do not: an attacker
/// could otherwise choose the key.
#[derive(Debug, Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<IgnoredAny>,
}

/// The claims of a token whose signature is right. Other claims are ignored.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Claims {
    #[serde(default, deserialize_with = "present")]
    exp: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<f64>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Audience>,
    #[serde(default, deserialize_with = "present")]
    sub: Option<String>,
    /// Decides nothing, so it may be anything.
    #[serde(default)]
    iat: serde_json::Value,
    /// The private rooms that the token allows.
    #[serde(default, deserialize_with = "rooms")]
    pub(super) rooms: RoomRights,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// The ids that a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    Exactly(&'a str),
    /// All ids with this prefix.
    Prefix(&'a str),
}

/// The clients that may take an id over from a verified connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TakeoverBy {
    /// All with a token of this subject.
    Subject,
    /// Only those with the same token: other tokens with this prefix may belong to other users.
    Token,
}

/// Reads a token that one of the keys has signed.
pub(super) fn read(token: &str, keys: &VerifyingKeys) -> Result<Claims, Denied> {
    let (message, signature) = token.rsplit_once('.').ok_or(Denied::Malformed)?;
    let (header, payload) = message.split_once('.').ok_or(Denied::Malformed)?;
    // A third dot is not base64url, so decoding fails.
    let [signature, payload] = [decode(signature)?, decode(payload)?];
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Denied::Header)?;
    if header.crit.is_some() {
        return Err(Denied::Critical);
    }
    let key = keys.choose(header.kid.as_deref(), &header.alg)?;
    if !key.is_for(&header.alg) {
        return Err(Denied::Algorithm(key.algorithm()));
    }
    if !key.verifies(message.as_bytes(), &signature) {
        return Err(key.denied(message.as_bytes(), &signature));
    }
    // serde would also read the claims from a JSON array.
    let object = Some(&payload).filter(|payload| payload.trim_ascii_start().starts_with(b"{"));
    serde_json::from_slice(object.ok_or(Denied::Claims)?).map_err(|_| Denied::Claims)
}

impl Claims {
    /// Checks that the token allows this id at this time.
    pub(super) fn check(&self, key: &ApiKey, id: &PeerId, now: f64) -> Result<TakeoverBy, Denied> {
        match self.subject(key, now)? {
            Subject::Exactly(subject) if subject == id.as_str() => Ok(TakeoverBy::Subject),
            Subject::Prefix(prefix) if id.as_str().starts_with(prefix) => Ok(TakeoverBy::Token),
            Subject::Exactly(_) | Subject::Prefix(_) => Err(Denied::Subject),
        }
    }

    /// A claim that is surely wrong, though the token is valid.
    pub(super) fn odd(&self, now: f64) -> Option<OddClaim> {
        let ahead = self.iat.as_f64().map(|issued| issued - now).filter(|ahead| *ahead > LEEWAY);
        if self.exp.is_some_and(is_in_milliseconds) {
            return Some(OddClaim::ExpiryInMilliseconds);
        }
        ahead.map(OddClaim::IssuedLater)
    }

    /// The ids that the token allows, if it is valid for this key at this time (seconds since 1970).
    pub(super) fn subject(&self, key: &ApiKey, now: f64) -> Result<Subject<'_>, Denied> {
        let expiry = self.exp.ok_or(Denied::NoExpiry)?;
        if now >= expiry + LEEWAY {
            return Err(Denied::Expired);
        }
        if self.nbf.is_some_and(|start| now < start - LEEWAY) {
            return Err(Denied::NotYet);
        }
        let is_for_key = match &self.aud {
            None => true,
            Some(Audience::One(one)) => one == key.as_str(),
            Some(Audience::Several(several)) => several.iter().any(|one| one == key.as_str()),
        };
        if !is_for_key {
            return Err(Denied::Audience);
        }
        let subject = self.sub.as_deref().filter(|subject| !subject.is_empty()).ok_or(Denied::NoSubject)?;
        match subject.strip_suffix('*') {
            None => Ok(Subject::Exactly(subject)),
            Some("") => Err(Denied::EveryId),
            Some(prefix) => Ok(Subject::Prefix(prefix)),
        }
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Denied> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Denied::Malformed)
}

/// Reads an optional member that must have its type if it is present. `null` is an error.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// Reads the rooms that a proof lists, as in `{"lobby": "join", "news": "listen"}`. A proof may use the name
/// for something else, which lists no room.
pub(super) fn rooms<'de, D: Deserializer<'de>>(from: D) -> Result<RoomRights, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Claim {
        Listed(BTreeMap<String, String>),
        Other(IgnoredAny),
    }
    Ok(match Claim::deserialize(from)? {
        Claim::Listed(listed) => RoomRights::parse(listed),
        Claim::Other(IgnoredAny) => RoomRights::default(),
    })
}
