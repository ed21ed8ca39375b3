//! Frames that clients could write: any JSON, any escapes, members in any order.

use std::fmt::Write as _;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) fn white_space() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just(String::new()), 1 => "[ \t\r\n]{1,3}"]
}

pub(crate) fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec![
            "0",
            "-0",
            "0.0",
            "-0.0e-0",
            "1e400",
            "-1E+400",
            "1e-400",
            "12345678901234567890",
            "18446744073709551616",
            "-9223372036854775809",
            "0.1000000000000000055511151231257827",
        ])
        .prop_map(str::to_owned),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,5})?",
    ]
}

/// The inside of a JSON string, with lone surrogates and needless escapes.
pub(crate) fn quoted() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ !#-\\[\\]-~]{1,8}",
        1 => "[^\"\\\\\\x00-\\x1f]{1,4}",
        1 => select(vec!["\\n", "\\\"", "\\\\", "\\/", "\\b", "\\f", "\\r", "\\t"]).prop_map(str::to_owned),
        1 => any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")),
        1 => (0xD800_u16..0xE000).prop_map(|unit| format!("\\u{unit:04X}")),
        1 => select(vec!["\\ud83d\\ude00", "\u{2028}", "\u{7f}", "é", "\u{10FFFF}", "\\u0000"])
            .prop_map(str::to_owned),
    ];
    vec(piece, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

pub(crate) fn json() -> impl Strategy<Value = String> {
    let leaf =
        prop_oneof![select(vec!["null", "true", "false"]).prop_map(str::to_owned), number(), quoted(),];
    leaf.prop_recursive(6, 48, 6, |inner| {
        let spaced = (white_space(), inner, white_space()).prop_map(|(a, value, b)| a + &value + &b).boxed();
        // Few names, so that members repeat.
        let name = prop_oneof![quoted(), select(vec!["\"a\"", "\"type\"", "\"\""]).prop_map(str::to_owned)];
        let member = (white_space(), name, white_space(), spaced.clone())
            .prop_map(|(a, name, b, value)| format!("{a}{name}{b}:{value}"));
        prop_oneof![
            (vec(spaced, 0..6), white_space()).prop_map(|(values, empty)| {
                if values.is_empty() { format!("[{empty}]") } else { format!("[{}]", values.join(",")) }
            }),
            (vec(member, 0..6), white_space()).prop_map(|(members, empty)| {
                if members.is_empty() { format!("{{{empty}}}") } else { format!("{{{}}}", members.join(",")) }
            }),
        ]
    })
}

/// Writes a text as JSON, with `\u` escapes where `escaped` says so and where JSON requires them.
pub(crate) fn spell(text: &str, escaped: &[bool]) -> String {
    let mut spelt = String::from("\"");
    for (at, c) in text.chars().enumerate() {
        let wanted = !escaped.is_empty() && escaped[at % escaped.len()];
        if wanted || c < ' ' || c == '"' || c == '\\' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(spelt, "\\u{unit:04x}");
            }
        } else {
            spelt.push(c);
        }
    }
    spelt.push('"');
    spelt
}

pub(crate) fn escapes() -> impl Strategy<Value = Vec<bool>> {
    prop_oneof![Just(Vec::new()), vec(any::<bool>(), 1..6)]
}

pub(crate) fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9-]{1,36}",
        any::<String>().prop_filter("an id is not empty", |id| !id.is_empty()),
        select(vec!["__proto__", "toString", "\"", "\\", "a\u{0}b", "\u{2028}", "\u{7f}", "\\u0041"])
            .prop_map(str::to_owned),
    ]
}

// ---- A client's frame: members in any order, repeated, oddly spelt ----

#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) spelling: Vec<bool>,
    pub(crate) value: String,
}

pub(crate) fn frame_text(members: &[Member], space: &str) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|Member { name, spelling, value }| {
            format!("{space}{}{space}:{space}{value}{space}", spell(name, spelling))
        })
        .collect();
    format!("{space}{{{}}}{space}", members.join(","))
}

/// Members that must be ignored: other names, and earlier ones of the same name.
pub(crate) fn noise() -> impl Strategy<Value = Vec<Member>> {
    let name = select(vec!["type", "dst", "payload", "src", "Type", "payload ", "", "__proto__"]);
    vec((name, escapes(), json()), 0..5).prop_map(|members| {
        members.into_iter().map(|(name, spelling, value)| Member { name, spelling, value }).collect()
    })
}
