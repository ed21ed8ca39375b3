//! The table of mistakes. A row has the event that shows a mistake, the words after "a client" in the log and
//! on the dashboard, and a hint. A client that is told too gets the text of `vocabulary/endings.rs`, or of
//! `src/http/public/not_found.rs`.

use std::net::IpAddr;

use crate::runtime::KEYS_UNREAD;
use peerbroker_core::vocabulary::{Dialect, Foreign, Limit, RealmKind, Refusal};
use peerbroker_events::{Event, Mistake, PeerAddress};
use peerbroker_keys::Key;
use peerbroker_limits::address_text;
use peerbroker_media_api::TurnRefusal;
use peerbroker_protocols::{mistakes::turns_on, peerjs};

/// Edits that make two keys look alike.
const MAX_EDITS: usize = 2;

/// The hint about an address that is too busy.
const FLOOD: &str =
    "If it is no proxy of yours and no school, ban it: the dashboard has the busiest addresses";

/// The hint about an unknown key if the store fails.
const CANNOT_COMPARE: &str = "the stored keys cannot be read at the moment; the log says why";

/// A mistake in words.
pub(super) struct MistakeText<'a> {
    /// The request of the client. Lines with the same text are counted together.
    pub(super) what: String,
    /// Text that identifies the client in the log.
    pub(super) who: String,
    pub(super) address: Option<IpAddr>,
    /// The address does more than it may. `what` begins with it, for programs that ban addresses.
    pub(super) is_flood: bool,
    /// The probable cause, and a hint. It may take a while, so it is computed only if the mistake is logged.
    pub(super) hint: Box<dyn FnOnce() -> String + 'a>,
}

/// A mistake for the list of what happens, to be read after "a client". Unlike in the log, each path is one
/// of its own.
pub(crate) fn mistake_words(event: &Event) -> Option<String> {
    match event {
        Event::ClientMistake(sent) => match &sent.mistake {
            Mistake::NotFound { method, path, .. } => {
                Some(format!("asked for {} ({method}), which is not here", Foreign::new(path)))
            }
            _ => line(event, false, &|| None).map(|line| line.what),
        },
        _ => None,
    }
}

