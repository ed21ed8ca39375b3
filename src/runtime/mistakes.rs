//! The mistakes of clients, with hints. A mistake is logged when it first happens, and then at most once a minute. Operators can
//! read those of the last hour later.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use crate::events::{ClientMistake, Event, Mistake, Notice, Refused, counted};
use crate::keys::Key;
use crate::wire::{ApiKey, PeerId, Refusal};

/// Interval at which the same mistake is logged, in milliseconds.
const INTERVAL: u64 = 60_000;

/// Different mistakes that are logged in an interval. The others are only counted, so memory and the log have a bound.
const MAX_MISTAKES: usize = 32;

/// Time for which a mistake is remembered after it was last made, in milliseconds.
const KEPT: u64 = 60 * 60 * 1000;

/// Most different mistakes that are remembered. Beyond that, the least recent one is forgotten.
const MAX_KEPT: usize = 64;

/// Longest text of a client in a line.
const MAX_SHOWN_CHARS: usize = 128;

/// Edits that make two keys look alike.
const MAX_EDITS: usize = 2;

/// The mistakes of the last hour.
#[derive(Default)]
pub(crate) struct Mistakes(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// By what the client did.
    known: HashMap<String, Known>,
    /// The number of mistakes that were not logged because there were too many different ones.
    others: u64,
    since: u64,
}

/// A mistake that was logged.
struct Known {
    /// The latest client, as the log names it; may be empty.
    who: String,
    hint: String,
    times: u64,
    /// The time at which it was last made.
    last: u64,
    /// The count since it was logged; `None` if it counts as new when it happens next.
    unlogged: Option<u64>,
}

/// A mistake that clients made within the last hour.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ShownMistake)]
pub(crate) struct RecentMistake {
    /// The client's mistake, to be read after "a client".
    #[schema(example = "asked for the key \"peerjss\"")]
    what: String,
    /// The probable cause, and a hint.
    #[schema(example = "did it mean \"peerjs\"?")]
    hint: String,
    /// The latest client: its id, its address and the origin of its page, as far as they are known.
    #[schema(example = "from 192.0.2.7, a page of \"https://game.example.org\"")]
    latest: String,
    /// Number of times it was made.
    times: u64,
    /// Seconds since it was last made.
    ago: u64,
}

/// One mistake in words.
struct Line<'a> {
    /// The request of the client, in words. Lines with the same text are counted together.
    what: String,
    /// Text that identifies the client in the log.
    who: String,
    /// The probable cause, and a hint. It may take a while, so it is computed only if the mistake is logged.
    hint: Box<dyn FnOnce() -> String + 'a>,
}

impl Mistakes {
    /// Logs the mistakes among these events. `keys` reads all keys.
    pub(super) fn log(&self, notices: &[Notice], now: u64, keys: impl Fn() -> Vec<Key>) {
        for event in notices.iter().filter_map(Notice::event) {
            let line = match event {
                Event::ClientMistake(mistake) => Some(line_of_mistake(mistake)),
                Event::Refused(refused) if !refused.is_doctor => line_of_refusal(refused, &keys),
                _ => None,
            };
            if let Some(line) = line {
                self.note(line, now);
            }
        }
    }

    fn note(&self, line: Line<'_>, now: u64) {
        self.text_of(line, now).into_iter().for_each(|text| log::info!("{text}"));
    }

    /// The text for the log, if it is due now.
    fn text_of(&self, Line { what, who, hint }: Line<'_>, now: u64) -> Option<String> {
        if !self.0.lock().is_new(&what, &who, now) {
            return None;
        }
        let hint = hint();
        let by = if who.is_empty() { String::new() } else { format!(" ({who})") };
        let text = format!("a client {what}{by}: {hint}");
        self.0.lock().note(what, who, hint, now);
        Some(text)
    }

    /// The mistakes of the last hour, the latest first.
    pub(crate) fn recent(&self, now: u64) -> Vec<RecentMistake> {
        let table = self.0.lock();
        let mut all: Vec<_> = table.known.iter().collect();
        all.sort_by_key(|(what, known)| (Reverse(known.last), *what));
        let shown = |(what, known): (&String, &Known)| RecentMistake {
            what: what.clone(),
            hint: known.hint.clone(),
            latest: known.who.clone(),
            times: known.times,
            ago: now.saturating_sub(known.last) / 1000,
        };
        all.into_iter().map(shown).collect()
    }

    /// Logs the mistakes that were repeated in the last minute.
    pub(super) fn sweep(&self, now: u64) {
        self.0.lock().sweep(now).into_iter().for_each(|text| log::info!("{text}"));
    }
}

