//! Splits a JSON object into its members and keeps their values as raw text.
//!
//! serde_json does the same with `RawValue` and accepts the same text; a property test compares the
//! two. But a session description has many escapes, and serde_json restarts its search for the end of
//! the string at each, which is a quarter of the work of forwarding it: see docs/BENCHMARKS.md.
//! Nested values cost no stack.

use std::borrow::Cow;

use memchr::memchr;

use peerbroker_core::wire::Frame;

/// Parses `text` as a JSON object and calls `each` with the name and raw value of every member, in order. `None` if `text` is not a
/// JSON object.
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
pub(super) fn member_of<'a>(text: &'a str, wanted: &str) -> Option<&'a str> {
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

/// Reads a whole text. Each part of it is read once, so what `read` does decides which members of members are found.
pub(super) fn read<'a, T>(text: &'a str, read: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Option<T> {
    let mut reader = Reader::new(text);
    let found = read(&mut reader)?;
    reader.next_is_end().then_some(found)
}

/// The name of a member, as its client has written it.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    text: &'a str,
    /// Where it begins and ends in the text, in its quotes.
    start: usize,
    end: usize,
    meaning: Meant,
}

/// What is known of the meaning of a name.
#[derive(Clone, Copy, Debug)]
enum Meant {
    /// It has no escapes.
    AsWritten,
    This(Meaning),
    /// It may have escapes.
    Unknown,
}

/// Longest name that any protocol knows.
pub const LONGEST_NAME: usize = 16;

/// The meaning of a name with escapes. No memory is allocated for it: a message may have very many names.
#[derive(Clone, Copy, Debug, Default)]
struct Meaning {
    bytes: [u8; LONGEST_NAME],
    len: usize,
}

impl Meaning {
    fn push(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(self.len)? = byte;
        self.len += 1;
        Some(())
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl<'a> Name<'a> {
    /// In its quotes.
    pub fn written(&self) -> &'a str {
        self.text.get(self.start..self.end).unwrap_or_default()
    }

    fn inner(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.start + 1..self.end - 1).unwrap_or_default()
    }

    /// True if it means `wanted`.
    pub fn is(&self, wanted: &str) -> bool {
        self.one_of(&[wanted]).is_some()
    }

    /// The one of `known` that it means.
    #[inline]
    pub fn one_of<'k>(&self, known: &[&'k str]) -> Option<&'k str> {
        let find = |name: &[u8]| known.iter().copied().find(|known| known.as_bytes() == name);
        match &self.meaning {
            Meant::AsWritten => find(self.inner()),
            Meant::This(meaning) => find(meaning.as_bytes()),
            Meant::Unknown => find(self.inner()).or_else(|| find(self.meaning()?.as_bytes())),
        }
    }

    /// `None` if it is what stands in the quotes, or no name that is known.
    fn known_meaning(&self) -> Option<Meaning> {
        match self.meaning {
            Meant::AsWritten => None,
            Meant::This(meaning) => Some(meaning),
            Meant::Unknown => self.meaning(),
        }
    }

    /// `None` if it is longer than the names that are known, or has a lone surrogate.
    fn meaning(&self) -> Option<Meaning> {
        let from = self.text.as_bytes().get(self.start + 1..)?;
        short_name(from).map(|(_, meaning)| meaning)
    }
}

/// The length of a valid name that begins behind its quote, with the quote at its end, and its meaning. `None` also if that is longer than
/// the names that are known, or has a lone surrogate.
fn short_name(bytes: &[u8]) -> Option<(usize, Meaning)> {
    let (mut at, mut meaning) = (0, Meaning::default());
    loop {
        let byte = *bytes.get(at)?;
        at += 1;
        match byte {
            b'"' => return Some((at, meaning)),
            ..b' ' => return None,
            b'\\' => {}
            _ => {
                meaning.push(byte)?;
                continue;
            }
        }
        let (char, len) = unescaped(bytes.get(at..)?)?;
        at += len;
        match u8::try_from(char) {
            Ok(ascii @ ..128) => meaning.push(ascii)?,
            _ => char.encode_utf8(&mut [0; 4]).bytes().try_for_each(|byte| meaning.push(byte))?,
        }
    }
}

/// The character of an escape, which follows its backslash, and the length of both. `None` for a lone surrogate, too.
fn unescaped(escape: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = escape.get(at..)?.first_chunk::<4>()?;
        digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | u32::from(hex(digit)?)))
    };
    let char = match escape.first()? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = unit(1)?;
            if let Some(char) = char::from_u32(first) {
                return Some((char, 5));
            }
            if escape.get(5..7)? != b"\\u" {
                return None;
            }
            let units = [first, unit(7)?].map(|unit| u16::try_from(unit).unwrap_or_default());
            return Some((char::decode_utf16(units).next()?.ok()?, 11));
        }
        &quoted @ (b'"' | b'\\' | b'/') => quoted.into(),
        _ => return None,
    };
    Some((char, 1))
}

