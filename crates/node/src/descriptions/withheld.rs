//! Removes the addresses of clients from their messages about a call, so that they reach each other through
//! the relay only.

use peerbroker_core::vocabulary::expected;
use std::borrow::Cow;

use serde_json::value::RawValue;

use peerbroker_json as json;

/// Levels of JSON texts inside of each other, as of pages that write a description as JSON themselves.
const MAX_DEPTH: u8 = 3;

/// The text of JSON without candidates, wherever they are: lines of descriptions are left out, and a
/// candidate by itself becomes empty. The rest is unchanged. A string that cannot be decoded becomes empty
/// too, because browsers might read a candidate in it.
pub fn without_addresses(text: &str) -> String {
    at_depth(0, text)
}

fn at_depth(depth: u8, text: &str) -> String {
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
            Some(decoded) => match rewritten(depth, &decoded) {
                Some(rewritten) => json::write_string(&mut out, &rewritten),
                None => out.extend_from_slice(string.as_bytes()),
            },
        }
        rest = after.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
    expected(String::from_utf8(out), "a text made of texts")
}

/// A string without addresses, if it has some.
fn rewritten(depth: u8, text: &str) -> Option<String> {
    if is_description(text) {
        return Some(without_candidates(text)).filter(|kept| kept != text);
    }
    let inside =
        is_json(text).then(|| if depth < MAX_DEPTH { at_depth(depth + 1, text) } else { String::new() });
    let kept = inside.as_deref().unwrap_or(text);
    let is_candidate = has(kept, "candidate:") || has_type(kept);
    if is_candidate { Some(String::new()) } else { inside.filter(|inside| inside != text) }
}

/// True if a text is a session description, strictly: browsers accept no other beginning.
fn is_description(text: &str) -> bool {
    text.strip_prefix("v=0").is_some_and(|rest| rest.starts_with(['\r', '\n']))
}

/// True if a text is a JSON object, array or string.
fn is_json(text: &str) -> bool {
    text.trim_ascii_start().starts_with(['{', '[', '"']) && serde_json::from_str::<&RawValue>(text).is_ok()
}

/// A description without the lines that could be a candidate.
fn without_candidates(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (line, behind) =
            rest.find(['\r', '\n']).and_then(|end| rest.split_at_checked(end)).unwrap_or((rest, ""));
        // Any of the three ends a line for some browser.
        let line_end =
            ["\r\n", "\n", "\r"].into_iter().find(|end| behind.starts_with(end)).unwrap_or_default();
        if let Some(line) = line_without_address(line) {
            kept.extend([&line, line_end]);
        }
        rest = behind.get(line_end.len()..).unwrap_or_default();
    }
    kept
}

/// A line of a description without addresses. The parsers of browsers forgive blanks, cases and a missing
/// colon, so a line is removed for what it contains, not for how it begins.
fn line_without_address(line: &str) -> Option<Cow<'_, str>> {
    if begins(line, "c=") {
        return Some("c=IN IP4 0.0.0.0".into());
    }
    if begins(line, "o=") {
        // As browsers write it. The user, the session and its version come first.
        let first: Vec<&str> = line.split(' ').take(3).collect();
        return Some((first.join(" ") + " IN IP4 127.0.0.1").into());
    }
    let tells = has(line, "candidate") || has_type(line) || begins(line, "a=rtcp:");
    (!tells).then_some(line.into())
}

/// True if a text has the type of a candidate, as in `typ host` (RFC 8839, section 5.1). Every candidate has
/// one, but Firefox accepts any text in front of the first colon.
fn has_type(text: &str) -> bool {
    let is_blank = |c: char| c.is_whitespace() || c.is_control();
    let behind = text.match_indices(['t', 'T']).filter(|(at, _)| {
        let before = text.get(..*at).and_then(|before| before.chars().next_back());
        before.is_none_or(is_blank)
    });
    behind.filter_map(|(at, _)| text.get(at..).filter(|text| begins(text, "typ"))?.get(3..)).any(|behind| {
        let behind = behind.trim_start_matches(is_blank);
        ["host", "srflx", "prflx", "relay"].into_iter().any(|kind| begins(behind, kind))
    })
}

fn begins(text: &str, word: &str) -> bool {
    text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
}