impl Table {
    /// Counts a mistake, unless it is new and there is room for it.
    fn is_new(&mut self, what: &str, who: &str, now: u64) -> bool {
        let logged = self.logged();
        if logged == 0 {
            self.since = now;
        }
        let known = self.known.get_mut(what);
        if logged < MAX_MISTAKES && known.as_ref().is_none_or(|known| known.unlogged.is_none()) {
            return true;
        }
        let unlogged = known.and_then(|known| {
            (known.times, known.last) = (known.times + 1, now);
            who.clone_into(&mut known.who);
            known.unlogged.as_mut()
        });
        *unlogged.unwrap_or(&mut self.others) += 1;
        false
    }

    /// The number of different mistakes that were logged in this interval.
    fn logged(&self) -> usize {
        self.known.values().filter(|known| known.unlogged.is_some()).count()
    }

    /// Notes a mistake that was logged.
    fn note(&mut self, what: String, who: String, hint: String, now: u64) {
        let times = self.known.remove(&what).map_or(0, |known| known.times) + 1;
        let place = |(_, known): &(&String, &Known)| (known.unlogged.is_some(), known.last);
        if self.known.len() >= MAX_KEPT
            && let Some(oldest) = self.known.iter().min_by_key(place).map(|(what, _)| what.clone())
        {
            self.known.remove(&oldest);
        }
        self.known.insert(what, Known { who, hint, times, last: now, unlogged: Some(0) });
    }

    fn sweep(&mut self, now: u64) -> Vec<String> {
        self.known.retain(|_, known| now.saturating_sub(known.last) < KEPT);
        if now.saturating_sub(self.since) < INTERVAL {
            return Vec::new();
        }
        self.since = now;
        let mut texts = Vec::new();
        for (what, Known { unlogged, hint, .. }) in &mut self.known {
            // A mistake that was not repeated counts as new when it happens next.
            *unlogged = unlogged.filter(|times| *times > 0);
            if let Some(times) = unlogged.as_mut().map(std::mem::take) {
                let times = counted(times, "more time", "more times");
                texts.push(format!("in the last minute, {times} a client {what}: {hint}"));
            }
        }
        texts.sort();
        let others = std::mem::take(&mut self.others);
        if others > 0 {
            let others = counted(others, "other mistake of a client", "other mistakes of clients");
            texts.push(format!("not in the log of the last minute: {others}"));
        }
        texts
    }
}

fn line_of_mistake(ClientMistake { mistake, origin, address }: &ClientMistake) -> Line<'static> {
    let client = who(None, origin.as_deref(), *address);
    let mut who = client.join(", ");
    let (what, hint) = match mistake {
        Mistake::NotFound { method, path, hint: Some(hint), .. } => {
            (format!("asked for {path:?} ({method}), which is not here"), inside_line(hint))
        }
        Mistake::NotFound { method, path, mount, .. } if is_of_peerjs(path) => (
            format!("asked for {path:?} ({method}), which is not here"),
            format!("the path of this broker is {mount:?}: does the client pass another `path`?"),
        ),
        // Crawlers ask for anything, so these are one mistake.
        Mistake::NotFound { method, path, .. } => {
            who = client.into_iter().chain([format!("{method} {path:?}")]).collect::<Vec<_>>().join(", ");
            let hint = "harmless, unless you expected a file in --static_dir";
            ("asked for a path that is not here".to_owned(), hint.to_owned())
        }
        Mistake::NoWebSocket { path, served } => (
            format!("asked for a WebSocket at {path:?}, where there is none"),
            format!("the one of this broker is at {served:?}: does a proxy in front, or a dev server, change the path?"),
        ),
        Mistake::TokenRefused { key, id, why, hint } => {
            who = self::who(id.as_ref().map(PeerId::as_str), origin.as_deref(), *address).join(", ");
            (format!("has no valid token for the key {}: {why}", shown(key.as_str())), hint.clone())
        }
        Mistake::OddToken { key, id, what, hint } => {
            who = self::who(Some(id.as_str()), origin.as_deref(), *address).join(", ");
            (format!("has a token for the key {} {what}", shown(key.as_str())), hint.clone())
        }
        Mistake::CorsRefused => {
            who = self::who(None, None, *address).join(", ");
            let origin = origin.as_deref().map(shown).unwrap_or_default();
            (
                format!("may not read answers on pages of {origin}"),
                "add that origin to --cors. Without --cors, pages of all origins may read answers".to_owned(),
            )
        }
        Mistake::DiscoveryOff(key) => (
            format!("asked for the list of the peers of the key {}, which is off", shown(key.as_str())),
            "--allow_discovery turns it on for the built-in key, and `peerbroker keys set` with --allow_discovery for \
             a stored one"
                .to_owned(),
        ),
        Mistake::CutPath { path } => (
            format!("sent a request of PeerJS to {path:?}"),
            "it is served, but a proxy in front cuts the path: have it pass …/peerjs unchanged (logged once)".to_owned(),
        ),
        Mistake::UnusedMessage { action, similar, is_off } => {
            unused_message(action.as_deref(), *similar, *is_off)
        }
        Mistake::CertificateRefused => (
            "does not trust the certificate".to_owned(),
            "browsers trust one of a public authority, for the host name in the address: see TLS in the documentation"
                .to_owned(),
        ),
        Mistake::TlsOnPlainPort(port) => (
            format!("speaks TLS to the plain port {port}"),
            "`secure: true` or https:// without --sslkey and --sslcert?".to_owned(),
        ),
        Mistake::HttpOnTlsPort(port) => (
            format!("speaks plain HTTP to the TLS port {port}"),
            "http://, ws:// or `secure: false`, where it has to be https://, wss:// or `secure: true`?"
                .to_owned(),
        ),
    };
    Line { what, who, hint: Box::new(|| hint) }
}

