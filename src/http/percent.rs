//! Percent-escapes in the paths of requests.

use std::borrow::Cow;

/// Decodes percent-escapes. `None` if one is malformed, or the result is not UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    let is_complete =
        |escape: &str| escape.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    if !text.split('%').skip(1).all(is_complete) {
        return None;
    }
    percent_encoding::percent_decode_str(text).decode_utf8().ok()
}
