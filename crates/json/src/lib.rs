#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
// No input of a client may cause a panic.
#![cfg_attr(
    not(test),
    warn(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::todo,
        clippy::unreachable
    )
)]

mod name;
mod reader;
mod steps;
mod strings;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use name::Meaning;
pub use name::{LONGEST_NAME, Name};
pub use reader::{MAX_ELEMENTS, Reader};
pub use strings::end_of_string;

/// Parses `text` as a JSON object and calls `each` with the name and raw value of every member, in order.
/// `None` if `text` is not a JSON object.
pub fn members<'a>(text: &'a str, mut each: impl FnMut(Name<'a>, &'a str)) -> Option<()> {
    read(text, |reader| {
        reader.object(usize::MAX, 0, |reader, name| {
            each(name, reader.value()?);
            Some(())
        })
    })
    .map(drop)
}

/// The raw value of a member of a JSON object. The last of duplicate members counts.
pub fn member_of<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
    let mut found = None;
    read(text, |reader| {
        reader.object(usize::MAX, wanted.len(), |reader, name| {
            if name.is(wanted) {
                found = Some(reader.value()?);
            }
            Some(())
        })
    })?;
    found
}

/// Reads a whole text. Each part of it is read once, so what `read` does decides which members of members are
/// found.
pub fn read<'a, T>(text: &'a str, read: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Option<T> {
    let mut reader = Reader::new(text);
    let found = read(&mut reader)?;
    reader.next_is_end().then_some(found)
}

/// The text of a JSON string, unescaped. `None` for other values, and for a string with a lone
/// surrogate, which JavaScript allows but Rust cannot represent.
#[inline]
pub fn string(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(value).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The text of a JSON string, unless that surely has more than `most` UTF-16 units: decoding a long one costs
/// much.
#[inline]
pub fn short_string(value: &str, most: usize) -> Option<Cow<'_, str>> {
    const LONGEST_ESCAPE: usize = 6;
    if value.len() > LONGEST_ESCAPE * most + 2 { None } else { string(value) }
}

/// Appends `text` as a JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    let plain = text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

/// Appends the value of a member.
pub type WriteValue<'w> = &'w dyn Fn(&mut Vec<u8>);

/// Most members of an object that is read: each costs far more than its bytes. Readers that know the shortest
/// of their names do not count those that are shorter.
pub const MAX_MEMBERS: usize = 32;

/// A JSON object: its members in order. The last of duplicate members counts.
#[derive(Debug)]
pub struct Object<'a> {
    members: Vec<Member<'a>>,
    /// The parts of some members, by the indices of these.
    parts: Vec<(usize, Parts<'a>)>,
}

#[derive(Debug)]
struct Member<'a> {
    name: Name<'a>,
    /// `None` if it is what stands in the quotes, or no name that is known.
    meaning: Option<Meaning>,
    value: &'a str,
}

/// The parts of a value that was read with the object around it.
#[derive(Debug)]
enum Parts<'a> {
    Members(Object<'a>),
    Elements(Vec<&'a str>),
}

impl Member<'_> {
    #[inline]
    fn is(&self, wanted: &str) -> bool {
        let meaning = self.meaning.as_ref().map(Meaning::as_bytes);
        meaning.unwrap_or_else(|| self.name.inner()) == wanted.as_bytes()
    }
}

impl<'a> Object<'a> {
    /// `None` if the text is not a JSON object, or has too many members.
    pub fn parse(text: &'a str) -> Option<Self> {
        Self::parse_with(text, &[])
    }

    /// Parses an object, and what is in its members with these names, so that no part of a text is read
    /// twice.
    pub fn parse_with(text: &'a str, with_parts: &[&str]) -> Option<Self> {
        read(text, |reader| Self::read(reader, with_parts)).flatten()
    }