/// A sentence after a colon.
fn inside_line(sentence: &str) -> String {
    let mut chars = sentence.trim_end_matches('.').chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn unused_message(action: Option<&str>, similar: Option<&str>, is_off: bool) -> (String, String) {
    let Some(action) = action else {
        return (
            "sent a message at the root that is not JSON with an \"action\"".to_owned(),
            "the root speaks the protocols of rooms and calls, and PeerJS clients connect to …/peerjs"
                .to_owned(),
        );
    };
    let hint = match similar {
        _ if is_off => "--dialects leaves its protocol out".to_owned(),
        Some(similar) if similar != action => format!("did it mean \"{similar}\"?"),
        _ => "rooms have no such action, and messages of calls need data.remoteId".to_owned(),
    };
    (format!("sent the action {} at the root, which does nothing", shown(action)), hint)
}

/// True if a path is one that PeerJS asks for, below a wrong path.
fn is_of_peerjs(path: &str) -> bool {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let is_script = matches!(last, "peerjs.js" | "peerjs.min.js" | "peerjs.mjs" | "rooms.js" | "rooms.mjs");
    is_script || matches!(last, "id" | "peers" | "peerjs")
}

/// The line for a refusal that is a mistake. `keys` reads all keys, which may take a while.
fn line_of_refusal<'a>(refused: &'a Refused, keys: impl FnOnce() -> Vec<Key> + 'a) -> Option<Line<'a>> {
    let Refused { reason, key, id, origin, address, .. } = refused;
    let id = id.as_ref().map(|id| id.as_str());
    let who = who(id, origin.as_deref(), *address).join(", ");
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
        Refusal::IdTaken => (
            format!("asked for the id {}, which another client of the key {shown_key} has", shown(id?)),
            "does the same page run twice?".to_owned(),
        ),
        Refusal::LimitReached => (
            format!("asked for the key {shown_key}, which has as many clients as it may"),
            "--concurrent_limit sets how many".to_owned(),
        ),
        Refusal::PeerJsOff => (
            "opened the WebSocket of PeerJS, which is off".to_owned(),
            "--dialects leaves PeerJS out".to_owned(),
        ),
        Refusal::Incomplete | Refusal::InvalidId(_) | Refusal::InvalidToken(_) | Refusal::MalformedKey(_) => {
            (format!("was refused: {}", refused.reason.text()), "is it a PeerJS client?".to_owned())
        }
        // The path, and what is wrong with a token, are in other events. The other refusals are not mistakes.
        Refusal::InvalidKey
        | Refusal::TokenRefused
        | Refusal::TokenExpired
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
        _ if keys.iter().any(|key| key.key.as_str() == asked && !key.settings.enabled) => {
            "that key is disabled".to_owned()
        }
        _ if enabled.contains(&asked) => {
            "that key became active a moment later, so the client may come again".to_owned()
        }
        ([], _) => "there is no active key: `peerbroker keys add` makes one".to_owned(),
        ([only], _) => format!("the key here is {}", shown(only)),
        (_, Some(near)) => format!("did it mean {}?", shown(near)),
        // PeerJS sends its default if the page passes no key.
        _ if asked == "peerjs" => {
            "does the page pass no `key`? `peerbroker keys list` shows the keys".to_owned()
        }
        _ => "`peerbroker keys list` shows the keys".to_owned(),
    }
}

/// The known parts of a client's identity, for people.
fn who(id: Option<&str>, origin: Option<&str>, address: Option<IpAddr>) -> Vec<String> {
    let id = id.map(|id| format!("id {}", shown(id)));
    let address = address.map(|address| format!("from {address}"));
    let origin = origin.map(|origin| format!("a page of {}", shown(origin)));
    [id, address, origin].into_iter().flatten().collect()
}

