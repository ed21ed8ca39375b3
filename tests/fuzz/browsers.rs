//! The candidates that browsers find, with all leniency of their parsers: libwebrtc of Chromium; sipcc,
//! webrtc-sdp and nICEr of Firefox. For tests: no browser accepts more than this.

use serde_json::Value;

/// True if some browser finds a candidate in a message, if its page uses any text of it as a description or
/// as a candidate.
pub(crate) fn find_a_candidate(message: &Value) -> bool {
    match message {
        Value::String(text) => {
            // A page may have written it as JSON before.
            let inner = serde_json::from_str(text).ok().filter(|inner: &Value| !inner.is_number());
            in_description(text) || as_candidate(text) || inner.is_some_and(|inner| find_a_candidate(&inner))
        }
        Value::Array(values) => {
            // Where a browser wants a text, an array is one.
            let texts: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
            let joined = texts.filter(|texts| texts.len() > 1).map(|texts| texts.join(","));
            joined.is_some_and(|joined| in_description(&joined) || as_candidate(&joined))
                || values.iter().any(find_a_candidate)
        }
        Value::Object(members) => members.values().any(find_a_candidate),
        _ => false,
    }
}

/// sipcc skips colons and blanks in front of the name and needs no colon behind it, and webrtc-sdp trims both
/// sides of the `=`.
fn in_description(text: &str) -> bool {
    let is_candidate = |line: &str| {
        let (kind, attribute) = line.split_once('=')?;
        let attribute = attribute.trim_start_matches(|c: char| c == ':' || c.is_whitespace());
        let name = attribute.get(..9)?;
        let is_named = kind.trim().eq_ignore_ascii_case("a") && name.eq_ignore_ascii_case("candidate");
        let value = attribute.get(9..)?.trim_start_matches(|c: char| c == ':' || c.is_whitespace());
        is_named.then(|| is_value(value))
    };
    // sipcc ends a line at a line feed only.
    [&['\n'][..], &['\r', '\n']]
        .into_iter()
        .any(|ends| text.split(ends).any(|line| is_candidate(line) == Some(true)))
}

/// Firefox ignores everything up to the first colon.
fn as_candidate(text: &str) -> bool {
    text.split_once(':').is_some_and(|(_, value)| is_value(value))
}

/// As nICEr reads it: it compares only the letters that it knows, whatever follows them, and allows line ends
/// in a word. Its words end at a blank; those of webrtc-sdp at any white space.
fn is_value(value: &str) -> bool {
    let spaced: String = value.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
    nicer(value).is_some() || nicer(&spaced).is_some()
}

fn nicer(value: &str) -> Option<()> {
    let next = |text: &str| Some(text.split_once(' ')?.1.trim_start_matches(' ').to_owned());
    let transport = next(&next(value.trim_start_matches(' '))?)?;
    let begins =
        |text: &str, word: &str| text.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word));
    let is_known = begins(&transport, "udp") || begins(&transport, "tcp");
    let priority = transport.get(3..).filter(|_| is_known)?.trim_start_matches(' ');
    let kind = next(&next(&next(priority)?)?)?;
    let known = kind.get(3..).filter(|_| begins(&kind, "typ"))?.trim_start_matches(' ');
    ["host", "srflx", "prflx", "relay"].into_iter().any(|word| begins(known, word)).then_some(())
}
