//! Takes the addresses of clients out of what they say about a call, so that they reach each other through the relay only.

use crate::dialect::json;

/// The text of JSON without candidates, wherever they stand in it: those of descriptions are left out, and one by itself is
/// empty. Everything else stays as it is. A string that cannot be decoded is empty too, because nobody can say what a browser
/// makes of it.
pub(crate) fn without_addresses(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    // The text is valid JSON, so outside of strings there are no quotes.
    while let Some((before, quoted)) = rest.split_once('"') {
        out.extend_from_slice(before.as_bytes());
        let Some((string, after)) =
            json::end_of_string(quoted.as_bytes()).and_then(|end| quoted.split_at_checked(end))
        else {
            break;
        };
        let string = rest.get(before.len()..before.len() + string.len() + 2).unwrap_or_default();
        match json::string(string) {
            None => out.extend_from_slice(b"\"\""),
            Some(decoded) => match rewritten(&decoded) {
                Some(rewritten) => json::write_string(&mut out, &rewritten),
                None => out.extend_from_slice(string.as_bytes()),
            },
        }
        rest = after.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8(out).unwrap_or_default()
}

/// A string without addresses, if it has some.
fn rewritten(text: &str) -> Option<String> {
    if !text.contains("v=0") {
        let is_candidate = text.as_bytes().windows(10).any(|part| part.eq_ignore_ascii_case(b"candidate:"));
        return is_candidate.then(String::new);
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(['\r', '\n']).unwrap_or(rest.len());
        let (line, behind) = rest.split_at_checked(end)?;
        // Any of the three ends a line for some browser.
        let line_end =
            ["\r\n", "\n", "\r"].into_iter().find(|end| behind.starts_with(end)).unwrap_or_default();
        if let Some(line) = line_without_address(line) {
            kept.extend([line, line_end]);
        }
        rest = behind.get(line_end.len()..)?;
    }
    (kept != text).then_some(kept)
}

/// A line of a description as it may be told.
fn line_without_address(line: &str) -> Option<&str> {
    let begins = |start: &str| line.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start));
    if begins("c=") {
        return Some("c=IN IP4 0.0.0.0");
    }
    let tells =
        ["a=candidate", "a=end-of-candidates", "a=remote-candidates", "a=rtcp:"].into_iter().any(begins);
    (!tells).then_some(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn withheld(value: &Value) -> Value {
        serde_json::from_str(&without_addresses(&value.to_string())).unwrap()
    }

    #[test]
    fn descriptions_lose_their_candidates_and_nothing_else() {
        let sdp = |candidates: &str, connection: &str| {
            json!({"sdp": {"type": "offer", "sdp": format!(
                "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\nm=application 9 x\r\nc=IN IP4 {connection}\r\n{candidates}a=mid:0\r\n"
            )}, "connectionId": "dc_1", "metadata": {"text": "a candidate"}})
        };
        let candidates = "a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\na=rtcp:9 IN IP4 192.0.2.1\r\na=end-of-candidates\r\n";
        assert_eq!(withheld(&sdp(candidates, "192.0.2.1")), sdp("", "0.0.0.0"));
        assert_eq!(withheld(&sdp("", "0.0.0.0")), sdp("", "0.0.0.0"));
    }

    #[test]
    fn candidates_by_themselves_are_empty() {
        let one =
            |candidate: &str| json!({"candidate": {"candidate": candidate, "sdpMid": "0"}, "type": "data"});
        assert_eq!(withheld(&one("candidate:1 1 udp 1 192.0.2.1 5 typ host")), one(""));
        assert_eq!(withheld(&one("a=Candidate:1 1 udp 1 192.0.2.1 5 typ host")), one(""));
    }

    #[test]
    fn escapes_hide_nothing() {
        for hidden in [
            r#"{"sdp":"v=0\r\na=c\u0061ndidate:1 1 udp 1 192.0.2.1 5 typ host\r\n"}"#,
            r#"{"sdp":"\u0076=0\na=candidate:1 1 udp 1 192.0.2.1 5 typ host"}"#,
            r#"{"sdp":"v=0\ra=candidate:1 1 udp 1 192.0.2.1 5 typ host\r"}"#,
            r#"{"candidate":"\u0063andidate:1 1 udp 1 192.0.2.1 5 typ host"}"#,
            r#"{"candidate":"\ud800candidate:1 1 udp 1 192.0.2.1 5 typ host"}"#,
        ] {
            let text = without_addresses(hidden);
            let value: Value = serde_json::from_str(&text).unwrap();
            assert!(!value.to_string().contains("192.0.2.1"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_has_no_address_stays_byte_for_byte(
            text in "[^v\\\\\"\u{0}-\u{1f}]{0,40}", name in "[a-u ]{0,10}", number in any::<i32>()
        ) {
            let json = format!(r#" {{ "{name}" : [ "{text}" , {number} , "\"\\\n" ], "x":null }}"#);
            prop_assert_eq!(without_addresses(&json), json);
        }
    }
}
