//! The form of all secrets.

use std::fmt;

/// A secret that is never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hidden<T>(pub(super) T);

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Shortest secret that cannot be guessed: 16 random characters have at least 64 bits of entropy.
pub(super) const STRONG: usize = 16;
/// Longest secret.
pub(super) const MAX_SECRET: usize = 4096;

/// True if a text of `min` characters or more fits into a header, and into a configuration file of coturn.
pub(super) fn is_secret(text: &str, min: usize) -> bool {
    (min..=MAX_SECRET).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}
