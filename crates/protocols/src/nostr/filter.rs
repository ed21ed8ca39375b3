//! The events that a subscriber wants to hear.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::event::{AUTHOR, Heard, ID, KIND, Mark, Property};
use super::{MAX_VALUES, list};
use crate::json::{self, Object};

/// A filter: an event fits it if it fits all of its conditions. That it is at one of the places of the filter
/// is known before.
///
/// Others pay for each comparison, so it is a search for a number, however long the values are.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    conditions: Box<[u8]>,
    /// The values of all conditions, sorted.
    values: Box<[Mark]>,
    since: u64,
    until: u64,
}

impl Filter {
    /// Reads the JSON text of a filter, and the places at which events that may fit are found: an event that
    /// fits is at one of them at least. `read` counts its values. An error is the reason for its client.
    pub(super) fn parse<'a>(
        text: &'a str,
        read: &mut usize,
    ) -> Result<(Self, Vec<Property<'a>>), &'static str> {
        let object = Object::parse(text).ok_or("invalid: a filter is an object")?;
        let mut since = 0;
        let mut until = u64::MAX;
        let mut all: BTreeMap<u8, Vec<Cow<'a, str>>> = BTreeMap::new();
        for (name, value) in object.members() {
            let condition = match name {
                "since" => {
                    since = time(value)?;
                    continue;
                }
                "until" => {
                    until = time(value)?;
                    continue;
                }
                "ids" => Some(ID),
                "authors" => Some(AUTHOR),
                "kinds" => Some(KIND),
                name => letter(name),
            };
            let Some(condition) = condition else { continue };
            let of_text: fn(&'a str) -> _ = if condition == KIND { kind } else { json::string };
            let values = values(value, of_text)?;
            *read += values.len();
            all.insert(condition, values);
        }
        let found = all.iter().filter(|(_, values)| !values.is_empty());
        // Few events have the same tag, and many the same kind or author.
        let place = found.min_by_key(|(condition, values)| match **condition {
            KIND => (1, 0),
            AUTHOR => (2, 0),
            ID => (3, 0),
            _ => (0, values.len()),
        });
        let place = place.map(|(condition, _)| *condition).filter(|condition| *condition != ID);
        let place = place.ok_or("unsupported: a filter needs a tag, kinds or authors")?;
        let places = all.remove(&place).unwrap_or_default().into_iter();
        let places = places.map(|value| Property { condition: place, value }).collect();
        let marks = |(condition, values): (&u8, &Vec<Cow<'_, str>>)| {
            values.iter().map(|value| Mark::of(*condition, value)).collect::<Vec<_>>()
        };
        let mut values: Vec<Mark> = all.iter().flat_map(marks).collect();
        values.sort_unstable();
        values.dedup();
        Ok((Filter { conditions: all.into_keys().collect(), values: values.into(), since, until }, places))
    }

    /// The bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Filter>() + self.conditions.len() + size_of_val(&*self.values)
    }

    /// True if an event fits that is at one of its places. `steps` counts what is compared.
    pub(super) fn fits(&self, event: &Heard, steps: &mut usize) -> bool {
        *steps += 1;
        let has = |condition: &u8| {
            event.marks(*condition).any(|mark| {
                *steps += 1;
                self.values.binary_search(&mark).is_ok()
            })
        };
        (self.since..=self.until).contains(&event.created_at) && self.conditions.iter().all(has)
    }
}

/// The letter of a condition on tags.
fn letter(name: &str) -> Option<u8> {
    match name.as_bytes() {
        [b'#', letter] if letter.is_ascii_alphabetic() => Some(*letter),
        _ => None,
    }
}

fn kind(text: &str) -> Option<Cow<'_, str>> {
    text.parse::<u32>().is_ok().then_some(Cow::Borrowed(text))
}

fn time(text: &str) -> Result<u64, &'static str> {
    text.parse().map_err(|_| "invalid: a time is a number of seconds")
}

fn values<'a>(
    text: &'a str,
    read: impl Fn(&'a str) -> Option<Cow<'a, str>>,
) -> Result<Vec<Cow<'a, str>>, &'static str> {
    let list =
        list(text).filter(|_| text.starts_with('[')).ok_or("invalid: a list is expected in a filter")?;
    if list.len() > MAX_VALUES {
        return Err("invalid: a list of a filter has at most 250 values");
    }
    list.into_iter().map(read).collect::<Option<_>>().ok_or("invalid: a value of a filter is of another type")
}
