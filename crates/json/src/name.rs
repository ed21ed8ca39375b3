//! Names of members, and their meanings: a client may write any character as an escape.

/// The name of a member, as its client has written it.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    pub(super) text: &'a str,
    /// Where it begins and ends in the text, in its quotes.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) meaning: Meant,
}

/// The meaning of a name, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Meant {
    /// A name without escapes.
    AsWritten,
    This(Meaning),
    /// A name that may have escapes.
    Unknown,
}

/// Longest name that any protocol knows.
pub const LONGEST_NAME: usize = 16;

/// The meaning of a name with escapes. No memory is allocated for it: a message may have very many names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meaning {
    bytes: [u8; LONGEST_NAME],
    len: usize,
}

impl Meaning {
    #[inline]
    fn push(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(self.len)? = byte;
        self.len += 1;
        Some(())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl<'a> Name<'a> {
    /// In its quotes.
    #[inline]
    pub fn written(&self) -> &'a str {
        self.check();
        self.text.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn inner(&self) -> &'a [u8] {
        self.check();
        self.text.as_bytes().get(self.start + 1..self.end - 1).unwrap_or_default()
    }

    #[inline]
    fn check(&self) {
        let name = || self.text.get(self.start..self.end);
        debug_assert!(name().is_some_and(|name| name.len() > 1), "no name at {}..{}", self.start, self.end);
    }

    /// True if it means `wanted`.
    #[inline]
    pub fn is(&self, wanted: &str) -> bool {
        self.index_in(&[wanted]).is_some()
    }

    /// The index of the one of `known` that it means.
    #[inline]
    pub fn index_in(&self, known: &[&str]) -> Option<usize> {
        let find = |name: &[u8]| known.iter().position(|known| known.as_bytes() == name);
        match &self.meaning {
            Meant::AsWritten => find(self.inner()),
            Meant::This(meaning) => find(meaning.as_bytes()),
            Meant::Unknown => find(self.inner()).or_else(|| find(self.meaning()?.as_bytes())),
        }
    }

    /// `None` if it is what stands in the quotes, or no name that is known.
    pub(super) fn known_meaning(&self) -> Option<Meaning> {
        match self.meaning {
            Meant::AsWritten => None,
            Meant::This(meaning) => Some(meaning),
            Meant::Unknown => self.meaning(),
        }
    }

    /// `None` if it is longer than the names that are known, or has a lone surrogate.
    #[inline]
    fn meaning(&self) -> Option<Meaning> {
        let from = self.text.as_bytes().get(self.start + 1..)?;
        short_name(from).map(|(_, meaning)| meaning)
    }
}

/// The length of a valid name that begins behind its quote, with the quote at its end, and its meaning.
/// `None` also if that is longer than the names that are known, or has a lone surrogate.
pub(super) fn short_name(bytes: &[u8]) -> Option<(usize, Meaning)> {
    let mut at = 0;
    let mut meaning = Meaning::default();
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

/// The character of an escape, which follows its backslash, and the length of both. `None` for a lone
/// surrogate, too.
fn unescaped(escape: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = escape.get(at..)?.first_chunk::<4>()?;
        digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | u16::from(hex(digit)?)))
    };
    let char = match escape.first()? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = unit(1)?;
            if let Some(char) = char::from_u32(first.into()) {
                return Some((char, 5));
            }
            if escape.get(5..7)? != b"\\u" {
                return None;
            }
            return Some((char::decode_utf16([first, unit(7)?]).next()?.ok()?, 11));
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
