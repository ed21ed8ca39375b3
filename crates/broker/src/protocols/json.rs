//! Splits a JSON object into its members and keeps their values as raw text.
//!
//! serde_json does the same with `RawValue` and accepts the same text; a property test compares the
//! two. But a session description has many escapes, and serde_json restarts its search for the end of
//! the string at each, which is a quarter of the work of forwarding it: see docs/BENCHMARKS.md.
//! Nested values cost no stack.

use std::borrow::Cow;

use memchr::memchr;
use smallvec::SmallVec;

use peerbroker_core::wire::Frame;

/// Parses `text` as a JSON object and calls `each` with the name and value of every member, in order.
/// Both are raw text: [`string`] reads the name. `None` if `text` is not a JSON
/// object.
pub fn members<'a>(text: &'a str, mut each: impl FnMut(&'a str, &'a str)) -> Option<()> {
    // Many messages have no other escapes, and then a quote always ends a string.
    let only_ends_lines = escapes_only(text.as_bytes(), |byte| (byte == b'n') | (byte == b'r'));
    let mut scanner = Scanner { text, at: 0, only_ends_lines };
    if scanner.next_token()? != b'{' {
        return None;
    }
    let mut open = OpenBrackets::new();
    if !scanner.closes(b'}') {
        loop {
            let name = scanner.name()?;
            scanner.space();
            let start = scanner.at;
            scanner.value(&mut open)?;
            each(name, text.get(start..scanner.at)?);
            match scanner.next_token()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
    }
    scanner.space();
    (scanner.at == text.len()).then_some(())
}

/// The elements of a JSON list, as raw text. It reads no further than they are taken, so it ends at the first invalid one. None of any
/// other value.
pub(super) fn elements(list: &str) -> impl Iterator<Item = &str> {
    let mut scanner = Scanner { text: list, at: 0, only_ends_lines: false };
    let mut has_next = scanner.next_token() == Some(b'[') && !scanner.closes(b']');
    let mut open = OpenBrackets::new();
    std::iter::from_fn(move || {
        if !std::mem::take(&mut has_next) {
            return None;
        }
        scanner.space();
        let start = scanner.at;
        scanner.value(&mut open)?;
        let element = scanner.text.get(start..scanner.at);
        has_next = scanner.next_token() == Some(b',');
        element
    })
}

/// True if the raw name of a member means `wanted`.
pub fn is_name(written: &str, wanted: &str) -> bool {
    known_name(written, &[wanted]).is_some()
}

/// The one of `known`, which have no backslash, that the raw name of a member means.
pub fn known_name<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    let inner = written.strip_prefix('"')?.strip_suffix('"')?;
    if let Some(name) = known.iter().copied().find(|&name| inner == name) {
        return Some(name);
    }
    // An escape is longer than its character, so a name with one is longer than its meaning.
    if known.iter().all(|name| inner.len() <= name.len()) || memchr(b'\\', inner.as_bytes()).is_none() {
        return None;
    }
    known.iter().copied().find(|&name| means(inner, name).is_some())
}

/// `Some` if a string with escapes means `wanted`. It builds no text: a message may have very many names.
fn means(mut written: &str, mut wanted: &str) -> Option<()> {
    while let Some((plain, escape)) = written.split_once('\\') {
        wanted = wanted.strip_prefix(plain)?;
        let (char, rest) = unescaped(escape)?;
        wanted = wanted.strip_prefix(char)?;
        written = rest;
    }
    (written == wanted).then_some(())
}

/// The character of an escape, which follows its backslash, and the text behind it. `None` for a lone surrogate, too.
fn unescaped(escape: &str) -> Option<(char, &str)> {
    let unit = |text: &str| {
        let digits = text.get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        u16::from_str_radix(digits, 16).ok()
    };
    let rest = escape.get(1..)?;
    let char = match escape.as_bytes().first()? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let (first, rest) = (unit(rest)?, rest.get(4..)?);
            if let Some(char) = char::from_u32(first.into()) {
                return Some((char, rest));
            }
            let rest = rest.strip_prefix("\\u")?;
            let char = char::decode_utf16([first, unit(rest)?]).next()?.ok()?;
            return Some((char, rest.get(4..)?));
        }
        &quoted @ (b'"' | b'\\' | b'/') => quoted.into(),
        _ => return None,
    };
    Some((char, rest))
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

