//! The log of clients' mistakes, with hints. A mistake is logged when it first happens, and then at most once a minute.

mod recent;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::events::{ClientMistake, Event, Events, Mistake, Notice, Refused};
use crate::keys::Key;
use crate::wire::{ApiKey, Refusal};
use recent::Recent;

pub(crate) use recent::RecentMistake;

/// How often the same mistake is logged, in milliseconds.
const INTERVAL: u64 = 60_000;

/// Different mistakes that are logged in an interval. The others are only counted, so memory and the log have a bound.
const MAX_MISTAKES: usize = 32;

/// Longest text of a client in a line.
const MAX_SHOWN_CHARS: usize = 128;

/// Edits that make two keys look alike.
const MAX_EDITS: usize = 2;

/// The mistakes of the last minute.
#[derive(Default)]
pub(super) struct Mistakes(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// How often each was made since it was logged, and its hint, by what the client did.
    known: HashMap<String, (u64, String)>,
    /// How many were not logged because there were too many different ones.
    others: u64,
    since: u64,
    recent: Recent,
}

/// One mistake in words.
struct Line<'a> {
    /// The request of the client, in words. Lines with the same text are counted together.
    what: String,
    /// What tells this client from others.
    who: String,
    /// The probable cause, and a hint. It may take a while, so it is only asked for if the mistake is logged.
    hint: Box<dyn FnOnce() -> String + 'a>,
}

/// Logs mistakes until the broker is gone. `keys` reads all keys.
pub(super) fn start(
    events: &Events,
    mistakes: &Arc<Mistakes>,
    clock: Clock,
    keys: impl Fn() -> Vec<Key> + Send + 'static,
) -> io::Result<()> {
    let mistakes = Arc::clone(mistakes);
    events.follow("mistakes", move |notices| {
        for notice in notices {
            let Notice::Event(event) = notice else { continue };
            let line = match &**event {
                Event::ClientMistake(mistake) => Some(line_of_mistake(mistake)),
                Event::Refused(refused) => line_of_refusal(refused, &keys),
                _ => None,
            };
            if let Some(line) = line {
                mistakes.note(line, clock.now());
            }
        }
    })
}

impl Mistakes {
    fn note(&self, line: Line<'_>, now: u64) {
        self.text_of(line, now).into_iter().for_each(|text| log::info!("{text}"));
    }

    /// The text for the log, if it is due now.
    fn text_of(&self, Line { what, who, hint }: Line<'_>, now: u64) -> Option<String> {
        {
            let mut table = self.table();
            if !table.is_new(&what, now) {
                table.recent.repeat(&what, &who, now);
                return None;
            }
        }
        let hint = hint();
        let text = format!("a client {what}{who}: {hint}");
        let mut table = self.table();
        table.recent.note(&what, &who, &hint, now);
        table.known.insert(what, (0, hint));
        Some(text)
    }

    /// The mistakes of the last hour, the latest first.
    pub(super) fn recent(&self) -> Vec<RecentMistake> {
        self.table().recent.list()
    }

    /// Logs what was repeated in the last minute.
    pub(super) fn sweep(&self, now: u64) {
        self.table().sweep(now).into_iter().for_each(|text| log::info!("{text}"));
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Counts a mistake, unless it is new and there is room for it.
    fn is_new(&mut self, what: &str, now: u64) -> bool {
        if self.known.is_empty() {
            self.since = now;
        }
        let is_full = self.known.len() >= MAX_MISTAKES;
        match self.known.get_mut(what) {
            Some((times, _)) => *times += 1,
            None if is_full => self.others += 1,
            None => return true,
        }
        false
    }

    fn sweep(&mut self, now: u64) -> Vec<String> {
        self.recent.sweep(now);
        if now.saturating_sub(self.since) < INTERVAL {
            return Vec::new();
        }
        self.since = now;
        // What was not repeated is new again when it happens next.
        self.known.retain(|_, (times, _)| *times > 0);
        let mut texts: Vec<String> = self
            .known
            .iter_mut()
            .map(|(what, (times, hint))| {
                let times = std::mem::take(times);
                format!("in the last minute, {times} more times a client {what}: {hint}")
            })
            .collect();
        texts.sort();
        let others = std::mem::take(&mut self.others);
        if others > 0 {
            texts.push(format!("{others} other mistakes of clients in the last minute are not in the log"));
        }
        texts
    }
}

fn line_of_mistake(ClientMistake { mistake, origin, address }: &ClientMistake) -> Line<'static> {
    let who = who(None, origin.as_deref(), address.map(|address| address.to_string()));
    let (what, who, hint) = match mistake {
        Mistake::NotFound { method, path, mount } if is_of_peerjs(path) => (
            format!("asked for {path:?} ({method}), which is not here"),
            who,
            format!("the path of this broker is {mount:?}: does the client pass another `path`?"),
        ),
        // Crawlers ask for anything, so these are one mistake.
        Mistake::NotFound { method, path, .. } => (
            "asked for a path that is not here".to_owned(),
            format!("{who}, {method} {path:?}"),
            "nothing to do, unless this should be a file of --static_dir".to_owned(),
        ),
        Mistake::TlsOnPlainPort(port) => (
            format!("speaks TLS to the plain port {port}"),
            who,
            "`secure: true` or https:// without --sslkey and --sslcert?".to_owned(),
        ),
        Mistake::HttpOnTlsPort(port) => (
            format!("speaks plain HTTP to the TLS port {port}"),
            who,
            "http://, ws:// or `secure: false`, where it has to be https://, wss:// or `secure: true`?"
                .to_owned(),
        ),
    };
    Line { what, who, hint: Box::new(|| hint) }
}

