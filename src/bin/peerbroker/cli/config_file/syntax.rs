//! Errors of the syntax, in words of settings. TOML's own words name parts of its grammar.

use toml::de::{DeTable, Error};

use super::row_of;
use crate::cli::odd::TYPOGRAPHIC;
use crate::cli::row::Row;

/// The error, with the line as it has to be, if that is clear.
pub(super) fn explained(text: &str, error: &Error) -> String {
    let span = error.span().unwrap_or_default();
    if error.message() == "duplicate key" {
        return format!("{:?} is set twice", text.get(span).unwrap_or_default());
    }
    let start = text.get(..span.start).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default().trim();
    if line.starts_with("//") || line.starts_with(';') {
        return "a comment begins with #".to_owned();
    }
    let why = error.message().trim().replace('\n', ", ");
    match split(line) {
        Some((name, "")) => format!("{name} has no value: a setting is written as in port = 9001"),
        Some((name, value)) if value.starts_with(TYPOGRAPHIC) => {
            let line = repaired(name, value.trim_matches(TYPOGRAPHIC));
            let advice = line.map(|line| format!(": write {line}")).unwrap_or_default();
            format!("“ and ” are typographic quotes, which are not valid TOML{advice}")
        }
        Some((name, value)) if let Some(line) = repaired(name, value) => {
            format!("this line is not valid TOML: write {line}")
        }
        _ => format!(
            "this is not valid TOML ({why}): a setting is written as in port = 9001 or host = \"localhost\""
        ),
    }
}

/// The name and the value of a line, which may have `:` or a space for `=`.
fn split(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start_matches("--");
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let is_end = |c: char| "=:".contains(c) || c.is_whitespace();
    let (name, rest) = line.split_at(line.find(|c| !is_name(c)).unwrap_or(line.len()));
    let value = rest.trim_start_matches(is_end).trim_end();
    let is_split = !name.is_empty() && (rest.is_empty() || rest.starts_with(is_end));
    let is_text = value.starts_with(['"', '\'']);
    let value = if is_text { value } else { value.split(" #").next().unwrap_or_default().trim_end() };
    is_split.then(|| (name, value.trim_end_matches([';', ','])))
}

/// The setting as TOML has it.
fn repaired(name: &str, value: &str) -> Option<String> {
    if value.starts_with(['[', '{']) {
        return None;
    }
    let row = row_of(name);
    let word = match &*value.to_lowercase() {
        "yes" | "on" | "true" if row.is_some_and(Row::is_switch) => "true",
        "no" | "off" | "false" if row.is_some_and(Row::is_switch) => "false",
        _ => value,
    };
    // A text in apostrophes keeps its backslashes.
    let [in_quotes, in_apostrophes] = [format!("\"{value}\""), format!("'{}'", value.trim_matches('"'))];
    let of = |value: &str| format!("{name} = {value}");
    let is_fine = |value: &&str| DeTable::parse(&of(value)).is_ok();
    let fitting = [word, &in_quotes, &in_apostrophes].into_iter().find(is_fine)?;
    // A value of unknown meaning may be a secret.
    let is_shown = row.is_some_and(|row| !row.is_secret);
    Some(of(if is_shown { fitting } else { "\"…\"" }))
}
