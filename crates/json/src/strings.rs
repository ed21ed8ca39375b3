//! The ends of strings, and the check of their content.

use memchr::memchr;

use crate::name::{Meant, short_name};

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

/// True if each quote is surely escaped, by one backslash alone, and what follows the bytes surely is not.
/// The first two bytes only precede the others. It has no branch per byte, so the compiler vectorizes it.
fn escapes_its_quotes(bytes: &[u8]) -> bool {
    let second = bytes.get(1..).unwrap_or_default();
    let third = bytes.get(2..).unwrap_or_default();
    let unsure = bytes.iter().zip(second).zip(third).fold(false, |unsure, ((&first, &second), &third)| {
        unsure | ((third == b'"') & ((second != b'\\') | (first == b'\\')))
    });
    !unsure && bytes.last() != Some(&b'\\')
}

/// Longest string with escapes whose bytes are read one after another.
const SHORT: usize = 32;

/// The length of a string that begins behind its quote, with the quote at its end.
#[inline(never)]
pub(super) fn len_of_text(bytes: &[u8], only_ends_lines: bool) -> Option<usize> {
    match first_special(bytes) {
        Some((index, b'"')) => Some(index + 1),
        _ => len_of_any_text(bytes, only_ends_lines),
    }
}

/// The length of a name that begins behind its quote, with the quote at its end, and its meaning.
#[inline(never)]
pub(super) fn len_of_name(bytes: &[u8], only_ends_lines: bool) -> Option<(usize, Meant)> {
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

/// The first of eight bytes that is a quote, a backslash or a control character, and its index. Most names
/// and many texts have fewer bytes.
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

/// True if the bytes of a string have no control character, and only the escapes of JSON (RFC 8259, section
/// 7).
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

/// True if there is no control character before the last byte, and a backslash only in front of a byte that
/// is `simple`. It has no branch per byte, so the compiler vectorizes it.
pub(super) fn escapes_only(bytes: &[u8], simple: impl Fn(u8) -> bool) -> bool {
    let following = bytes.get(1..).unwrap_or_default();
    let (lowest, wrong) =
        bytes.iter().zip(following).fold((b' ', 0), |(lowest, wrong): (u8, u8), (&byte, &next)| {
            (lowest.min(byte), wrong | u8::from((byte == b'\\') & !simple(next)))
        });
    lowest == b' ' && wrong == 0
}