/// Most members of a frame. Its reader searches them for each name that it knows.
const MAX_MEMBERS: usize = 256;

/// A JSON object: its members in order, with raw names and values. The last of duplicate members
/// counts.
#[derive(Debug)]
pub struct Object<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Object<'a> {
    /// `None` if the text is not a JSON object.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut object = Object(Vec::new());
        members(text, |name, value| object.0.push((name, value)))?;
        Some(object)
    }

    /// Parses a whole frame. `None` also if it has too many members.
    pub(super) fn parse_frame(text: &'a str) -> Option<Self> {
        let (mut object, mut count) = (Object(Vec::new()), 0);
        members(text, |name, value| {
            count += 1;
            if count <= MAX_MEMBERS {
                object.0.push((name, value));
            }
        })?;
        (count <= MAX_MEMBERS).then_some(object)
    }

    /// The raw value of a member.
    pub(super) fn get(&self, wanted: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(name, _)| is_name(name, wanted)).map(|(_, value)| *value)
    }

    /// The text of a member, if it is a string.
    pub(super) fn string(&self, wanted: &str) -> Option<Cow<'a, str>> {
        self.get(wanted).and_then(string)
    }

    /// A member, if it is an object.
    pub(super) fn object(&self, wanted: &str) -> Option<Object<'a>> {
        self.get(wanted).and_then(Object::parse)
    }

    /// Appends the object with one member replaced, added at the end, or removed. `value` writes the
    /// new value; `None` removes the member.
    pub(super) fn write_with(&self, out: &mut Vec<u8>, name: &str, mut value: Option<WriteValue<'_>>) {
        let mut separator = b'{';
        for (written, old) in &self.0 {
            let replaced = is_name(written, name);
            let new = if replaced { value.take() } else { None };
            if replaced && new.is_none() {
                continue;
            }
            out.push(separator);
            separator = b',';
            out.extend_from_slice(written.as_bytes());
            out.push(b':');
            match new {
                Some(write) => write(out),
                None => out.extend_from_slice(old.as_bytes()),
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
        self.0.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>() + 2
    }
}

/// A stack of the closing brackets that are still missing. Messages of clients are nested a few levels deep.
type OpenBrackets = SmallVec<[u8; 16]>;

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The only escapes are the two of a session description, `\n` and `\r`, and there are no control characters.
    only_ends_lines: bool,
}

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn next_token(&mut self) -> Option<u8> {
        self.space();
        self.next()
    }

    /// Consumes the closing bracket of an empty object or array, and returns whether there was one.
    fn closes(&mut self, close: u8) -> bool {
        self.space();
        let closes = self.peek() == Some(close);
        self.at += usize::from(closes);
        closes
    }

    /// Consumes the name of a member and its colon, and returns the name in its quotes.
    fn name(&mut self) -> Option<&'a str> {
        self.space();
        let start = self.at;
        if self.next()? != b'"' {
            return None;
        }
        self.string()?;
        let name = self.text.get(start..self.at)?;
        (self.next_token()? == b':').then_some(name)
    }

    /// Consumes a value.
    fn value(&mut self, open: &mut OpenBrackets) -> Option<()> {
        loop {
            match self.next_token()? {
                b'"' => self.string()?,
                b'{' if !self.closes(b'}') => {
                    open.push(b'}');
                    self.name()?;
                    continue;
                }
                b'[' if !self.closes(b']') => {
                    open.push(b']');
                    continue;
                }
                b'{' | b'[' => {}
                b't' => self.word(b"rue")?,
                b'f' => self.word(b"alse")?,
                b'n' => self.word(b"ull")?,
                first @ (b'-' | b'0'..=b'9') => self.number(first)?,
                _ => return None,
            }
            // After a value follows the next one, or the ends of the containers around it.
            loop {
                let Some(&close) = open.last() else { return Some(()) };
                match self.next_token()? {
                    b',' => break,
                    byte if byte == close => drop(open.pop()),
                    _ => return None,
                }
            }
            if open.last() == Some(&b'}') {
                self.name()?;
            }
        }
    }

    fn word(&mut self, rest: &[u8]) -> Option<()> {
        self.rest().starts_with(rest).then(|| self.at += rest.len())
    }

    fn number(&mut self, first: u8) -> Option<()> {
        let integer = if first == b'-' { self.next()? } else { first };
        match integer {
            // A digit after it is no token.
            b'0' => {}
            b'1'..=b'9' => drop(self.digits()),
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    /// Consumes the rest of a string and its closing quote.
    fn string(&mut self) -> Option<()> {
        if self.only_ends_lines {
            self.at += memchr(b'"', self.rest())? + 1;
            return Some(());
        }
        let start = self.at;
        self.at += end_of_string(self.rest())? + 1;
        let closed = self.text.as_bytes().get(start..self.at)?;
        let simple = |byte: u8| matches!(byte, b'b' | b'f' | b'n' | b'r' | b't' | b'"' | b'\\' | b'/');
        // The second check is exact, and slower.
        (escapes_only(closed, simple) || is_valid(closed)).then_some(())
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
            at += match bytes.get(at) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 1,
                Some(b'u') if is_hex(bytes.get(at + 1..at + 5)) => 5,
                _ => return false,
            };
        }
    }
    true
}