/// Whether a path is one that PeerJS asks for, below a wrong path.
fn is_of_peerjs(path: &str) -> bool {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    matches!(last, "id" | "peers" | "peerjs" | "peerjs.js" | "peerjs.min.js" | "peerjs.mjs")
}

/// The line for a refusal that is somebody's mistake. `keys` reads all keys, which may take a while.
fn line_of_refusal<'a>(refused: &'a Refused, keys: impl FnOnce() -> Vec<Key> + 'a) -> Option<Line<'a>> {
    let Refused { reason, key, id, origin, address } = refused;
    let id = id.as_ref().map(|id| id.as_str());
    let who = who(id, origin.as_deref(), address.map(|address| address.to_string()));
    let shown_key = key.as_ref().map(|key| shown(key.as_str())).unwrap_or_default();
    if *reason == Refusal::InvalidKey {
        let (what, key) = (format!("asked for the key {shown_key}"), key.as_ref()?);
        return Some(Line { what, who, hint: Box::new(move || hint_for_key(key, &keys())) });
    }
    let (what, hint) = match reason {
        Refusal::ForeignOrigin => match origin {
            Some(origin) => (
                format!("may not use the key {shown_key} from the origin {}", shown(origin)),
                "`peerbroker keys set` with --origin sets the origins of a key".to_owned(),
            ),
            None => (
                format!("may not use the key {shown_key} without an Origin"),
                "`peerbroker keys set` with --allow_no_origin lets programs use a key".to_owned(),
            ),
        },
        Refusal::TokenRefused => (
            format!("has no valid token for its id and the key {shown_key}"),
            "the key asks for verified identities; RUST_LOG=peerbroker=debug says what is wrong".to_owned(),
        ),
        Refusal::IdTaken => (
            format!("asked for the id {}, which another client of the key {shown_key} has", shown(id?)),
            "does the same page run twice?".to_owned(),
        ),
        Refusal::LimitReached => (
            format!("asked for the key {shown_key}, which has as many clients as it may"),
            "--concurrent_limit sets how many".to_owned(),
        ),
        Refusal::Incomplete | Refusal::InvalidId(_) | Refusal::InvalidToken(_) | Refusal::MalformedKey(_) => {
            (format!("was refused: {}", refused.reason.text()), "is it a PeerJS client?".to_owned())
        }
        // The path is in another event. The others are nobody's mistake.
        Refusal::InvalidKey
        | Refusal::WrongPath
        | Refusal::Elsewhere
        | Refusal::Gone
        | Refusal::Unavailable
        | Refusal::Closing => return None,
    };
    Some(Line { what, who, hint: Box::new(|| hint) })
}

fn hint_for_key(asked: &ApiKey, keys: &[Key]) -> String {
    let enabled: Vec<&str> =
        keys.iter().filter(|key| key.settings.enabled).map(|key| key.key.as_str()).collect();
    let asked = asked.as_str();
    let edits = |key: &&&str| strsim::osa_distance(&key.to_lowercase(), &asked.to_lowercase());
    let near = enabled.iter().min_by_key(edits).filter(|key| edits(key) <= MAX_EDITS);
    match (enabled.as_slice(), near) {
        _ if keys.iter().any(|key| key.key.as_str() == asked) => "that key is disabled".to_owned(),
        ([], _) => "no key is in force: `peerbroker keys add` makes one".to_owned(),
        ([only], _) => format!("the key here is {}", shown(only)),
        (_, Some(near)) => format!("did it mean {}?", shown(near)),
        // PeerJS sends its default if the page passes no key.
        _ if asked == "peerjs" => {
            "does the page pass no `key`? `peerbroker keys list` shows the keys".to_owned()
        }
        _ => "`peerbroker keys list` shows the keys".to_owned(),
    }
}