enum Seen<'a> {
    Sent(&'a Mistake),
    Refused(Refusal),
    Hit(Limit),
    /// Messages to this id are lost.
    Lost(&'a str),
}

/// The rows of what is no mistake, and of each mistake: how it is seen, its words, and its hint, both as
/// `format!` takes them.
macro_rules! table {
    ($seen:ident by $who:ident, $address:ident, $is_flood:ident: $none:pat => None; $($row:pat $(if $condition:expr)? => $what:tt $hint:tt;)*) => {
        match $seen {
            $($row $(if $condition)? => {
                Some(MistakeText {
                    what: format! $what, who: $who, address: $address, is_flood: $is_flood,
                    hint: Box::new(move || format! $hint),
                })
            })*
            $none => None,
        }
    };
}

/// True if an event may be one: of limits, those that an address reaches with connections or guesses, and
/// that of links, of which not every client is told.
pub(in crate::runtime) fn may_be_mistake(event: &Event) -> bool {
    use Limit::{ConnectionsPerAddress, LinkBytes, OpensPerSecond, WrongAdminTokens, WrongRoomCodes};
    match event {
        Event::ClientMistake(_) | Event::Refused(_) => true,
        Event::Expired { to, .. } => is_no_id(to),
        Event::LimitHit { limit, .. } => {
            matches!(
                limit,
                ConnectionsPerAddress | LinkBytes | OpensPerSecond | WrongAdminTokens | WrongRoomCodes
            )
        }
        _ => false,
    }
}

/// True if an id is what JavaScript writes for a missing value.
fn is_no_id(peer: &PeerAddress) -> bool {
    peer.realm == RealmKind::PeerJs && matches!(peer.id.as_str(), "undefined" | "null")
}

/// The mistake of an event, if it is one. `keys` reads all keys; with `awaits_keys`, that never worked.
pub(super) fn line<'a>(
    event: &'a Event,
    awaits_keys: bool,
    keys: &'a impl Fn() -> Option<KnownKeys>,
) -> Option<MistakeText<'a>> {
    use Limit::{ConnectionsPerAddress, LinkBytes, OpensPerSecond, WrongAdminTokens, WrongRoomCodes};
    use Mistake::*;
    use Refusal::*;
    use Seen::{Hit, Lost, Refused, Sent};
    let (seen, key, id, origin, address) = match event {
        Event::ClientMistake(sent) => {
            (Sent(&sent.mistake), "", sent.mistake.id(), &sent.origin, sent.address)
        }
        // A node without its cluster is no mistake, and has lines of its own.
        Event::Refused(refused) if refused.reason == Unavailable && !awaits_keys => return None,
        Event::Refused(refused) if !refused.is_doctor => {
            let key = refused.key.as_ref().map_or("", |key| key.as_str());
            (Refused(refused.reason), key, refused.id.as_ref(), &refused.origin, refused.address)
        }
        Event::LimitHit { limit, address, .. } => (Hit(*limit), "", None, &None, *address),
        Event::Expired { to, from } if is_no_id(to) => (Lost(to.id.as_str()), "", Some(from), &None, None),
        _ => return None,
    };
    // Only PeerJS has an option for the key.
    let is_keyless = matches!(event, Event::Refused(refused) if refused.realm != RealmKind::PeerJs);
    // The clients of an address are one.
    let size = if address.is_some_and(|address| address.to_canonical().is_ipv6()) { "/64" } else { "" };
    let counted = address_text(address) + size;
    let from = address.filter(|_| !matches!(seen, Hit(_))).map(|address| format!("from {address}"));
    let id = id.map(|id| format!("{id:?}")).unwrap_or_default();
    let page = origin.as_deref().map(|page| Foreign::new(page).to_string()).unwrap_or_default();
    // Crawlers ask for anything, so their requests are one mistake, and the client's text has the latest one.
    // That of `CorsRefused` lacks the page, which its words have.
    let (latest, of_page) = match seen {
        Sent(NotFound { method, path, hint: None, is_of_client: false, .. }) => {
            (format!("{method} {path:?}"), &*page)
        }
        Sent(CorsRefused) => (String::new(), ""),
        _ => (String::new(), &*page),
    };
    let parts = [("id ", &*id), ("", &from.unwrap_or_default()), ("a page of ", of_page), ("", &latest)];
    let parts = parts.into_iter().filter(|(_, text)| !text.is_empty());
    let who = parts.map(|(name, text)| format!("{name}{text}")).collect::<Vec<_>>().join(", ");
    let is_flood = matches!(seen, Hit(_));
    table! { seen by who, address, is_flood:
        // The path, and what is wrong with a token, are in other events. The other refusals are not mistakes.
        Hit(_) | Refused(Refusal::TokenRefused | TokenExpired | WrongPath | Elsewhere | Gone | Banned | Closing | TooManyPipes) => None;

        Sent(NotFound { .. }) if !latest.is_empty() =>
            ("asked for a path that is not here")
            ("harmless, unless you expected a file in --static_dir");
        Sent(NotFound { method, path, hint: Some(hint), .. }) =>
            ("asked for {path:?} ({method}), which is not here")
            ("{}", inside_line(hint));
        Sent(NotFound { method, path, mount, .. }) =>
            ("asked for {path:?} ({method}), which is not here")
            ("the path of this broker is {mount:?}: does the client pass another `path`?");
        Sent(NoWebSocket { path, hint }) =>
            ("asked for a WebSocket at {path:?}, where there is none")
            ("{}", inside_line(hint));
        Sent(CutPath { path }) =>
            ("sent a request of PeerJS to {path:?}")
            ("it is served, but a proxy in front cuts the path: have it pass …/peerjs unchanged. If no proxy does, \
              the page passes an empty `key` (logged once)");
        Refused(PeerJsOff) =>
            ("opened the WebSocket of PeerJS, which is off")
            ("{}", turns_on(Dialect::PeerJs));
        Refused(Incomplete) if id.is_empty() && key.is_empty() =>
            ("was refused: {}", Incomplete.text())
            ("it sends none of them, so it is no PeerJS client. y-webrtc and others connect to the root, RxDB to /rxdb");
        Refused(Incomplete) if key.is_empty() =>
            ("was refused for its empty key: {}", Incomplete.text())
            ("does the page pass an empty `key`?");
        Refused(reason @ (Incomplete | InvalidId(_) | InvalidToken(_) | MalformedKey(_))) =>
            ("was refused: {}", reason.text())
            ("is it a PeerJS client?");

        Refused(PipesOff) =>
            ("wanted a pipe for the key {key:?}, and pipes are off")
            ("--pipes on turns them on, and `peerbroker keys set` with --pipes for a stored key");
        Refused(reason @ (InvalidPipe | PipeTaken)) =>
            ("was refused: {}", reason.text())
            ("webrtc.js makes the ids of a pipe and of its ends: is it another program?");

        Refused(Unavailable) =>
            ("asked for the key {key:?} and was told to come back")
            ("{KEYS_UNREAD}");
        Refused(InvalidKey) if is_keyless && key.is_empty() =>
            ("sent no key")
            ("{}. The address of its WebSocket takes ?key=…, and --root_key is the key of clients that send none",
                keys().map_or_else(|| CANNOT_COMPARE.to_owned(), |keys| hint_for_key(key, &keys)));
        Refused(InvalidKey) if is_keyless =>
            ("asked for the key {key:?}, by ?key= in the address of its WebSocket")
            ("{}. --root_key is the key of clients that send none",
                keys().map_or_else(|| CANNOT_COMPARE.to_owned(), |keys| hint_for_key(key, &keys)));
        Refused(InvalidKey) =>
            ("asked for the key {key:?}")
            ("{}", keys().map_or_else(|| CANNOT_COMPARE.to_owned(), |keys| hint_for_key(key, &keys)));
        Refused(LimitReached) =>
            ("asked for the key {key:?}, which has as many clients as it may")
            ("--concurrent_limit sets how many");
        Refused(ForeignOrigin) if page.is_empty() =>
            ("may not use the key {key:?} without an Origin")
            ("`peerbroker keys set` with --allow_no_origin lets programs use a key");
        Refused(ForeignOrigin) =>
            ("may not use the key {key:?} from the origin {page}")
            ("`peerbroker keys set` with --origin sets the origins of a key");
        Sent(CorsRefused) =>
            ("may not read answers on pages of {page}")
            ("add that origin to --cors. Without --cors, pages of all origins may read answers");
        Sent(DiscoveryOff(key)) =>
            ("asked for the list of the peers of the key {key:?}, which is off")
            ("--allow_discovery turns it on for the built-in key, and `peerbroker keys set` with --allow_discovery for \
              a stored one");
        Refused(IdTaken) =>
            ("asked for the id {id}, which another client of the key {key:?} has")
            ("does the same page run twice?");
        Sent(DuplicatedTab { key, .. }) =>
            ("takes the id {id} of the key {key:?} from itself several times a minute")
            ("two pages use the id {id} and one token: a duplicated tab?");
        Sent(ManyIds(key)) =>
            ("asked for ids of the key {key:?} again and again, on one connection")
            ("does a component create a Peer at each render? Make it in an effect with []: React in \
              docs/TROUBLESHOOTING.md");
        Sent(Unverified { key, why, .. }) =>
            ("could not be verified for the key {key:?} and was told to come back: {why}")
            ("nothing is known against the client");
        Sent(Mistake::TokenRefused { key, why, hint, .. }) =>
            ("has no valid token for the key {key:?}: {why}")
            ("{hint}");
        Sent(OddToken { key, what, hint, .. }) =>
            ("has a token for the key {key:?} {what}")
            ("{hint}");

        Sent(InVain { what, hint, .. } | OddParameter { what, hint }) =>
            ("{what}")
            ("{hint}");

        Lost(id) =>
            ("sent messages to the id {id:?}, which nobody has")
            ("{}", peerjs::NO_ID);

        Hit(ConnectionsPerAddress) =>
            ("from {counted} wanted a connection, and has as many as an address may")
            ("--connections_per_address sets how many. {FLOOD}");
        Hit(OpensPerSecond) =>
            ("from {counted} wanted a connection, and opens them faster than an address may")
            ("--connections_per_address sets how fast, too. {FLOOD}");
        Hit(WrongRoomCodes) =>
            ("from {counted} guessed room codes")
            ("every code is wrong for it until it is slower. {FLOOD}");
        Hit(LinkBytes) =>
            ("from {counted} sent more to a room or topic than the link to another node takes")
            ("nobody got what was too much. Is Redis slow? Otherwise the client floods");
        Hit(WrongAdminTokens) =>
            ("from {counted} guessed tokens of the API")
            ("is it a program with an old token? If not, keep strangers away from --ops_port");

        Sent(TurnRefused { why: TurnRefusal::Credentials, .. }) =>
            ("asked for TURN with a wrong username or password")
            ("they are not made of this --turn_secret: do all nodes have it, and the homeserver (turn_shared_secret)? Without one, \
              each start makes another");
        Sent(TurnRefused { why: TurnRefusal::Expired, .. }) =>
            ("asked for TURN with credentials that have expired")
            ("a page keeps them for longer than --turn_ttl, a homeserver's user for longer than turn_user_lifetime, or a clock is wrong");
        Sent(TurnRefused { why: TurnRefusal::Key, key }) =>
            ("asked for TURN for the key {}, which may not use it", Foreign::new(key))
            ("there is no such active key, its --ice_servers is off, or the address is banned. Users of other servers need --root_key");
        Sent(TurnRefused { why: TurnRefusal::KeyQuota, key }) =>
            ("wanted more TURN allocations than the key {} may have", Foreign::new(key))
            ("half of --relay_calls, or relay_calls_per_key of the key, says how many");
        Sent(TurnRefused { why: TurnRefusal::AddressQuota, .. }) =>
            ("wanted more TURN allocations than an address may have")
            ("that is a fortieth of --relay_calls");
        Sent(TurnRefused { .. }) =>
            ("wanted more TURN allocations than this server has")
            ("half of --relay_calls says how many");

        Sent(CertificateRefused) =>
            ("does not trust the certificate")
            ("browsers trust one of a public authority, for the host name in the address: see TLS in the documentation");
        Sent(ProxyProtocol(port)) =>
            ("speaks the PROXY protocol to the port {port}, which the broker does not take from there")
            ("use --proxy_protocol, with the address of the proxy in --trusted_proxy, or take send-proxy out of the proxy");
        Sent(TlsOnPlainPort { port, of_proxy: true }) =>
            ("speaks TLS to the plain port {port}, at the address of a proxy")
            ("have the proxy speak plain HTTP to this server (nginx: proxy_pass http://…), or give --sslkey and --sslcert");
        Sent(HttpOnTlsPort { port, of_proxy: true }) =>
            ("speaks plain HTTP to the TLS port {port}, at the address of a proxy")
            ("have the proxy speak HTTPS to this server (nginx: proxy_pass https://…), or leave --sslkey and --sslcert out");
        Sent(TlsOnPlainPort { port, .. }) =>
            ("speaks TLS to the plain port {port}")
            ("`secure: true` or https:// without --sslkey and --sslcert?");
        Sent(HttpOnTlsPort { port, .. }) =>
            ("speaks plain HTTP to the TLS port {port}")
            ("http://, ws:// or `secure: false`, where it has to be https://, wss:// or `secure: true`?");
    }
}

