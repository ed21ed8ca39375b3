//! Texts of strangers, as the log and lists have them.

use std::fmt;

/// Most characters of one that are printed.
const MAX_SHOWN: usize = 128;

/// A text of a stranger. It prints itself in quotes, cut, and with escapes for all that could forge a line,
/// end the quotes, or change the direction of the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Foreign<'a>(&'a str);

impl<'a> Foreign<'a> {
    /// A text of a stranger.
    pub fn new(text: &'a str) -> Self {
        Foreign(text)
    }

    /// The text, which no log and no list may have.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(MAX_SHOWN) {
            Some((end, _)) => write!(f, "{:?}…", self.0.get(..end).unwrap_or_default()),
            None => write!(f, "{:?}", self.0),
        }
    }
}

impl fmt::Debug for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text without quotes around it, with the same escapes, except for quotes and backslashes. It is not cut.
pub fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        match c {
            '\'' | '"' | '\\' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
        shown
    })
}