fn is_hex(digits: Option<&[u8]>) -> bool {
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
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
        fn the_elements_of_a_list_are_those_that_serde_finds(text in nearly_json()) {
            if let Ok(listed) = serde_json::from_str::<Vec<&RawValue>>(&text) {
                let expected: Vec<&str> = listed.into_iter().map(RawValue::get).collect();
                prop_assert_eq!(elements(&text).collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn a_frame_has_a_limited_number_of_members() {
        let frame = |count: usize| format!("{{{}}}", vec![r#""a":1"#; count].join(","));
        assert!(Object::parse_frame(&frame(MAX_MEMBERS)).is_some());
        assert!(Object::parse_frame(&frame(MAX_MEMBERS + 1)).is_none());
        assert!(Object::parse(&frame(MAX_MEMBERS + 1)).is_some());
    }

    #[test]
    fn elements_are_read_as_they_are_taken() {
        assert_eq!(
            elements(r#" [ 1, {"a":[2]} ,"b", oops"#).take(3).collect::<Vec<_>>(),
            ["1", r#"{"a":[2]}"#, r#""b""#]
        );
        assert_eq!(elements("[1,oops,2]").collect::<Vec<_>>(), ["1"]);
        for none in ["[]", " [ ] ", "{}", "1", "", "[", r#""[1]""#] {
            assert_eq!(elements(none).count(), 0, "{none}");
        }
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
        members(text, |name, value| found.push((name, value))).unwrap();
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
            let is_name = |wanted: &str| is_name(&format!("\"{written}\""), wanted);
            prop_assert_eq!(is_name("type"), meant.as_deref() == Some("type"), "{:?}", written);
            if let Some(meant) = &meant {
                prop_assert!(is_name(meant), "{written:?} is {meant:?}");
            }
            if let Some(wanted) = read(&wanted).filter(|wanted| !wanted.contains('\\')) {
                prop_assert_eq!(is_name(&wanted), meant == Some(wanted), "{:?}", written);
            }
        }
    }

    #[test]
    fn every_escape_in_a_name_is_understood() {
        let all = r#"\"\\\/\b\f\n\r\t\u0041\u00e9\u00E9\ud83d\ude42"#;
        let is_name = |written: &str, wanted: &str| is_name(&format!("\"{written}\""), wanted);
        assert!(is_name(all, "\"\\/\u{8}\u{c}\n\r\tAéé🙂"));
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
