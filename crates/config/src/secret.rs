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
const MAX_SECRET: usize = 4096;

/// The error of a text that cannot be a secret. It does not show the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a {what} has {min} to {MAX_SECRET} printable ASCII characters and no spaces: `openssl rand -hex 32` makes one"
)]
pub struct InvalidSecret {
    what: &'static str,
    min: usize,
}

impl Hidden<String> {
    /// Accepts texts of `min` characters or more that fit into a header, and into a configuration file of
    /// coturn. `what` names the secret in the error.
    pub(super) fn parse(text: &str, what: &'static str, min: usize) -> Result<Self, InvalidSecret> {
        let is_fine = (min..=MAX_SECRET).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        is_fine.then(|| Hidden(text.to_owned())).ok_or(InvalidSecret { what, min })
    }
}
