//! An event: what it says, who has signed it, and where its readers find it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::{Range, RangeInclusive};
use std::sync::LazyLock;

use ring::digest::{SHA256, digest};
use secp256k1::XOnlyPublicKey;
use secp256k1::schnorr::Signature;

use super::{MAX_EVENT_PLACES, MAX_VALUES, list};
use crate::json::{self, Object};
use peerbroker_core::vocabulary::{Frame, expected};

/// The kinds of events that no relay stores.
const EPHEMERAL: RangeInclusive<u32> = 20_000..=29_999;

/// An event.
#[derive(Debug)]
pub(super) struct SignedEvent<'a> {
    pub(super) id: Cow<'a, str>,
    author: Cow<'a, str>,
    created_at: u64,
    kind: u32,
    tags: Vec<Vec<Cow<'a, str>>>,
    object: Object<'a>,
}

/// The conditions of filters that are on no tag. Those on tags are letters.
pub(super) const KIND: u8 = b'0';
pub(super) const AUTHOR: u8 = b'1';
pub(super) const ID: u8 = b'2';

/// A property of an event that filters ask for. Events are found by each except the id: a room has its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Property<'a> {
    pub(super) condition: u8,
    pub(super) value: Cow<'a, str>,
}

impl Property<'_> {
    pub(super) fn mark(&self) -> Mark {
        Mark::of(self.condition, &self.value)
    }
}

impl fmt::Display for Property<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = &self.value;
        match self.condition {
            KIND => write!(f, "nostr kind {value}"),
            AUTHOR => write!(f, "nostr author {value}"),
            letter => write!(f, "nostr #{} {value}", char::from(letter)),
        }
    }
}

/// The hash of a property, with keys that only this process knows: nobody finds two properties that have the
/// same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark(u64);

impl Mark {
    pub(super) fn of(condition: u8, value: &str) -> Self {
        static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Mark(KEYS.hash_one((condition, value)))
    }
}

/// The part of an event that subscribers ask for and hear. It is read once for all of them.
#[derive(Debug)]
pub(crate) struct Heard {
    /// The place of its JSON text in the message.
    pub(super) text: Range<usize>,
    pub(super) created_at: u64,
    /// The names of the rooms in which it is heard, and the properties that name them.
    pub(super) rooms: BTreeMap<String, Mark>,
    /// Of its properties.
    marks: Vec<(u8, Mark)>,
}

impl Heard {
    /// Reads a message of a client. `None` if it is no event: a client of topics may publish to these rooms,
    /// too.
    pub(super) fn read(message: &Frame) -> Option<Self> {
        let message = std::str::from_utf8(message.payload()).ok()?;
        let text = *list(message)?.get(1)?;
        Some(Heard::of(&SignedEvent::parse(text)?, text, message))
    }

    /// An event with this text, in this message.
    pub(super) fn of(event: &SignedEvent<'_>, text: &str, message: &str) -> Self {
        let id = Property { condition: ID, value: Cow::Borrowed(&*event.id) };
        let start = text.as_ptr().addr() - message.as_ptr().addr();
        Heard {
            text: start..start + text.len(),
            created_at: event.created_at,
            rooms: event.places().map(|place| (place.to_string(), place.mark())).collect(),
            marks: event.places().chain([id]).map(|place| (place.condition, place.mark())).collect(),
        }
    }

    /// The properties that a condition is on.
    pub(super) fn marks(&self, condition: u8) -> impl Iterator<Item = Mark> {
        self.marks.iter().filter(move |(of, _)| *of == condition).map(|(_, mark)| *mark)
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
        let signed = expected(serde_json::to_string(&signed), "an event of texts and numbers");
        digest(&SHA256, signed.as_bytes()).as_ref().try_into().ok()
    }

    /// Where its readers find it: at its tags of one letter, its kind and its author.
    pub(super) fn places(&self) -> impl Iterator<Item = Property<'_>> {
        let tags = self.tags.iter().filter_map(|tag| match (tag.first()?.as_bytes(), tag.get(1)) {
            (&[condition], Some(value)) if condition.is_ascii_alphabetic() => {
                Some(Property { condition, value: Cow::Borrowed(&**value) })
            }
            _ => None,
        });
        let kind = Property { condition: KIND, value: self.kind.to_string().into() };
        tags.chain([kind, Property { condition: AUTHOR, value: Cow::Borrowed(&*self.author) }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_its_client_has_sent_is_the_one_that_its_hearers_read() {
        let event = r##"{"id":"a","pubkey":"b","created_at":1,"kind":20001,"tags":[["x","t"],["x","t"]],"content":"","sig":""}"##;
        let message = format!("[ \"EVENT\" , {event} ]");
        let text = *list(&message).unwrap().get(1).unwrap();
        let of = Heard::of(&SignedEvent::parse(text).unwrap(), text, &message);
        assert_eq!(&message[of.text.clone()], event);
        let rooms: Vec<&String> = of.rooms.keys().collect();
        assert_eq!(rooms, ["nostr #x t", "nostr author b", "nostr kind 20001"]);
        let read = Heard::read(&Frame::of_text(&message)).unwrap();
        assert_eq!(format!("{of:?}"), format!("{read:?}"));
    }
}