/// The value of a hexadecimal digit.
#[inline]
fn hex(digit: u8) -> Option<u8> {
    const WRONG: u8 = 16;
    #[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
    static VALUES: [u8; 256] = {
        let mut values = [WRONG; 256];
        let mut value = 0;
        while value < WRONG {
            let digits = *b"0123456789abcdef0123456789ABCDEF";
            values[digits[value as usize] as usize] = value;
            values[digits[(value + WRONG) as usize] as usize] = value;
            value += 1;
        }
        values
    };
    VALUES.get(usize::from(digit)).copied().filter(|value| *value < WRONG)
}

/// Bytes behind an escaped quote in which more quotes are expected, as in JSON within a string.
const NEAR: usize = 64;

/// The end of the string whose quote was just opened.
pub fn end_of_string(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let part = bytes.get(at..)?;
        let quote = memchr(b'"', part)?;
        // A quote after an odd number of backslashes is escaped, and does not end the string.
        let backslashes = part.get(..quote)?.iter().rev().take_while(|&&byte| byte == b'\\').count();
        at += quote;
        if backslashes % 2 == 0 {
            return Some(at);
        }
        at += 1;
        while let Some(near) = bytes.get(at - 2..at + NEAR)
            && escapes_its_quotes(near)
        {
            at += NEAR;
        }
        let near = at + NEAR;
        while at < near {
            match bytes.get(at)? {
                b'"' => return Some(at),
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
    }
}

/// True if each quote is surely escaped, by one backslash alone, and what follows the bytes surely is not. The first two bytes only
/// precede the others. It has no branch per byte, so the compiler vectorizes it.
fn escapes_its_quotes(bytes: &[u8]) -> bool {
    let (second, third) = (bytes.get(1..).unwrap_or_default(), bytes.get(2..).unwrap_or_default());
    let unsure = bytes.iter().zip(second).zip(third).fold(false, |unsure, ((&first, &second), &third)| {
        unsure | ((third == b'"') & ((second != b'\\') | (first == b'\\')))
    });
    !unsure && bytes.last() != Some(&b'\\')
}

/// The text of a JSON string, unescaped. `None` for other values, and for a string with a lone
/// surrogate, which JavaScript allows but Rust cannot represent.
pub fn string(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(value).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The text of a JSON string, unless that surely has more than `most` UTF-16 units: decoding a long one costs much.
pub(super) fn short_string(value: &str, most: usize) -> Option<Cow<'_, str>> {
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

/// Writes a frame with an object that begins with its type. `rest` appends the other members.
pub(super) fn frame(kind: &str, capacity: usize, rest: impl FnOnce(&mut Vec<u8>)) -> Frame {
    Frame::text(capacity, |out| {
        out.extend_from_slice(b"{\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.push(b'"');
        rest(out);
        out.push(b'}');
    })
}

/// Appends a member whose value is a string.
pub(super) fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    member(out, name);
    write_string(out, value);
}

/// Appends a member whose value is JSON text, if there is one.
pub(super) fn raw(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        member(out, name);
        out.extend_from_slice(value.as_bytes());
    }
}

/// Appends the payload that tells a client why its request is refused.
pub(super) fn reason(out: &mut Vec<u8>, label: &str, message: &str) {
    out.extend_from_slice(b",\"payload\":{\"type\":");
    write_string(out, label);
    text(out, "msg", message);
    out.push(b'}');
}

fn member(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends the value of a member.
pub(super) type WriteValue<'w> = &'w dyn Fn(&mut Vec<u8>);

/// Most members of an object that is read. Its reader searches them for each name that it knows.
const MAX_MEMBERS: usize = 256;

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

/// What is in a value, if that was read with the object around it.
#[derive(Debug)]
enum Parts<'a> {
    Members(Object<'a>),
    Elements(Vec<&'a str>),
}

impl Member<'_> {
    fn is(&self, wanted: &str) -> bool {
        let meaning = self.meaning.as_ref().map(Meaning::as_bytes);
        meaning.unwrap_or_else(|| self.name.inner()) == wanted.as_bytes()
    }
}

impl<'a> Object<'a> {
    /// `None` if the text is not a JSON object, or has too many members.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        Self::parse_with(text, &[])
    }

    /// Parses an object, and what is in its members with these names, so that no part of a text is read twice.
    pub(super) fn parse_with(text: &'a str, with_parts: &[&str]) -> Option<Self> {
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
                let start = reader.at;
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

    fn index(&self, wanted: &str) -> Option<usize> {
        self.members.iter().rposition(|member| member.is(wanted))
    }

    /// The parts of a member, if they were read.
    fn parts(&self, wanted: &str) -> Option<&Parts<'a>> {
        let index = self.index(wanted)?;
        self.parts.iter().find(|(of, _)| *of == index).map(|(_, parts)| parts)
    }

    /// The raw value of a member.
    pub(super) fn get(&self, wanted: &str) -> Option<&'a str> {
        self.index(wanted).and_then(|index| self.members.get(index)).map(|member| member.value)
    }

    /// The text of a member, if it is a string.
    pub(super) fn string(&self, wanted: &str) -> Option<Cow<'a, str>> {
        self.get(wanted).and_then(string)
    }

    /// A member, if it is an object that was read with this one.
    pub(super) fn object(&self, wanted: &str) -> Option<&Object<'a>> {
        match self.parts(wanted)? {
            Parts::Members(object) => Some(object),
            Parts::Elements(_) => None,
        }
    }

    /// Takes out what [`object`](Self::object) returns.
    pub(super) fn take_object(&mut self, wanted: &str) -> Option<Object<'a>> {
        self.object(wanted)?;
        let index = self.index(wanted)?;
        let place = self.parts.iter().position(|(of, _)| *of == index)?;
        match self.parts.swap_remove(place).1 {
            Parts::Members(object) => Some(object),
            Parts::Elements(_) => None,
        }
    }

    /// The first elements of a member, if it is a list that was read with this object.
    pub(super) fn list(&self, wanted: &str) -> Option<&[&'a str]> {
        match self.parts(wanted)? {
            Parts::Elements(elements) => Some(elements),
            Parts::Members(_) => None,
        }
    }

    /// Appends the object with one member replaced, added at the end, or removed. `value` writes the
    /// new value; `None` removes the member.
    pub(super) fn write_with(&self, out: &mut Vec<u8>, name: &str, mut value: Option<WriteValue<'_>>) {
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
    pub(super) fn len(&self) -> usize {
        self.members.iter().map(|member| member.name.written().len() + member.value.len() + 2).sum::<usize>()
            + 2
    }
}

