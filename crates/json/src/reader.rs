//! Reads a JSON text from its beginning to its end, each byte once.

use crate::name::{Meant, Name};
use crate::steps::{self, is_space};
use crate::strings::{escapes_only, len_of_name, len_of_text};

/// Most elements of a list that are kept: more than any limit of its elements.
pub const MAX_ELEMENTS: usize = 256;

/// Reads JSON text from its beginning to its end.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Where the last name begins, in its quotes.
    name: usize,
    /// The only escapes are the two of a session description, `\n` and `\r`, and there are no control
    /// characters. Many messages have no others, and then a quote always ends a string.
    only_ends_lines: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let only_ends_lines = escapes_only(text.as_bytes(), |byte| (byte == b'n') | (byte == b'r'));
        Reader { text, at: 0, name: 0, only_ends_lines }
    }

    /// The first byte of the next token, at which it stays.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
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

    pub(super) fn next_is_end(&mut self) -> bool {
        self.peek().is_none()
    }

    /// Reads a value of any kind, up to the comma or bracket behind it, and returns it.
    pub fn value(&mut self) -> Option<&'a str> {
        self.peek()?;
        let start = self.at;
        self.walk(steps::BEGIN, usize::MAX)?;
        self.text_from(start)
    }

    /// Reads on from a state up to the end of the innermost container, or of the only value, or behind the
    /// next name of that container that has not surely fewer bytes than `shortest`.
    fn walk(&mut self, first: u8, shortest: usize) -> Option<Met> {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        let only_ends_lines = self.only_ends_lines;
        let mut state = first;
        // The brackets that are open: a bit for each, which is set for objects, below a bit that is always
        // set. Nested values cost no stack.
        let mut open = NONE_OPEN;
        let mut outer = Vec::new();
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
                let text = bytes.get(at..)?;
                let start = at - 1;
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
                    self.name = start;
                    self.at = at;
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
    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }

    /// The text that begins at `start` and ends here.
    #[inline]
    pub fn text_from(&self, start: usize) -> Option<&'a str> {
        let text = self.text.get(start..self.at)?;
        // White space between a value and what follows it.
        Some(if text.as_bytes().last().is_some_and(|&last| is_space(last)) {
            text.trim_ascii_end()
        } else {
            text
        })
    }

    /// Reads an object. `each` hears the names of its first members, up to `most`, and may read their values.
    /// False if there are more. Names that have surely fewer bytes than `shortest` do not count.
    #[inline]
    pub fn object(
        &mut self,
        most: usize,
        shortest: usize,
        mut each: impl FnMut(&mut Self, Name<'a>) -> Option<()>,
    ) -> Option<bool> {
        if self.next()? != b'{' {
            return None;
        }
        let mut state = steps::IN_OBJECT;
        let mut heard = 0;
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
    pub fn list(&mut self) -> Option<Vec<&'a str>> {
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

/// The end of a walk.
enum Met {
    /// The end of the innermost container, or of the only value.
    End,
    /// A name of that container.
    Name(Meant),
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