fn who(id: Option<&str>, origin: Option<&str>, address: Option<String>) -> String {
    let id = id.map(|id| format!("id {}", shown(id)));
    let address = address.map(|address| format!("from {address}"));
    let origin = origin.map(|origin| format!("a page of {}", shown(origin)));
    let parts: Vec<String> = [id, address, origin].into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// A text of a client, as `{:?}` writes it and not longer than a line can bear.
fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Settings;
    use crate::wire::PeerId;

    fn line(what: &str) -> Line<'static> {
        let hint = Box::new(|| "do better".to_owned());
        Line { what: what.to_owned(), who: " (from here)".to_owned(), hint }
    }

    fn key(text: &str, enabled: bool) -> Key {
        Key::new(ApiKey::parse(text).ok(), "", Settings { enabled, ..Settings::default() })
    }

    fn hint(asked: &str, keys: &[Key]) -> String {
        hint_for_key(&ApiKey::parse(asked).unwrap(), keys)
    }

    #[test]
    fn a_mistake_is_logged_at_once_and_its_repetitions_once_a_minute() {
        let mistakes = Mistakes::default();
        let first = mistakes.text_of(line("sang"), 5).unwrap();
        assert_eq!(first, "a client sang (from here): do better");
        for _ in 0..12 {
            assert_eq!(mistakes.text_of(line("sang"), 6), None);
        }
        assert!(mistakes.text_of(line("danced"), 7).is_some(), "another mistake is logged at once");
        assert_eq!(mistakes.table().sweep(5 + INTERVAL - 1), [""; 0]);
        let repeated = ["in the last minute, 12 more times a client sang: do better"];
        assert_eq!(mistakes.table().sweep(5 + INTERVAL), repeated);
        assert_eq!(mistakes.text_of(line("sang"), 6 + INTERVAL), None, "it goes on");
        assert!(mistakes.text_of(line("danced"), 6 + INTERVAL).is_some(), "it is new again");
        assert_eq!(mistakes.table().sweep(5 + 2 * INTERVAL).len(), 1);
        assert_eq!(mistakes.table().sweep(5 + 3 * INTERVAL), [""; 0], "it has stopped");
        assert!(mistakes.table().known.is_empty());
    }

    #[test]
    fn many_different_mistakes_take_bounded_memory_and_lines() {
        let mistakes = Mistakes::default();
        let logged =
            (0..10_000).filter_map(|n| mistakes.text_of(line(&format!("made mistake {n}")), 0)).count();
        assert_eq!((logged, mistakes.table().known.len()), (MAX_MISTAKES, MAX_MISTAKES));
        let others = 10_000 - MAX_MISTAKES;
        let texts = mistakes.table().sweep(INTERVAL);
        assert_eq!(
            texts,
            [format!("{others} other mistakes of clients in the last minute are not in the log")]
        );
        assert!(mistakes.text_of(line("sang"), INTERVAL).is_some(), "there is room again");
        assert!(shown(&"x".repeat(100_000)).len() < 200);
    }

    #[test]
    fn a_wrong_key_is_compared_with_those_in_force() {
        let game = || vec![key("my-game", true), key("another-app", true), key("old", false)];
        assert_eq!(hint("peerjss", &[key("peerjs", true)]), r#"the key here is "peerjs""#);
        assert_eq!(hint("nothing alike", &[key("peerjs", true)]), r#"the key here is "peerjs""#);
        assert_eq!(hint("My-Gmae", &game()), r#"did it mean "my-game"?"#);
        assert_eq!(hint("old", &game()), "that key is disabled");
        assert!(hint("peerjs", &game()).starts_with("does the page pass no `key`?"));
        assert_eq!(hint("nothing alike", &game()), "`peerbroker keys list` shows the keys");
        assert!(hint("peerjs", &[]).starts_with("no key is in force"));
    }

    #[test]
    fn a_refusal_is_logged_with_key_id_address_and_origin() {
        let refused = |reason| Refused {
            reason,
            key: ApiKey::parse("peerjss").ok(),
            id: PeerId::parse("alice").ok(),
            origin: Some("http://localhost:3000".to_owned()),
            address: "192.0.2.7".parse().ok(),
        };
        let text = |reason| {
            let refused = refused(reason);
            let line = line_of_refusal(&refused, || vec![key("peerjs", true)])?;
            Mistakes::default().text_of(line, 0)
        };
        assert_eq!(
            text(Refusal::InvalidKey).unwrap(),
            "a client asked for the key \"peerjss\" (id \"alice\", from 192.0.2.7, a page of \
             \"http://localhost:3000\"): the key here is \"peerjs\""
        );
        for reason in Refusal::ALL {
            let is_mistake = !matches!(
                reason,
                Refusal::WrongPath
                    | Refusal::Elsewhere
                    | Refusal::Gone
                    | Refusal::Closing
                    | Refusal::Unavailable
            );
            assert_eq!(text(reason).is_some(), is_mistake, "{reason:?}");
        }
    }

    #[test]
    fn only_paths_of_peerjs_are_told_apart() {
        let what = |path: &str| {
            let (method, path, mount) = ("GET".to_owned(), path.to_owned(), "/app".to_owned());
            let mistake = Mistake::NotFound { method, path, mount };
            line_of_mistake(&ClientMistake { mistake, origin: None, address: None }).what
        };
        assert_eq!(what("/peerjs/id"), "asked for \"/peerjs/id\" (GET), which is not here");
        assert_ne!(what("/x/peerjs"), what("/y/peerjs"));
        assert_eq!(what("/wp-login.php"), what("/.env"));
    }
}