/// Most elements of a list that are kept: more than any limit of its elements.
pub(super) const MAX_ELEMENTS: usize = 128;

/// Reads JSON text from its beginning to its end.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Where the last name begins, in its quotes.
    name: usize,
    /// The only escapes are the two of a session description, `\n` and `\r`, and there are no control characters. Many messages have no
    /// others, and then a quote always ends a string.
    only_ends_lines: bool,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let only_ends_lines = escapes_only(text.as_bytes(), |byte| (byte == b'n') | (byte == b'r'));
        Reader { text, at: 0, name: 0, only_ends_lines }
    }

    /// The first byte of the next token, at which it stays.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            let &byte = self.text.as_bytes().get(self.at)?;
            if !is_space(byte) {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn next_is_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Reads a value of any kind, up to the comma or bracket behind it, and returns it.
    pub(super) fn value(&mut self) -> Option<&'a str> {
        self.peek()?;
        let start = self.at;
        self.walk(steps::BEGIN, usize::MAX)?;
        self.text_from(start)
    }

    /// Reads on from a state up to the end of the innermost container, or of the only value, or behind the next name of that container
    /// that has not surely fewer bytes than `shortest`.
    fn walk(&mut self, first: u8, shortest: usize) -> Option<Met> {
        let (bytes, mut at, only_ends_lines) = (self.text.as_bytes(), self.at, self.only_ends_lines);
        let mut state = first;
        // The brackets that are open: a bit for each, which is set for objects, below a bit that is always set. Nested values cost no
        // stack.
        let (mut open, mut outer) = (NONE_OPEN, Vec::new());
        loop {
            let next = steps::after(state, *bytes.get(at)?);
            at += 1;
            if next < steps::OPEN_LIST {
                state = next;
            } else if next <= steps::OPEN_OBJECT {
                if open >> 63 == 1 {
                    put_away(&mut outer, &mut open);
                }
                open = open << 1 | u64::from(next - steps::OPEN_LIST);
                state = next - steps::OPEN_LIST + steps::IN_LIST;
            } else if next == steps::CLOSE {
                open >>= 1;
                if open == 0 {
                    self.at = at;
                    return Some(Met::End);
                }
                state = match open {
                    NONE_OPEN => fetch(&mut outer, &mut open).unwrap_or_else(|| steps::container(first)),
                    _ => steps::LIST + (open & 1) as u8,
                };
            } else if next <= steps::NAME {
                let (text, start) = (bytes.get(at..)?, at - 1);
                let is_own_name = next == steps::NAME && open == NONE_OPEN;
                let (len, meaning) = if text.first() == Some(&b'"') {
                    (1, Meant::AsWritten)
                } else if is_own_name && shortest < usize::MAX {
                    len_of_name(text, only_ends_lines)?
                } else {
                    (len_of_text(text, only_ends_lines)?, Meant::Unknown)
                };
                at += len;
                if next < steps::NAME {
                    state = next - steps::TEXT;
                } else if is_own_name && len > shortest {
                    (self.name, self.at) = (start, at);
                    return Some(Met::Name(meaning));
                } else {
                    state = steps::BEHIND_NAME;
                }
            } else {
                self.at = at - 1;
                return (next == steps::STOP).then_some(Met::End);
            }
        }
    }

    /// Where it reads.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The text that begins at `start` and ends here.
    #[inline]
    pub(super) fn text_from(&self, start: usize) -> Option<&'a str> {
        let text = self.text.get(start..self.at)?;
        // White space between a value and what follows it.
        Some(if text.as_bytes().last().is_some_and(|&last| is_space(last)) {
            text.trim_ascii_end()
        } else {
            text
        })
    }

    /// Reads an object. `each` hears the names of its first members, up to `most`, and may read their values. False if there are more.
    /// Names that have surely fewer bytes than `shortest` do not count.
    #[inline]
    pub(super) fn object(
        &mut self,
        most: usize,
        shortest: usize,
        mut each: impl FnMut(&mut Self, Name<'a>) -> Option<()>,
    ) -> Option<bool> {
        if self.next()? != b'{' {
            return None;
        }
        let (mut state, mut heard) = (steps::IN_OBJECT, 0);
        loop {
            let meaning = match self.walk(state, shortest)? {
                Met::End => return Some(true),
                Met::Name(meaning) => meaning,
            };
            let name = Name { text: self.text, start: self.name, end: self.at, meaning };
            if heard == most {
                self.walk(steps::BEHIND_NAME, usize::MAX)?;
                return Some(false);
            }
            heard += 1;
            if self.next()? != b':' {
                return None;
            }
            let value = self.at;
            each(self, name)?;
            state = if self.at == value { steps::BEHIND_COLON } else { steps::OBJECT };
        }
    }

    /// Reads a list, and returns its first elements. Any other value has none.
    pub(super) fn list(&mut self) -> Option<Vec<&'a str>> {
        let mut elements = Vec::new();
        if self.peek()? != b'[' {
            self.value()?;
            return Some(elements);
        }
        self.at += 1;
        if self.peek()? == b']' {
            self.at += 1;
            return Some(elements);
        }
        while elements.len() < MAX_ELEMENTS {
            elements.push(self.value()?);
            match self.next()? {
                b',' => {}
                b']' => return Some(elements),
                _ => return None,
            }
        }
        self.walk(steps::BEHIND_COMMA_OF_LIST, usize::MAX)?;
        Some(elements)
    }
}