    /// Reads an object. The inner `None` is one that has too many members.
    fn read(reader: &mut Reader<'a>, with_parts: &[&str]) -> Option<Option<Self>> {
        let mut object = Object { members: Vec::new(), parts: Vec::new() };
        let is_whole = reader.object(MAX_MEMBERS, 0, |reader, name| {
            let meaning = name.known_meaning();
            let mut member = Member { name, meaning, value: "" };
            let first = reader.peek()?;
            if matches!(first, b'{' | b'[') && with_parts.iter().any(|wanted| member.is(wanted)) {
                let start = reader.at();
                let parts = match first {
                    b'{' => Self::read(reader, &[])?.map(Parts::Members),
                    _ => Some(Parts::Elements(reader.list()?)),
                };
                member.value = reader.text_from(start)?;
                object.parts.extend(parts.map(|parts| (object.members.len(), parts)));
            } else {
                member.value = reader.value()?;
            }
            object.members.push(member);
            Some(())
        })?;
        Some(is_whole.then_some(object))
    }

    /// The names of the members, as far as any protocol may know them, with their raw values.
    pub fn members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.members.iter().map(|member| {
            let name = member.meaning.as_ref().map(Meaning::as_bytes);
            (
                std::str::from_utf8(name.unwrap_or_else(|| member.name.inner())).unwrap_or_default(),
                member.value,
            )
        })
    }

    #[inline]
    fn index(&self, wanted: &str) -> Option<usize> {
        self.members.iter().rposition(|member| member.is(wanted))
    }

    /// The parts of a member, if they were read.
    #[inline]
    fn parts(&self, wanted: &str) -> Option<&Parts<'a>> {
        let index = self.index(wanted)?;
        self.parts.iter().find(|(of, _)| *of == index).map(|(_, parts)| parts)
    }

    /// The raw value of a member.
    #[inline]
    pub fn get(&self, wanted: &str) -> Option<&'a str> {
        self.index(wanted).and_then(|index| self.members.get(index)).map(|member| member.value)
    }

    /// The text of a member, if it is a string.
    #[inline]
    pub fn string(&self, wanted: &str) -> Option<Cow<'a, str>> {
        self.get(wanted).and_then(string)
    }

    /// A member, if it is an object that was read with this one.
    #[inline]
    pub fn object(&self, wanted: &str) -> Option<&Object<'a>> {
        match self.parts(wanted)? {
            Parts::Members(object) => Some(object),
            Parts::Elements(_) => None,
        }
    }

    /// Takes out what [`object`](Self::object) returns.
    pub fn take_object(&mut self, wanted: &str) -> Option<Object<'a>> {
        self.object(wanted)?;
        let index = self.index(wanted)?;
        let place = self.parts.iter().position(|(of, _)| *of == index)?;
        match self.parts.swap_remove(place).1 {
            Parts::Members(object) => Some(object),
            Parts::Elements(_) => None,
        }
    }

    /// The first elements of a member, if it is a list that was read with this object.
    #[inline]
    pub fn list(&self, wanted: &str) -> Option<&[&'a str]> {
        match self.parts(wanted)? {
            Parts::Elements(elements) => Some(elements),
            Parts::Members(_) => None,
        }
    }

    /// Appends the object with one member replaced, added at the end, or removed. `value` writes the
    /// new value; `None` removes the member.
    pub fn write_with(&self, out: &mut Vec<u8>, name: &str, mut value: Option<WriteValue<'_>>) {
        let mut separator = b'{';
        for member in &self.members {
            let replaced = member.is(name);
            let new = if replaced { value.take() } else { None };
            if replaced && new.is_none() {
                continue;
            }
            out.push(separator);
            separator = b',';
            out.extend_from_slice(member.name.written().as_bytes());
            out.push(b':');
            match new {
                Some(write) => write(out),
                None => out.extend_from_slice(member.value.as_bytes()),
            }
        }
        if let Some(write) = value {
            out.push(separator);
            separator = b',';
            write_string(out, name);
            out.push(b':');
            write(out);
        }
        if separator == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
    }

    /// The approximate length of the written object in bytes.
    #[expect(clippy::len_without_is_empty, reason = "an object has braces")]
    pub fn len(&self) -> usize {
        self.members.iter().map(|member| member.name.written().len() + member.value.len() + 2).sum::<usize>()
            + 2
    }
}
