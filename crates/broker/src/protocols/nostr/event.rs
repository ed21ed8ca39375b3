//! An event: what it says, who has signed it, and where its readers find it.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use ring::digest::{SHA256, digest};
use secp256k1::XOnlyPublicKey;
use secp256k1::schnorr::Signature;

use super::{MAX_EVENT_PLACES, MAX_VALUES, list};
use crate::protocols::json::{self, Object};

/// The kinds of events that no relay stores.
const EPHEMERAL: RangeInclusive<u32> = 20_000..=29_999;

/// An event.
#[derive(Debug)]
pub(super) struct SignedEvent<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) author: Cow<'a, str>,
    pub(super) created_at: u64,
    pub(super) kind: u32,
    tags: Vec<Vec<Cow<'a, str>>>,
    object: Object<'a>,
}

/// A property by which events are found: a room has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// A tag of one letter, with its value.
    Tag(char, &'a str),
    /// A kind.
    Kind(u32),
    /// The public key of an author.
    Author(&'a str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tag(letter, value) => write!(f, "nostr #{letter} {value}"),
            Place::Kind(kind) => write!(f, "nostr kind {kind}"),
            Place::Author(key) => write!(f, "nostr author {key}"),
        }
    }
}

impl<'a> SignedEvent<'a> {
    /// Reads the JSON text of an event. `None` if a part is missing, or there are too many tags.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let object = Object::parse_with(text, &["tags"])?;
        let tags = object.list("tags")?.iter().map(|tag| {
            let values = list(tag).filter(|values| values.len() <= MAX_VALUES && tag.starts_with('['))?;
            values.into_iter().map(json::string).collect()
        });
        let tags = tags.collect::<Option<Vec<_>>>().filter(|tags| tags.len() <= MAX_VALUES)?;
        Some(SignedEvent {
            id: object.string("id")?,
            author: object.string("pubkey")?,
            created_at: object.get("created_at")?.parse().ok()?,
            kind: object.get("kind")?.parse().ok()?,
            tags,
            object,
        })
    }

    /// Says what is wrong with it, as NIP-01 does.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if !EPHEMERAL.contains(&self.kind) {
            return Some("blocked: this relay stores nothing, so it takes the kinds 20000 to 29999 only");
        }
        if self.places().count() > MAX_EVENT_PLACES {
            return Some("invalid: too many tags of one letter");
        }
        let Some(hash) = self.hash() else { return Some("invalid: no content") };
        let id: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        if self.id != id {
            return Some("invalid: the id is not the hash of the event");
        }
        let signature = self.object.string("sig").and_then(|text| text.parse::<Signature>().ok());
        let key = self.author.parse::<XOnlyPublicKey>();
        let is_signed = signature.zip(key.ok()).is_some_and(|(sig, key)| sig.verify(&hash, &key).is_ok());
        (!is_signed).then_some("invalid: the signature is wrong")
    }

    /// The hash of what is signed: a list in the only JSON text that NIP-01 allows, which serde_json writes.
    fn hash(&self) -> Option<[u8; 32]> {
        let content = self.object.string("content")?;
        let signed = (0, &self.author, self.created_at, self.kind, &self.tags, content);
        digest(&SHA256, serde_json::to_string(&signed).ok()?.as_bytes()).as_ref().try_into().ok()
    }

    /// The tags of one letter, with their values.
    pub(super) fn tags(&self) -> impl Iterator<Item = (char, &str)> {
        self.tags.iter().filter_map(|tag| {
            let mut name = tag.first()?.chars();
            let letter = name.next().filter(char::is_ascii_alphabetic)?;
            name.next().is_none().then_some((letter, &**tag.get(1)?))
        })
    }

    /// Where its readers find it.
    pub(super) fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let tags = self.tags().map(|(letter, value)| Place::Tag(letter, value));
        tags.chain([Place::Kind(self.kind), Place::Author(&self.author)])
    }
}