/// What ended a walk.
enum Met {
    /// The end of the innermost container, or of the only value.
    End,
    /// A name of that container.
    Name(Meant),
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\t' | b'\r')
}

/// No bracket is open in what is read.
const NONE_OPEN: u64 = 1;

/// Makes room for more brackets.
#[cold]
fn put_away(outer: &mut Vec<u64>, open: &mut u64) {
    outer.push(std::mem::replace(open, NONE_OPEN));
}

/// Fetches the brackets that were put away, and returns the innermost container, if there is one.
#[cold]
fn fetch(outer: &mut Vec<u64>, open: &mut u64) -> Option<u8> {
    *open = outer.pop()?;
    Some(if *open & 1 == 1 { steps::OBJECT } else { steps::LIST })
}

/// The grammar of values (RFC 8259) as a table, without the content of strings and the stack of brackets: each byte is one step from a
/// state to the next. So all text costs about the same, whatever a client sends.
mod steps {
    use super::is_space;

    /// The container around a state: the one around the whole value, or a list or an object in it.
    pub(super) const LIST: u8 = 1;
    pub(super) const OBJECT: u8 = 2;
    const CONTAINERS: u8 = 3;

    // The numbers of the states, for each container. A container itself is the state behind a value in it.
    const END: u8 = 0;
    const VALUE: u8 = 1;
    /// Behind an opening bracket.
    const FIRST: u8 = 2;
    /// In front of the name of a member.
    const MEMBER: u8 = 3;
    const COLON: u8 = 4;
    const MINUS: u8 = 5;
    const ZERO: u8 = 6;
    const INTEGER: u8 = 7;
    const POINT: u8 = 8;
    const FRACTION: u8 = 9;
    const E: u8 = 10;
    const SIGN: u8 = 11;
    const EXPONENT: u8 = 12;
    // What is missing of `true`, `false` and `null`.
    const RUE: u8 = 13;
    const UE: u8 = 14;
    const E_OF_WORD: u8 = 15;
    const ALSE: u8 = 16;
    const LSE: u8 = 17;
    const SE: u8 = 18;
    const ULL: u8 = 19;
    const LL: u8 = 20;
    const L: u8 = 21;
    const COUNT: u8 = 22;

