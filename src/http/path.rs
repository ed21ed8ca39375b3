//! The paths of requests: repeated slashes count as one, and segments are decoded once.

use std::borrow::Cow;

use actix_http::{RequestHead, Uri};

/// Makes repeated slashes in the path of a request one, before anybody reads it. Proxies double slashes, such
/// as nginx with `location /app { proxy_pass http://127.0.0.1:9000/; }`, and so do clients that join paths.
pub(super) fn merge_slashes(head: &mut RequestHead) {
    if head.uri.path().contains("//") {
        let mut path = String::with_capacity(head.uri.path().len());
        let is_kept = |(c, before): &(char, Option<char>)| (*c, *before) != ('/', Some('/'));
        let before = [None].into_iter().chain(head.uri.path().chars().map(Some));
        path.extend(head.uri.path().chars().zip(before).filter(is_kept).map(|(c, _)| c));
        set_path(head, path);
    }
}

/// Replaces the path of a request. The query stays.
pub(super) fn set_path(head: &mut RequestHead, path: String) {
    let target = head.uri.query().map(|query| format!("{path}?{query}")).unwrap_or(path);
    let mut parts = head.uri.clone().into_parts();
    parts.path_and_query = target.parse().ok();
    // Always valid: it consists of parts of a valid one.
    if let Ok(uri) = Uri::from_parts(parts) {
        head.uri = uri;
    }
}

/// Decodes percent-escapes. `None` if one is malformed, or the result is not UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    let is_complete =
        |escape: &str| escape.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    if !text.split('%').skip(1).all(is_complete) {
        return None;
    }
    percent_encoding::percent_decode_str(text).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_slashes_are_one_and_the_query_stays() {
        for (target, merged) in [
            ("/", "/"),
            ("//", "/"),
            ("///", "/"),
            ("/a/b?c=//d", "/a/b?c=//d"),
            ("//peerjs", "/peerjs"),
            ("//a///b//?c=//d&e", "/a/b/?c=//d&e"),
            ("//%2F%2F//.//", "/%2F%2F/./"),
            ("http://h.test//a//b", "http://h.test/a/b"),
            ("*", "*"),
        ] {
            let mut head = RequestHead::default();
            head.uri = target.parse().unwrap();
            merge_slashes(&mut head);
            assert_eq!(head.uri.to_string(), merged, "{target}");
        }
    }
}
