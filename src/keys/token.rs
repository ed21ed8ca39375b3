//! Makes and recognizes tokens of keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::distr::{Alphanumeric, SampleString as _};
use ring::digest;

use super::{KeyToken, TokenScope, unix_time};
use crate::wire::ApiKey;

/// The beginning of a token. Searches for leaked secrets find it.
const PREFIX: &str = "pbk_";

/// Random characters of a token: 250 bits, so its hash needs no salt.
const RANDOM_CHARS: usize = 43;

impl KeyToken {
    /// Makes a token for a key. Returns its text too.
    pub fn new(key: &ApiKey, name: &str, scopes: Vec<TokenScope>) -> (Self, String) {
        let random = Alphanumeric.sample_string(&mut rand::rng(), RANDOM_CHARS);
        let text = format!("{PREFIX}{}_{random}", URL_SAFE_NO_PAD.encode(key.as_str()));
        let (name, created, hash) = (name.to_owned(), unix_time(), hash(&text));
        (KeyToken { name, scopes, created, hash }, text)
    }

    /// The key that a text names, whether that has such a token or not. `None` if the text is no token of a key.
    pub fn key_of(text: &str) -> Option<ApiKey> {
        let (key, _) = text.strip_prefix(PREFIX)?.rsplit_once('_')?;
        ApiKey::parse(&String::from_utf8(URL_SAFE_NO_PAD.decode(key).ok()?).ok()?).ok()
    }

    /// True if this is the token. Hashes are compared, so the time reveals nothing about it.
    pub fn is(&self, text: &str) -> bool {
        hash(text) == self.hash
    }
}

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}