    pub(super) const BEGIN: u8 = VALUE * CONTAINERS;
    pub(super) const IN_LIST: u8 = FIRST * CONTAINERS + LIST;
    pub(super) const IN_OBJECT: u8 = FIRST * CONTAINERS + OBJECT;
    pub(super) const BEHIND_COMMA_OF_LIST: u8 = VALUE * CONTAINERS + LIST;
    pub(super) const BEHIND_NAME: u8 = COLON * CONTAINERS + OBJECT;
    pub(super) const BEHIND_COLON: u8 = VALUE * CONTAINERS + OBJECT;

    // In the place of a state: something else is to do.
    pub(super) const OPEN_LIST: u8 = ROWS as u8;
    pub(super) const OPEN_OBJECT: u8 = OPEN_LIST + 1;
    pub(super) const CLOSE: u8 = OPEN_LIST + 2;
    /// A string begins. The state behind it is the container, which is added here.
    pub(super) const TEXT: u8 = OPEN_LIST + 3;
    /// The name of a member begins.
    pub(super) const NAME: u8 = TEXT + CONTAINERS;
    /// The value is read.
    pub(super) const STOP: u8 = NAME + 1;
    const WRONG: u8 = NAME + 2;

    /// A power of two, so that an index of a row needs no check.
    const ROWS: usize = 128;

    static TABLE: [[u8; 256]; ROWS] = table();

    pub(super) const fn container(state: u8) -> u8 {
        state % CONTAINERS
    }

    #[inline]
    pub(super) fn after(state: u8, byte: u8) -> u8 {
        let row = TABLE.get(usize::from(state) % ROWS);
        row.and_then(|row| row.get(usize::from(byte))).copied().unwrap_or(WRONG)
    }

    #[expect(clippy::indexing_slicing, reason = "the compiler runs it")]
    const fn table() -> [[u8; 256]; ROWS] {
        let mut table = [[WRONG; 256]; ROWS];
        let mut state = 0;
        while state < COUNT * CONTAINERS {
            let mut byte = 0;
            while byte < 256 {
                table[state as usize][byte] = step(state / CONTAINERS, state % CONTAINERS, byte as u8);
                byte += 1;
            }
            state += 1;
        }
        table
    }

    /// The next state, or what is to do.
    const fn step(number: u8, container: u8, byte: u8) -> u8 {
        let next = match (number, byte) {
            (END | VALUE | FIRST | MEMBER | COLON, _) if is_space(byte) => number,
            (FIRST, b']') if container == LIST => return CLOSE,
            (FIRST, b'}') if container == OBJECT => return CLOSE,
            (FIRST | MEMBER, b'"') if container == OBJECT => return NAME,
            (FIRST, _) if container == OBJECT => return WRONG,
            (COLON, b':') => VALUE,
            (VALUE | FIRST, b'"') => return TEXT + container,
            (VALUE | FIRST, b'[') => return OPEN_LIST,
            (VALUE | FIRST, b'{') => return OPEN_OBJECT,
            (VALUE | FIRST, b'-') => MINUS,
            (VALUE | FIRST | MINUS, b'0') => ZERO,
            (VALUE | FIRST | MINUS, b'1'..=b'9') => INTEGER,
            (VALUE | FIRST, b't') => RUE,
            (VALUE | FIRST, b'f') => ALSE,
            (VALUE | FIRST, b'n') => ULL,
            (RUE, b'r') => UE,
            (ALSE, b'a') => LSE,
            (LSE, b'l') => SE,
            (UE, b'u') | (SE, b's') => E_OF_WORD,
            (ULL, b'u') => LL,
            (LL, b'l') => L,
            (E_OF_WORD, b'e') | (L, b'l') => END,
            (INTEGER, b'0'..=b'9') => INTEGER,
            (ZERO | INTEGER, b'.') => POINT,
            (POINT | FRACTION, b'0'..=b'9') => FRACTION,
            (ZERO | INTEGER | FRACTION, b'e' | b'E') => E,
            (E, b'+' | b'-') => SIGN,
            (E | SIGN | EXPONENT, b'0'..=b'9') => EXPONENT,
            (END | ZERO | INTEGER | FRACTION | EXPONENT, _) => return behind_value(container, byte),
            _ => return WRONG,
        };
        next * CONTAINERS + container
    }

    const fn behind_value(container: u8, byte: u8) -> u8 {
        match (container, byte) {
            _ if is_space(byte) => END * CONTAINERS + container,
            (LIST, b',') => VALUE * CONTAINERS + LIST,
            (OBJECT, b',') => MEMBER * CONTAINERS + OBJECT,
            (LIST, b']') | (OBJECT, b'}') => CLOSE,
            (LIST | OBJECT, _) => WRONG,
            (_, b',' | b']' | b'}') => STOP,
            _ => WRONG,
        }
    }
}