/// The keys with which a wrong one is compared.
pub(in crate::runtime) struct KnownKeys {
    pub(in crate::runtime) keys: Vec<Key>,
    /// Other nodes of the cluster have stored keys of their own.
    pub(in crate::runtime) are_of_one_node: bool,
}

/// A sentence after a colon.
fn inside_line(sentence: &str) -> String {
    let mut chars = sentence.trim_end_matches('.').chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn hint_for_key(asked: &str, KnownKeys { keys, are_of_one_node }: &KnownKeys) -> String {
    let hint = nearest(asked, keys);
    if *are_of_one_node {
        return format!(
            "{hint}. The stored keys of other nodes are not known here: --keys redis keeps keys for all"
        );
    }
    hint
}

fn nearest(asked: &str, keys: &[Key]) -> String {
    let enabled: Vec<&str> =
        keys.iter().filter(|key| key.settings.enabled).map(|key| key.key.as_str()).collect();
    let edits = |key: &&&str| strsim::osa_distance(&key.to_lowercase(), &asked.to_lowercase());
    let near = enabled.iter().min_by_key(edits).filter(|key| edits(key) <= MAX_EDITS);
    let hint = match (enabled.as_slice(), near) {
        _ if keys.iter().any(|key| key.key.as_str() == asked && !key.settings.enabled) => {
            "that key is disabled"
        }
        _ if enabled.contains(&asked) => {
            "that key became active a moment later, so the client may come again"
        }
        ([], _) => "there is no active key: `peerbroker keys add` makes one",
        ([only], _) => return format!("the key here is {only:?}"),
        (_, Some(near)) => return format!("did it mean {near:?}?"),
        // PeerJS sends its default if the page passes no key.
        _ if asked == "peerjs" => "does the page pass no `key`? `peerbroker keys list` shows the keys",
        _ => "`peerbroker keys list` shows the keys",
    };
    hint.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerbroker_core::vocabulary::ApiKey;
    use peerbroker_keys::Settings;

    #[test]
    fn a_wrong_key_is_compared_with_active_ones() {
        let key = |text, enabled| {
            Key::new(ApiKey::parse(text).ok(), "", Settings { enabled, ..Settings::default() })
        };
        let one = [key("peerjs", true)];
        let game = [("my-game", true), ("another-app", true), ("old", false)];
        let game = game.map(|(text, enabled)| key(text, enabled));
        for (asked, keys, hint) in [
            ("peerjss", &one[..], r#"the key here is "peerjs""#),
            ("nothing alike", &one, r#"the key here is "peerjs""#),
            ("My-Gmae", &game, r#"did it mean "my-game"?"#),
            ("old", &game, "that key is disabled"),
            ("my-game", &game, "that key became active a moment later"),
            ("peerjs", &game, "does the page pass no `key`?"),
            ("nothing alike", &game, "`peerbroker keys list` shows the keys"),
            ("peerjs", &[], "there is no active key"),
        ] {
            assert!(nearest(asked, keys).starts_with(hint), "{asked}: {}", nearest(asked, keys));
        }
    }
}