fn has(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::descriptions::browsers;

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
        let origin = |text: Value| text.to_string().replace("IP4 127.0.0.1", "IP4 192.0.2.1");
        assert_eq!(without_addresses(&origin(sdp("", "0.0.0.0"))), sdp("", "0.0.0.0").to_string());
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
    fn what_the_parsers_of_browsers_forgive_hides_nothing() {
        const CANDIDATE: &str = "1 1 udp 1 192.0.2.1 5 typ host";
        for line in [
            "a= candidate:",
            "a=  candidate:",
            "a=\tcandidate:",
            "a=:candidate:",
            "a=candidate ",
            "a=candidate\t",
            "a=CanDidate:",
            " a = candidate:",
            "A=candidate:",
            "a=\u{a0}candidate:",
            "a=x\rcandidate:",
            "x:",
            "",
        ] {
            for end in ["\r\n", "\n", "\r"] {
                let text = ["v=0", "o=- 1 2 IN IP4 127.0.0.1", "m=audio 9 UDP/TLS/RTP/SAVPF 96"].join(end);
                let with = json!({"sdp": format!("{text}{end}{line}{CANDIDATE}{end}a=mid:0{end}")});
                assert_eq!(withheld(&with).to_string().matches("192.0.2.1").count(), 0, "{line:?}");
                assert!(withheld(&with)["sdp"].as_str().unwrap().ends_with(&format!("a=mid:0{end}")));
            }
        }
        for text in [
            "candidate:1 1 udp 1 192.0.2.1 5 typ host x v=0",
            "v=0\r\ncandidate:1 1 udp 1 192.0.2.1 5 typ host",
            "v=0\r\nx:1 1 udp 1 192.0.2.1 5\nx typ host",
            "v=0 \r\na=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n",
            "x:1 1 UDP1 192.0.2.1 5 typhost",
            " v=0\r\na=candidate 1 1 tcp 1 192.0.2.1 5 TYP host tcptype passive\r\n",
        ] {
            let one = json!({"action": "candidate", "data": {"remoteId": "b", "candidate": text}});
            assert!(browsers::find_a_candidate(&one), "{text:?}");
            assert!(!browsers::find_a_candidate(&withheld(&one)), "{text:?}");
        }
    }

    #[test]
    fn json_in_texts_is_read_as_well() {
        let sdp =
            |more: &str| format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\nm=audio 9 UDP x\r\n{more}a=mid:0\r\n");
        let nested = |sdp: &str| json!({"offer": json!({"type": "offer", "sdp": sdp}).to_string()});
        assert_eq!(
            withheld(&nested(&sdp("a=candidate:1 1 udp 1 192.0.2.1 5 typ host\r\n"))),
            nested(&sdp(""))
        );
        let hidden = r#"{"candidate":"c\u0061ndidate:1 1 \u0075dp 1 192.0.2.1 5 t\u0079p host"}"#;
        assert_eq!(withheld(&json!({"x": hidden}))["x"], r#"{"candidate":""}"#);
        // Each part is no candidate, but a browser that converts them to one text finds one.
        let parts = json!({"x": ["x:1 1 udp 1 192.0.2.1 5", " typ host"]});
        assert!(browsers::find_a_candidate(&parts) && !browsers::find_a_candidate(&withheld(&parts)));
        let mut deep = "candidate:".to_owned();
        for _ in 0..10 {
            deep = json!([deep]).to_string();
        }
        assert!(!withheld(&json!(deep)).to_string().contains("candidate"));
    }

    #[test]
    fn what_browsers_and_people_say_otherwise_stays() {
        for line in [
            "a=extmap:7 http://www.webrtc.org/experiments/rtp-hdrext/video-content-type",
            "a=fmtp:96 profile-level-id=42e01f;level-asymmetry-allowed=1",
            "a=ice-options:trickle renomination",
            "a=msid:2d1f typ1",
            "a=msid:2d1f typhost",
            "a=ssrc:1 cname:Typ",
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        ] {
            let text = json!({"sdp": format!("v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n{line}\r\n")});
            let kept = line != "a=msid:2d1f typhost";
            assert_eq!(withheld(&text) == text, kept, "{line}");
        }
        for text in [
            "Der Typ ist ein guter Kandidat",
            "UDP or TCP?",
            "the candidate",
            "{not json}",
            "v=0",
            "[1, \"x\"]",
        ] {
            assert_eq!(withheld(&json!({"chat": text})), json!({"chat": text}));
        }
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

    /// Texts of which some are candidates, and others only for the parser of some browser.
    fn almost_a_candidate() -> impl Strategy<Value = String> {
        let parts = prop::sample::select(vec![
            "v=0",
            "v=1",
            "o=- 1 2 IN IP4 192.0.2.1",
            "m=audio 9 UDP x",
            "a=",
            "A",
            "=",
            "candidate",
            "CANDIDATE",
            ":",
            " ",
            "\t",
            "\r",
            "\n",
            "\r\n",
            "x:",
            "1 1 udp 1 192.0.2.1 5",
            "1 1 TCP1 192.0.2.1 5",
            " typ host",
            " TYPhost",
            "typ",
            "\u{a0}",
            "\"",
            "\\",
            "{",
            "[",
            "]",
            "}",
            ",",
            "v=0\r\n",
            "a=candidate:1 1 udp 1 192.0.2.1 5 typ host",
        ]);
        prop::collection::vec(parts, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn no_browser_finds_a_candidate(
            texts in prop::collection::vec(almost_a_candidate(), 1..4), depth in 0usize..3
        ) {
            let mut value = json!({"sdp": texts, "one": texts[0]});
            for _ in 0..depth {
                value = json!({"x": value.to_string()});
            }
            prop_assert!(!browsers::find_a_candidate(&withheld(&value)));
        }

        #[test]
        fn what_has_no_address_stays_byte_for_byte(
            text in "[^v\\\\\"\u{0}-\u{1f}]{0,40}", name in "[a-u ]{0,10}", number in any::<i32>()
        ) {
            let json = format!(r#" {{ "{name}" : [ "{text}" , {number} , "\"\\\n" ], "x":null }}"#);
            prop_assert_eq!(without_addresses(&json), json);
        }
    }
}