/// Longest string with escapes whose bytes are read one after another.
const SHORT: usize = 32;

/// The length of a string that begins behind its quote, with the quote at its end.
#[inline(never)]
fn len_of_text(bytes: &[u8], only_ends_lines: bool) -> Option<usize> {
    match first_special(bytes) {
        Some((index, b'"')) => Some(index + 1),
        _ => len_of_any_text(bytes, only_ends_lines),
    }
}

/// The same of a name, and its meaning.
#[inline(never)]
fn len_of_name(bytes: &[u8], only_ends_lines: bool) -> Option<(usize, Meant)> {
    match first_special(bytes) {
        Some((index, b'"')) => return Some((index + 1, Meant::AsWritten)),
        Some((_, b'\\')) => {
            if let Some((len, meaning)) = short_name(bytes) {
                return Some((len, Meant::This(meaning)));
            }
        }
        _ => {}
    }
    Some((len_of_any_text(bytes, only_ends_lines)?, Meant::Unknown))
}

/// The first of eight bytes that is a quote, a backslash or a control character, and its index. Most names and many texts have fewer bytes.
#[inline]
fn first_special(bytes: &[u8]) -> Option<(usize, u8)> {
    let index = index_of_special(u64::from_le_bytes(*bytes.first_chunk()?));
    bytes.first_chunk::<8>()?.get(index).map(|byte| (index, *byte))
}

/// The index of the first of eight bytes that is a quote, a backslash or a control character; 8 if none is.
#[inline]
fn index_of_special(word: u64) -> usize {
    const ONES: u64 = u64::MAX / 255;
    // The lowest high bit that is set marks the first byte that is less than `n`, if that has no high bit.
    let below = |word: u64, n: u8| word.wrapping_sub(ONES * u64::from(n)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let found = (equal(b'"') | equal(b'\\') | below(word, b' ')) & (ONES << 7);
    found.trailing_zeros() as usize / 8
}

#[inline(never)]
fn len_of_any_text(bytes: &[u8], only_ends_lines: bool) -> Option<usize> {
    if only_ends_lines {
        return Some(memchr(b'"', bytes)? + 1);
    }
    if let Some(len) = len_of_short_text(bytes) {
        return Some(len);
    }
    let len = end_of_string(bytes)? + 1;
    let closed = bytes.get(..len)?;
    let simple = |byte: u8| matches!(byte, b'b' | b'f' | b'n' | b'r' | b't' | b'"' | b'\\' | b'/');
    // The second check is exact, and slower.
    (escapes_only(closed, simple) || is_valid(closed)).then_some(len)
}

/// The length of a valid string with its closing quote, if that is near.
fn len_of_short_text(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < SHORT {
        let byte = *bytes.get(at)?;
        if byte == b'"' {
            return Some(at + 1);
        }
        if byte < b' ' {
            return None;
        }
        at += if byte == b'\\' { 1 + len_of_escape(bytes, at + 1)? } else { 1 };
    }
    None
}

/// The length of an escape behind its backslash (RFC 8259, section 7).
#[inline]
fn len_of_escape(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(1),
        b'u' => bytes.get(at + 1..at + 5)?.iter().all(u8::is_ascii_hexdigit).then_some(5),
        _ => None,
    }
}

/// True if the bytes of a string have no control character, and only the escapes of JSON (RFC 8259, section 7).
fn is_valid(bytes: &[u8]) -> bool {
    if bytes.iter().fold(b' ', |lowest, &byte| lowest.min(byte)) < b' ' {
        return false;
    }
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        if byte == b'\\' {
            match len_of_escape(bytes, at) {
                Some(len) => at += len,
                None => return false,
            }
        }
    }
    true
}

