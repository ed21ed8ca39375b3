//! serde's errors about values, in words of JSON and TOML.

use std::fmt;

/// A value that its setting cannot have.
#[derive(Debug, PartialEq, Eq)]
pub struct Mistyped {
    /// The values that it can have.
    pub expected: String,
    /// The value.
    pub found: String,
}

impl fmt::Display for Mistyped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, not {}", self.expected, self.found)
    }
}

impl Mistyped {
    /// Reads an error. `object` names a value with members: an object in JSON, a table in TOML. `None` if it
    /// is another error.
    pub fn read(error: &str, object: &str) -> Option<Self> {
        let (found, expected) = error.split_once(", expected ")?;
        // serde_json adds the place.
        let expected = expected.split_once(" at line ").map_or(expected, |(expected, _)| expected);
        if let Some(word) = found.strip_prefix("unknown variant ") {
            let words: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
            let found = format!("{:?}", word.trim_matches('`'));
            return Some(Mistyped { expected: either(&words), found });
        }
        let found = found.strip_prefix("invalid type: ").or_else(|| found.strip_prefix("invalid value: "))?;
        let expected = match expected {
            "usize" | "u32" | "u64" => "a whole number of 0 or more".to_owned(),
            "a boolean" => "true or false".to_owned(),
            "a sequence" => "a list".to_owned(),
            "a map" => article(object),
            "struct Webhook" => format!("{} with url, secrets and messages", article(object)),
            _ if expected.contains("Auth") => {
                format!("{} with a method: none, jwt or webhook", article(object))
            }
            expected => expected.to_owned(),
        };
        Some(Mistyped { expected, found: value(found, object) })
    }
}

/// The words, the last one behind "or".
fn either(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        words => words.concat(),
    }
}

fn article(object: &str) -> String {
    if object.starts_with(['a', 'e', 'i', 'o', 'u']) { format!("an {object}") } else { format!("a {object}") }
}

/// The value of an error, without serde's name of its type.
fn value(found: &str, object: &str) -> String {
    match found {
        "sequence" => "a list".to_owned(),
        "map" => article(object),
        _ => match found.split_once(" `") {
            Some(("integer" | "floating point" | "boolean", value)) => value.trim_end_matches('`').to_owned(),
            _ => found.strip_prefix("string ").unwrap_or(found).to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_what_is_expected_and_the_value() {
        for (error, words) in [
            ("invalid type: string \"5\", expected usize", "a whole number of 0 or more, not \"5\""),
            ("invalid value: integer `-1`, expected u32", "a whole number of 0 or more, not -1"),
            ("invalid type: floating point `1.5`, expected u64", "a whole number of 0 or more, not 1.5"),
            ("invalid type: null, expected a boolean", "true or false, not null"),
            ("invalid type: map, expected a sequence", "a list, not an object"),
            ("invalid type: sequence, expected a map at line 1 column 0", "an object, not a list"),
            (
                "invalid type: string \"jwt\", expected internally tagged enum Auth",
                "an object with a method: none, jwt or webhook, not \"jwt\"",
            ),
            (
                "unknown variant `on`, expected one of `fallback`, `always`, `off`",
                "fallback, always or off, not \"on\"",
            ),
            ("unknown variant `b`, expected `a`", "a, not \"b\""),
        ] {
            assert_eq!(Mistyped::read(error, "object").unwrap().to_string(), format!("expected {words}"));
        }
        assert_eq!(Mistyped::read("missing field `url`", "object"), None);
        assert_eq!(Mistyped::read("unknown field `a`, expected `b`", "object"), None);
    }
}
