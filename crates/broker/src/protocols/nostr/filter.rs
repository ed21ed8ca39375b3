//! The events that a subscriber wants to hear.

use serde::{Deserialize, Serialize};

use super::event::{Place, SignedEvent};
use super::{MAX_VALUES, list};
use crate::protocols::json::{self, Object};

/// A filter: an event fits it if it fits all of its conditions.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Filter {
    ids: Option<Vec<String>>,
    authors: Option<Vec<String>>,
    kinds: Option<Vec<u32>>,
    since: Option<u64>,
    until: Option<u64>,
    tags: Vec<(char, Vec<String>)>,
}

impl Filter {
    /// Reads the JSON text of a filter. An error is the reason for its client.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let object = Object::parse(text).ok_or("invalid: a filter is an object")?;
        let mut filter = Filter::default();
        for (name, value) in object.members() {
            match name {
                "ids" => filter.ids = Some(strings(value)?),
                "authors" => filter.authors = Some(strings(value)?),
                "kinds" => filter.kinds = Some(values(value, |kind| kind.parse().ok())?),
                "since" => filter.since = Some(time(value)?),
                "until" => filter.until = Some(time(value)?),
                name => {
                    if let Some(letter) = letter(name) {
                        filter.tags.push((letter, strings(value)?));
                    }
                }
            }
        }
        if filter.places().next().is_none() {
            return Err("unsupported: a filter needs a tag, kinds or authors");
        }
        Ok(filter)
    }

    /// The places at which events that may fit are found. An event that fits is at one of them at least.
    pub(super) fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let tag = self.tags.first();
        let kinds = self.kinds.as_ref().filter(|_| tag.is_none());
        let authors = self.authors.as_ref().filter(|_| tag.is_none() && kinds.is_none());
        let tags = tag
            .into_iter()
            .flat_map(|(letter, values)| values.iter().map(|value| Place::Tag(*letter, value)));
        let kinds = kinds.into_iter().flatten().map(|kind| Place::Kind(*kind));
        tags.chain(kinds).chain(authors.into_iter().flatten().map(|author| Place::Author(author)))
    }

    /// True if an event fits.
    pub(super) fn fits(&self, event: &SignedEvent<'_>) -> bool {
        let has = |list: &Option<Vec<String>>, wanted: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|value| value == wanted))
        };
        has(&self.ids, &event.id)
            && has(&self.authors, &event.author)
            && self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&event.kind))
            && self.since.is_none_or(|since| since <= event.created_at)
            && self.until.is_none_or(|until| event.created_at <= until)
            && self.tags.iter().all(|(letter, values)| {
                event.tags().any(|(tag, value)| tag == *letter && values.iter().any(|wanted| wanted == value))
            })
    }
}

/// The letter of a condition on tags.
fn letter(name: &str) -> Option<char> {
    let mut letters = name.strip_prefix('#')?.chars();
    letters.next().filter(|letter| letter.is_ascii_alphabetic() && letters.as_str().is_empty())
}

fn time(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "invalid: a time is a number of seconds")
}

fn strings(text: &str) -> Result<Vec<String>, &'static str> {
    values(text, |value| json::string(value).map(String::from))
}

fn values<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, &'static str> {
    let list =
        list(text).filter(|_| text.starts_with('[')).ok_or("invalid: a list is expected in a filter")?;
    if list.len() > MAX_VALUES {
        return Err("invalid: a list of a filter has at most 250 values");
    }
    list.into_iter().map(read).collect::<Option<_>>().ok_or("invalid: a value of a filter is of another type")
}
