//! Prints keys, never their secrets.

use jiff::Timestamp;

use peerbroker::{ClientOptions, lan_address};
use peerbroker_config::{DEFAULT_PORT, MountPath};
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::{Auth, JwtKey, Key, KeyToken, Origin};

use crate::cli::KeySettings;
use crate::console::printable;

/// The key alone on the first line, for scripts, then the code for a client.
pub(super) fn added(Key { key, .. }: &Key) -> String {
    // This command does not know where the server listens. This machine's address on the LAN is right for a
    // first test.
    let host = lan_address().map_or_else(|| "localhost".to_owned(), |address| address.to_string());
    let client = ClientOptions::new(host, DEFAULT_PORT, &MountPath::default(), key, false);
    let note = "replace host, port and path by those of your server, which prints them when it starts";
    format!("{}\n\n  // {note}\n  new Peer({client})\n", name_of(key))
}

pub(super) fn name_of(key: &ApiKey) -> String {
    printable(key.as_str())
}

pub(super) fn json(keys: &[Key]) -> serde_json::Result<String> {
    let keys = keys.iter().map(Key::public_json).collect::<serde_json::Result<Vec<_>>>()?;
    Ok(serde_json::to_string_pretty(&keys)? + "\n")
}

pub(super) fn json_of_one(key: &Key) -> serde_json::Result<String> {
    Ok(serde_json::to_string_pretty(&key.public_json()?)? + "\n")
}

/// The headings of the table.
const HEADINGS: [&str; 7] = ["KEY", "NAME", "STATE", "AUTH", "ORIGINS", "CREATED", "LAST USED"];

/// A table with one line for each key, or a few lines for each key if the table is wider than the terminal.
pub(super) fn list(keys: &[Key], terminal: Option<usize>) -> String {
    if keys.is_empty() {
        return "There are no keys.\n".to_owned();
    }
    let table = columns([HEADINGS.map(str::to_owned)].into_iter().chain(keys.iter().map(cells)));
    let width = table.lines().map(|line| line.chars().count()).max();
    if terminal.is_none() || width <= terminal {
        return table;
    }
    let block = |key: &Key| labelled(HEADINGS.into_iter().zip(cells(key)));
    keys.iter().map(block).collect::<Vec<_>>().join("\n")
}

/// A table, whose cells have the width of their column.
fn columns<const N: usize>(lines: impl Iterator<Item = [String; N]>) -> String {
    let lines = Vec::from_iter(lines);
    let widths = lines.iter().fold([0; N], |mut widths, line| {
        widths.iter_mut().zip(line).for_each(|(width, cell)| *width = cell.chars().count().max(*width));
        widths
    });
    let padded = |line: &[String; N]| {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(padded).collect()
}

fn cells(key: &Key) -> [String; 7] {
    let settings = &key.settings;
    let auth = match &settings.auth {
        Auth::None => "none",
        Auth::Jwt { .. } => "jwt",
        Auth::Webhook { .. } => "webhook",
    };
    let origins = match settings.origins.as_slice() {
        [] => "any".to_owned(),
        [one] => one.to_string(),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    };
    let name = if key.name.is_empty() { "-".to_owned() } else { printable(&key.name) };
    let used = key.used.map_or_else(|| "never".to_owned(), date);
    [name_of(&key.key), name, state(key).to_owned(), auth.to_owned(), origins, date(key.created), used]
}

/// A line for each token.
pub(super) fn tokens(tokens: &[KeyToken]) -> String {
    if tokens.is_empty() {
        return "The key has no tokens.\n".to_owned();
    }
    let line = |token: &KeyToken| {
        let scopes = token.scopes.iter().map(|scope| scope.label()).collect::<Vec<_>>().join(" ");
        format!("{}  {}  {scopes}\n", date(token.created), printable(&token.name))
    };
    tokens.iter().map(line).collect()
}

/// All settings of one key, except its secret.
pub(super) fn details(key: &Key) -> String {
    let settings = &key.settings;
    let origins = match settings.origins.as_slice() {
        [] => "any".to_owned(),
        origins => {
            let others = settings.allow_no_origin.then_some("and clients without an Origin");
            origins.iter().map(Origin::as_str).chain(others).collect::<Vec<_>>().join("\n")
        }
    };
    let auth = match &settings.auth {
        Auth::None => "none".to_owned(),
        Auth::Jwt { verify: JwtKey::Secret(_) } => "jwt, HS256 with a secret (not shown)".to_owned(),
        Auth::Jwt { verify: JwtKey::Pem(_) } => "jwt, with a public key in PEM".to_owned(),
        Auth::Jwt { verify: JwtKey::Jwks(path) } => format!("jwt, with the key set {}", path.display()),
        Auth::Webhook { url } => format!("webhook, {}", printable(url)),
    };
    let webhook = match settings.webhook.url.as_str() {
        "" => "none".to_owned(),
        url if settings.webhook.messages => printable(url) + ", with messages of clients",
        url => printable(url),
    };
    let head = [
        ("Key", name_of(&key.key)),
        ("Name", printable(&key.name)),
        ("State", state(key).to_owned()),
        ("Created", date(key.created)),
        ("Last used", key.used.map_or_else(|| "never".to_owned(), date)),
        ("Made by", if key.registered { "registration" } else { "the operator" }.to_owned()),
        ("Origins", origins),
        ("Auth", auth),
    ];
    labelled(head.into_iter().chain(KeySettings::shown(settings)).chain([("Webhook", webhook)]))
}

/// A line for each value, in two columns. Further lines of a value are below its first one.
fn labelled(values: impl Iterator<Item = (&'static str, String)>) -> String {
    columns(values.flat_map(|(label, value)| {
        let labels = std::iter::once(label).chain(std::iter::repeat(""));
        // A value without text has a line, too.
        labels
            .zip(value.split('\n'))
            .map(|(label, line)| [label, line].map(str::to_owned))
            .collect::<Vec<_>>()
    }))
}

fn state(key: &Key) -> &'static str {
    if key.settings.enabled { "enabled" } else { "disabled" }
}

/// The date in UTC, like that of the log.
fn date(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "?".to_owned(), |time| time.strftime("%Y-%m-%d %H:%MZ").to_string())
}

#[cfg(test)]
mod tests {
    use peerbroker_keys::Settings;

    use super::*;

    #[test]
    fn a_list_that_is_wider_than_the_terminal_has_a_line_for_each_value() {
        let settings = Settings {
            origins: vec![Origin::parse("https://game.example.org").unwrap()],
            ..Settings::default()
        };
        let keys = [
            Key::new(None, "My game of the year", settings),
            Key::new(ApiKey::parse("k").ok(), "", Settings::default()),
        ];
        let is_table = |text: &str| text.starts_with("KEY  ") && text.lines().count() == 3;
        assert!(is_table(&list(&keys, None)) && is_table(&list(&keys, Some(200))));
        let text = list(&keys, Some(80));
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(
            text.contains("ORIGINS    https://game.example.org\n") && text.contains("\n\nKEY        k\n"),
            "{text}"
        );
    }
}