/// A text of a client, as `{:?}` writes it, cut to a readable length.
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

    fn line(what: &str) -> Line<'static> {
        let hint = Box::new(|| "do better".to_owned());
        Line { what: what.to_owned(), who: "from here".to_owned(), hint }
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
        assert_eq!(mistakes.0.lock().sweep(5 + INTERVAL - 1), [""; 0]);
        let repeated = ["in the last minute, 12 more times a client sang: do better"];
        assert_eq!(mistakes.0.lock().sweep(5 + INTERVAL), repeated);
        assert_eq!(mistakes.text_of(line("sang"), 6 + INTERVAL), None, "it goes on");
        assert!(mistakes.text_of(line("danced"), 6 + INTERVAL).is_some(), "it is new again");
        let repeated = ["in the last minute, 1 more time a client sang: do better"];
        assert_eq!(mistakes.0.lock().sweep(5 + 2 * INTERVAL), repeated);
        assert_eq!(mistakes.0.lock().sweep(5 + 3 * INTERVAL), [""; 0], "it has stopped");
        assert_eq!(mistakes.0.lock().logged(), 0);
    }

    #[test]
    fn many_different_mistakes_take_bounded_memory_and_lines() {
        let mistakes = Mistakes::default();
        let logged =
            (0..10_000).filter_map(|n| mistakes.text_of(line(&format!("made mistake {n}")), 0)).count();
        assert_eq!((logged, mistakes.0.lock().logged()), (MAX_MISTAKES, MAX_MISTAKES));
        let others = 10_000 - MAX_MISTAKES;
        let texts = mistakes.0.lock().sweep(INTERVAL);
        assert_eq!(texts, [format!("not in the log of the last minute: {others} other mistakes of clients")]);
        assert!(mistakes.text_of(line("sang"), INTERVAL).is_some(), "there is room again");
        assert!(shown(&"x".repeat(100_000)).len() < 200);
    }

    #[test]
    fn a_mistake_is_counted_and_forgotten_after_an_hour() {
        let mistakes = Mistakes::default();
        for (at, what) in ["sang", "danced", "sang"].into_iter().enumerate() {
            mistakes.note(line(what), at as u64);
        }
        let all = mistakes.recent(2000);
        assert_eq!((all[0].what.as_str(), all[0].times, all[0].latest.as_str()), ("sang", 2, "from here"));
        assert_eq!((all[1].what.as_str(), all[1].times, all[1].ago), ("danced", 1, 1));
        mistakes.sweep(KEPT + 1);
        assert_eq!(mistakes.recent(KEPT + 1).len(), 1);
    }

    #[test]
    fn many_mistakes_of_many_minutes_take_bounded_memory_and_the_latest_stay() {
        let mistakes = Mistakes::default();
        for n in 0..1000 {
            mistakes.note(line(&format!("made mistake {n}")), n * INTERVAL / 20);
            mistakes.sweep(n * INTERVAL / 20);
        }
        let all = mistakes.recent(0);
        assert_eq!((all.len(), all[0].what.as_str()), (MAX_KEPT, "made mistake 999"));
    }

    #[test]
    fn a_wrong_key_is_compared_with_active_ones() {
        let game = || vec![key("my-game", true), key("another-app", true), key("old", false)];
        assert_eq!(hint("peerjss", &[key("peerjs", true)]), r#"the key here is "peerjs""#);
        assert_eq!(hint("nothing alike", &[key("peerjs", true)]), r#"the key here is "peerjs""#);
        assert_eq!(hint("My-Gmae", &game()), r#"did it mean "my-game"?"#);
        assert_eq!(hint("old", &game()), "that key is disabled");
        assert!(hint("my-game", &game()).starts_with("that key became active a moment later"));
        assert!(hint("peerjs", &game()).starts_with("does the page pass no `key`?"));
        assert_eq!(hint("nothing alike", &game()), "`peerbroker keys list` shows the keys");
        assert!(hint("peerjs", &[]).starts_with("there is no active key"));
    }

    #[test]
    fn a_refusal_is_logged_with_key_id_address_and_origin() {
        let refused = |reason| Refused {
            reason,
            key: ApiKey::parse("peerjss").ok(),
            id: PeerId::parse("alice").ok(),
            origin: Some("http://localhost:3000".to_owned()),
            address: "192.0.2.7".parse().ok(),
            is_doctor: false,
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
                    | Refusal::TokenRefused
                    | Refusal::TokenExpired
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
            let mistake = Mistake::NotFound { method, path, mount, hint: None };
            line_of_mistake(&ClientMistake { mistake, origin: None, address: None }).what
        };
        assert_eq!(what("/peerjs/id"), "asked for \"/peerjs/id\" (GET), which is not here");
        assert_ne!(what("/x/peerjs"), what("/y/peerjs"));
        assert_eq!(what("/wp-login.php"), what("/.env"));
    }
}