/// True if there is no control character before the last byte, and a backslash only in front of a byte that is `simple`. It has no
/// branch per byte, so the compiler vectorizes it.
fn escapes_only(bytes: &[u8], simple: impl Fn(u8) -> bool) -> bool {
    let following = bytes.get(1..).unwrap_or_default();
    let (lowest, wrong) =
        bytes.iter().zip(following).fold((b' ', 0), |(lowest, wrong): (u8, u8), (&byte, &next)| {
            (lowest.min(byte), wrong | u8::from((byte == b'\\') & !simple(next)))
        });
    lowest == b' ' && wrong == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    fn is_object(text: &str) -> bool {
        members(text, |_, _| {}).is_some()
    }

    fn is_object_to_serde(text: &str) -> bool {
        serde_json::from_str::<&RawValue>(text).is_ok_and(|value| value.get().starts_with('{'))
    }

    proptest! {
        #[test]
        fn the_end_of_a_long_string_is_found_among_quotes_that_are_escaped(
            pieces in prop::collection::vec((prop::sample::select(vec!["a", "\\\"", "\\\\", "a\\\"", "\\\"b"]), 1usize..70), 1..8)
        ) {
            let string: String = pieces.iter().map(|(piece, times)| piece.repeat(*times)).collect();
            let rest = pieces.iter().map(|(piece, _)| *piece).collect::<String>();
            prop_assert_eq!(end_of_string(format!("{string}\"{rest}").as_bytes()), Some(string.len()));
        }
    }

    proptest! {
        #[test]
        fn the_elements_of_a_list_are_those_that_serde_finds(text in nearly_json(), count in 0..2 * MAX_ELEMENTS) {
            for text in [text.clone(), format!("[{text}]"), format!("[{}1]", format!("{text},").repeat(count))] {
                let listed = serde_json::from_str::<Vec<&RawValue>>(&text).ok();
                let expected: Option<Vec<&str>> =
                    listed.map(|listed| listed.into_iter().map(RawValue::get).take(MAX_ELEMENTS).collect());
                let frame = format!("{{\"l\":{text}}}");
                let object = Object::parse_with(&frame, &["l"]).filter(|object| object.members.len() == 1);
                let found = object.as_ref().and_then(|object| object.list("l"));
                if found.is_some() || expected.is_some() {
                    prop_assert_eq!(found.map(<[_]>::to_vec), expected, "{:?}", frame);
                }
            }
        }
    }

    #[test]
    fn an_object_has_a_limited_number_of_members() {
        let object = |count: usize| format!("{{{}}}", vec![r#""a":{"b":1}"#; count].join(","));
        assert!(Object::parse(&object(MAX_MEMBERS)).is_some());
        assert!(Object::parse(&object(MAX_MEMBERS + 1)).is_none());
        let around = |count: usize| format!(r#"{{"around":{},"more":1}}"#, object(count));
        for (count, is_read) in [(MAX_MEMBERS, true), (MAX_MEMBERS + 1, false), (10 * MAX_MEMBERS, false)] {
            let around = around(count);
            let frame = Object::parse_with(&around, &["around"]).unwrap();
            assert_eq!(frame.object("around").is_some(), is_read);
            assert_eq!((frame.get("around"), frame.get("more")), (Some(&*object(count)), Some("1")));
        }
    }

    #[test]
    fn a_short_string_may_consist_of_escapes() {
        let escapes = |count: usize| format!("\"{}\"", r"\u00e9".repeat(count));
        assert_eq!(short_string(&escapes(20), 20).as_deref(), Some(&*"é".repeat(20)));
        assert_eq!(short_string(&escapes(21), 20), None);
        assert_eq!(short_string("1", 20), None);
    }

    #[test]
    fn parts_are_those_of_the_last_duplicate() {
        let text = r#"{"a":{"b":1},"c":[1, {"a":[2]} ,"b" ] ,"\u0061":{"b":2}, "d":{"b":3},"d":1}"#;
        let mut frame = Object::parse_with(text, &["a", "c", "d"]).unwrap();
        assert_eq!(frame.list("c"), Some(&["1", r#"{"a":[2]}"#, r#""b""#][..]));
        assert_eq!(frame.get("c"), Some(r#"[1, {"a":[2]} ,"b" ]"#));
        assert_eq!(frame.object("a").and_then(|a| a.get("b")), Some("2"));
        assert!(frame.object("d").is_none() && frame.object("c").is_none() && frame.list("a").is_none());
        assert_eq!(frame.take_object("a").and_then(|a| a.get("b")), Some("2"));
    }

    /// Text that is almost JSON: tokens of JSON in any order.
    fn nearly_json() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\\\"", "\\\\", "\\u", "00e9", "\\n", "\\q", "a", "é",
            " ", "\n", "\u{1}", "0", "1", "-", ".", "e", "E+", "true", "false", "null", "\"a\":", "{\"a\":",
            "[1,", "\"\"", "12.5e-3", "\\u12g4", "\u{7f}",
        ]);
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn objects_are_the_same_as_for_serde_json(text in nearly_json()) {
            for text in [text.clone(), format!("{{\"a\":{text}}}"), format!("{{{text}}}"), format!("{{\"{text}\":[{text}]}}")] {
                prop_assert_eq!(is_object(&text), is_object_to_serde(&text), "{:?}", text);
            }
        }

        #[test]
        fn an_object_with_one_wrong_character_is_judged_as_by_serde_json(at in 0usize..60, with in any::<char>()) {
            let object = r#"{"a":[1,-2.5e+3,{"b\n":"é\u00e9\\"},[],{}],"c":null,"d":true}"#;
            let changed: String = object.chars().enumerate().map(|(n, c)| if n == at { with } else { c }).collect();
            prop_assert_eq!(is_object(&changed), is_object_to_serde(&changed), "{:?}", changed);
        }
    }

    #[test]
    fn members_come_in_order_and_as_raw_text() {
        let mut found = Vec::new();
        let text = " { \"a\" : 1e400 ,\n\"\\u0061\":{ \"b\": [ ] } , \"\":\"\\\"\\\\\" } ";
        members(text, |name, value| found.push((name.written(), value))).unwrap();
        assert_eq!(found, [("\"a\"", "1e400"), ("\"\\u0061\"", "{ \"b\": [ ] }"), ("\"\"", "\"\\\"\\\\\"")]);
    }

    #[test]
    fn a_string_ends_at_the_first_quote_that_is_not_escaped() {
        let parts = ["", "a", "\\\\", "\\\"", "\\\"\\\\", "\\\\\\\"", "é\\\"a", "\\n", "a\\\"", "a\\\"\\\\b"];
        for part in parts {
            for times in (1..100).chain([1000]) {
                let string = part.repeat(times);
                let text = format!("{string}\"{string}\"");
                assert_eq!(end_of_string(text.as_bytes()), Some(string.len()), "{times} × {part:?}");
                assert_eq!(end_of_string(string.as_bytes()), None, "{times} × {part:?}");
                assert!(is_object(&format!("{{\"{string}\":\"{string}\"}}")), "{times} × {part:?}");
            }
        }
    }

    #[test]
    fn nested_values_cost_no_stack() {
        let deep =
            |open: &str, close: &str| format!("{{\"a\":{}1{}}}", open.repeat(200_000), close.repeat(200_000));
        assert!(is_object(&deep("[", "]")));
        assert!(is_object(&deep("{\"a\":", "}")));
        assert!(!is_object(&deep("[", "}")));
    }

    /// True if the name between these quotes means `wanted`.
    fn is_name(written: &str, wanted: &str) -> bool {
        let mut is_name = false;
        let object = format!("{{\"{written}\":1}}");
        members(&object, |name, _| is_name = name.is(wanted)).is_some() && is_name
    }

    proptest! {
        #[test]
        fn each_bracket_is_closed_by_its_own(objects in prop::collection::vec(any::<bool>(), 1..300), wrong in any::<prop::sample::Index>()) {
            let wrong = wrong.index(objects.len());
            let open: String = objects.iter().map(|is_object| if *is_object { "{\"a\":" } else { "[" }).collect();
            let close = |is_object: bool| if is_object { '}' } else { ']' };
            let closed = |wrong: Option<usize>| {
                let ends = objects.iter().enumerate().rev();
                let ends: String = ends.map(|(n, is_object)| close(*is_object != (Some(n) == wrong))).collect();
                format!("{{\"a\":{open}1{ends}}}")
            };
            prop_assert!(is_object(&closed(None)));
            prop_assert!(!is_object(&closed(Some(wrong))));
            prop_assert!(!is_object(&closed(None)[..open.len() + objects.len() / 2]));
        }
    }

    /// Names that mean `type`, or almost.
    fn nearly_a_name() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "t",
            "y",
            "p",
            "e",
            "\\u0074",
            "\\u0079",
            "\\u0070",
            "\\u0065",
            "\\u006",
            "\\u00",
            "\\t",
            "\\n",
            "\\q",
            "\\",
            "\\/",
            "/",
            "🙂",
            "\\ud83d",
            "\\ude42",
            "\\uD83D\\uDE42",
            "\\u00E9",
            "é",
            "",
        ]);
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn names_mean_the_same_as_for_serde_json(written in nearly_a_name(), wanted in nearly_a_name()) {
            let read = |text: &str| serde_json::from_str::<String>(&format!("\"{text}\"")).ok();
            let meant = read(&written);
            let is_known = |name: &String| name.len() <= LONGEST_NAME;
            let is_name = |wanted: &str| is_name(&written, wanted);
            prop_assert_eq!(is_name("type"), meant.as_deref() == Some("type"), "{:?}", written);
            if let Some(meant) = meant.as_ref().filter(|meant| is_known(meant)) {
                prop_assert!(is_name(meant), "{written:?} is {meant:?}");
            }
            if let Some(wanted) = read(&wanted).filter(is_known) {
                prop_assert_eq!(is_name(&wanted), meant == Some(wanted), "{:?}", written);
            }
        }
    }

    #[test]
    fn every_escape_in_a_name_is_understood() {
        for (all, meant) in
            [(r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"), (r"\u0041\u00e9\u00E9\ud83d\ude42", "Aéé🙂")]
        {
            assert!(is_name(all, meant), "{all}");
        }
        for none in [
            r"\ud83d",
            r"\ude42",
            r"\ud83dx",
            r"\ud83d\n",
            r"\ud83d\ud83d",
            r"\u00g9",
            r"\u+0e9",
            r"\q",
            "\\",
        ] {
            assert!(!is_name(none, "x") && !is_name(none, "") && !is_name(none, "\u{fffd}"), "{none}");
        }
    }
}
