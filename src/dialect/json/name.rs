//! Compares names of members without unescaping them first.

use std::str::Chars;

/// Whether the raw name of a member means `wanted`. Stops at the first difference.
pub(crate) fn is_name(written: &str, wanted: &str) -> bool {
    // Fast path: most names have no escapes.
    let same = written == wanted && !wanted.contains('\\');
    same || unescaped(written).eq(wanted.chars().map(Some))
}

/// The unescaped characters of a raw name; `None` stands for an invalid escape or a lone surrogate.
fn unescaped(written: &str) -> impl Iterator<Item = Option<char>> {
    let mut rest = written.chars();
    std::iter::from_fn(move || {
        let next = rest.next()?;
        Some(if next == '\\' { escaped(&mut rest) } else { Some(next) })
    })
}

/// The character of the escape after a backslash.
fn escaped(rest: &mut Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        plain @ ('"' | '\\' | '/') => plain,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => match code_unit(rest)? {
            high @ 0xD800..0xDC00 => {
                let low = (rest.next() == Some('\\') && rest.next() == Some('u')).then(|| code_unit(rest));
                return char::decode_utf16([high, low??]).next()?.ok();
            }
            unit => char::from_u32(unit.into())?,
        },
        _ => return None,
    })
}

/// Four hexadecimal digits.
fn code_unit(rest: &mut Chars<'_>) -> Option<u16> {
    (0..4).try_fold(0, |unit, _| Some(unit << 4 | rest.next()?.to_digit(16)? as u16))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Names that mean `type`, or almost.
    fn nearly_a_name() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "t",
            "y",
            "p",
            "e",
            "\\u0074",
            "\\u0079",
            "\\u0070",
            "\\u0065",
            "\\u006",
            "\\u00",
            "\\t",
            "\\n",
            "\\q",
            "\\",
            "\\/",
            "/",
            "🙂",
            "\\ud83d",
            "\\ude42",
            "\\uD83D\\uDE42",
            "\\u00E9",
            "é",
            "",
        ]);
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn names_mean_the_same_as_for_serde_json(written in nearly_a_name(), wanted in nearly_a_name()) {
            let read = |text: &str| serde_json::from_str::<String>(&format!("\"{text}\"")).ok();
            let meant = read(&written);
            prop_assert_eq!(is_name(&written, "type"), meant.as_deref() == Some("type"), "{:?}", written);
            if let Some(meant) = &meant {
                prop_assert!(is_name(&written, meant), "{written:?} is {meant:?}");
            }
            if let Some(wanted) = read(&wanted) {
                prop_assert_eq!(is_name(&written, &wanted), meant == Some(wanted), "{:?}", written);
            }
        }
    }

    #[test]
    fn every_escape_in_a_name_is_understood() {
        let all = r#"\"\\\/\b\f\n\r\t\u0041\u00e9\u00E9\ud83d\ude42"#;
        assert!(is_name(all, "\"\\/\u{8}\u{c}\n\r\tAéé🙂"));
        for none in [r"\ud83d", r"\ude42", r"\ud83dx", r"\ud83d\n", r"\ud83d\ud83d", r"\u00g9", r"\q", "\\"] {
            assert!(
                !is_name(none, none)
                    && !is_name(none, "x")
                    && !is_name(none, "")
                    && !is_name(none, "\u{fffd}"),
                "{none}"
            );
        }
    }
}
