//! Advice about the mistakes of clients: here all protocols are asked.

use std::borrow::Cow;

use super::advice::{Advice, NamedBy};
use super::json;
use super::{calls, matchbox, peerjs, room_codes, rxdb, topics, tracker};
use peerbroker_config::Dialects;
use peerbroker_core::vocabulary::{Address, Dialect, Foreign, RealmKind};

/// A message that has no effect, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InVain {
    /// The words after "a client".
    pub what: String,
    /// The probable cause, or what to do.
    pub hint: String,
    /// The text for the client, if its command differs from a known one only in small and capital letters.
    /// Other messages get no answer, because clients may send messages of their own.
    pub told: Option<String>,
}

/// Most edits between a misspelt command and the right one.
const MAX_EDITS: usize = 2;

/// Longest command that is compared with others.
const MAX_COMPARED: usize = 32;

/// Bytes of a message that are read for its command, so that a long one costs little.
const MAX_READ: usize = 512;

/// The words of a protocol.
pub const fn advice(dialect: Dialect) -> &'static Advice {
    match dialect {
        Dialect::PeerJs => &peerjs::ADVICE,
        Dialect::RoomCodes => &room_codes::ADVICE,
        Dialect::Calls => &calls::ADVICE,
        Dialect::Topics => &topics::ADVICE,
        #[cfg(feature = "nostr")]
        Dialect::Nostr => &super::nostr::ADVICE,
        Dialect::RxDb => &rxdb::ADVICE,
        Dialect::Tracker => &tracker::ADVICE,
        Dialect::Matchbox => &matchbox::ADVICE,
    }
}

/// The flag that turns a protocol on.
pub fn turns_on(dialect: Dialect) -> String {
    format!("--dialects +{} turns the protocol of {} on", dialect.label(), clients(&[dialect]))
}

/// The addresses of the protocols that are on, below a mount path with a slash at its end.
pub fn addresses(dialects: Dialects, mount: &str) -> String {
    let mut places: Vec<(Address, Vec<Dialect>)> = Vec::new();
    for dialect in Dialect::ALL.into_iter().filter(|dialect| dialects.has(*dialect)) {
        match places.iter_mut().find(|(address, _)| *address == dialect.address()) {
            Some((_, those)) => those.push(dialect),
            None => places.push((dialect.address(), vec![dialect])),
        }
    }
    places.sort_by_key(|(address, _)| *address != Address::Root);
    let places =
        places.iter().map(|(address, those)| format!("{} at {}", clients(those), place(*address, mount)));
    places.collect::<Vec<_>>().join("; ")
}

/// The address of a protocol below a mount path with a slash at its end.
pub fn place(address: Address, mount: &str) -> String {
    match address {
        Address::Root => mount.to_owned(),
        Address::Segment(segment) => format!("{mount}{segment}"),
        Address::Room(segment) => format!("{mount}{segment}/ROOM"),
    }
}

/// The clients of protocols, as a list.
fn clients(dialects: &[Dialect]) -> String {
    let mut all: Vec<&str> = Vec::new();
    for client in dialects.iter().flat_map(|dialect| advice(*dialect).clients) {
        if !all.contains(client) {
            all.push(client);
        }
    }
    match all.as_slice() {
        [first @ .., other, last] => {
            let first: String = first.iter().map(|client| format!("{client}, ")).collect();
            format!("{first}{other} and {last}")
        }
        all => all.concat(),
    }
}

/// A message of a client of a realm that has no effect.
pub fn in_vain(realm: RealmKind, dialects: Dialects, text: &str) -> InVain {
    let of_realm = Dialect::ALL.into_iter().find(|dialect| dialect.realm() == realm);
    let address = of_realm.map_or(Address::Root, Dialect::address);
    let at = match address {
        Address::Root => "the root".to_owned(),
        _ => place(address, "…/"),
    };
    let found = command_of(text);
    let (by, command) = match &found {
        Found::Command(by, command) => (*by, Foreign::new(command)),
        Found::Nameless => {
            let what = format!("sent a message at {at} that does nothing");
            return nameless(what, "it names no command", dialects);
        }
        Found::TooLong => {
            let what = format!("sent a message at {at} that does nothing");
            return InVain {
                what,
                hint: format!("it has more than {} members", json::MAX_MEMBERS),
                told: None,
            };
        }
        Found::NoJson => {
            let what = format!("sent a text that is no JSON object to {at}, which does nothing");
            return nameless(what, &beginning(text), dialects);
        }
    };
    let noun = match by {
        NamedBy::Member(member) => member,
        NamedBy::FirstOfList | NamedBy::OnlyMember => "message",
    };
    let what = format!("sent the {noun} {command} at {at}, which does nothing");
    let is_here = |dialect: &Dialect| dialect.address() == address;
    let similar = similar(by, command, |dialect| is_here(dialect) && dialects.has(*dialect));
    let told =
        similar.filter(|known| known.eq_ignore_ascii_case(command.as_str()) && *known != command.as_str());
    let told = told.map(|known| format!("unknown {noun} {command}: did you mean \"{known}\"?"));
    InVain { what, hint: hint(address, dialects, by, command, text), told }
}

/// A message without a command. `why` is the first sentence of its hint.
fn nameless(what: String, why: &str, dialects: Dialects) -> InVain {
    let hint = format!("{why}. This broker speaks the protocols of {}", addresses(dialects, "…/"));
    InVain { what, hint, told: None }
}

/// The beginning of a text that is no JSON object, or what it shows.
fn beginning(text: &str) -> String {
    match text {
        "" => "it is empty, or binary".to_owned(),
        _ if text.starts_with("[object ") => {
            "the page sends an object without JSON.stringify: send JSON.stringify(message)".to_owned()
        }
        _ if is_mqtt(text.as_bytes()) => MQTT.to_owned(),
        _ => format!("it begins with {}", Foreign::new(text)),
    }
}

/// The advice for clients that speak MQTT.
pub const MQTT: &str = "it speaks MQTT, which this broker does not. Of the strategies of Trystero, use ws-relay, Nostr or torrent";

/// The shortest beginning of MQTT's first packet.
const CONNECT: &str = "\u{10}\0\0\u{4}MQTT";

/// True if a message is the first packet of MQTT, CONNECT: after its type and a length of up to four bytes
/// comes the name of the protocol (MQTT 3.1.1, sections 2.2 and 3.1).
fn is_mqtt(message: &[u8]) -> bool {
    let Some((0x10, rest)) = message.split_first() else { return false };
    let more = rest.iter().take(3).take_while(|byte| **byte >= 0x80).count();
    let name = rest.get(more + 1..).unwrap_or_default();
    name.starts_with(b"\0\x04MQTT") || name.starts_with(b"\0\x06MQIsdp")
}

/// The text of a binary message. One that is not UTF-8 has none, except for the beginning of MQTT, which is
/// recognized by it.
pub fn text_of(message: &[u8]) -> &str {
    let other = if is_mqtt(message) { CONNECT } else { "" };
    std::str::from_utf8(message).unwrap_or(other)
}

/// The mistake of a client at the root whose first message is a ping, in words and with advice. RxDB waits
/// there for a greeting.
pub fn lost_ping(dialects: Dialects) -> (String, String) {
    let mut hint = format!("the address of RxDB is {}", place(Dialect::RxDb.address(), "…/"));
    if !dialects.has(Dialect::RxDb) {
        hint += &format!(", and {}", turns_on(Dialect::RxDb));
    }
    ("sent only a ping at the root".to_owned(), hint)
}

fn hint(address: Address, dialects: Dialects, by: NamedBy, command: Foreign<'_>, text: &str) -> String {
    let is_here = |dialect: &Dialect| dialect.address() == address;
    let is_on = |dialect: &Dialect| dialects.has(*dialect);
    let has = |dialect: &Dialect| advice(*dialect).has(command.as_str());
    let is_named = |dialect: &Dialect| advice(*dialect).named_by == by;
    let find = |wanted: &dyn Fn(&Dialect) -> bool| Dialect::ALL.into_iter().find(|dialect| wanted(dialect));
    if let Some(dialect) =
        find(&|dialect| is_here(dialect) && is_on(dialect) && is_named(dialect) && has(dialect))
    {
        return (advice(dialect).lacks)(command, text);
    }
    if let Some(dialect) = find(&|dialect| is_here(dialect) && is_named(dialect) && has(dialect)) {
        return turns_on(dialect);
    }
    if let Some(dialect) = find(&|dialect| is_named(dialect) && has(dialect)) {
        let mut hint = format!("it is one of {}, at {}", clients(&[dialect]), place(dialect.address(), "…/"));
        if !is_on(&dialect) {
            hint += &format!(". {}", turns_on(dialect));
        }
        let elsewhere = advice(dialect).elsewhere;
        if address == Address::Root && !elsewhere.is_empty() {
            hint += &format!(". {elsewhere}");
        }
        return hint;
    }
    if let Some(dialect) = find(&|dialect| is_here(dialect) && is_on(dialect) && has(dialect))
        && let NamedBy::Member(member) = advice(dialect).named_by
    {
        return format!("write it as the {member}: {{\"{member}\":{command}}}");
    }
    if let Some(known) = similar(by, command, |dialect| is_here(dialect) && is_on(dialect)) {
        return format!("did it mean \"{known}\"?");
    }
    let mut hint = format!("this broker speaks the protocols of {}", addresses(dialects, "…/"));
    for dialect in
        Dialect::ALL.iter().filter(|dialect| is_here(dialect) && is_on(dialect) && is_named(dialect))
    {
        let meaning = advice(*dialect).other_commands;
        if !meaning.is_empty() {
            hint += &format!(". {meaning}");
        }
    }
    hint
}

/// The part of a message that is its command.
enum Found<'t> {
    /// The command, and the place that names it.
    Command(NamedBy, Cow<'t, str>),
    /// A message that names no command.
    Nameless,
    /// A message with more members than are read.
    TooLong,
    /// A message that is neither an object nor a list.
    NoJson,
}

/// The members that name commands. The first one counts, if a message has both.
const COMMANDS: [&str; 2] = ["action", "type"];

/// The command of a message.
fn command_of(text: &str) -> Found<'_> {
    let head = text.get(..text.floor_char_boundary(MAX_READ)).unwrap_or(text);
    if head.trim_start().starts_with('[') {
        if head.len() == text.len() && json::read(head, |reader| reader.list()).is_none() {
            return Found::NoJson;
        }
        // A command has no comma.
        let first = head.trim_start().get(1..).and_then(|rest| rest.split([',', ']']).next());
        let command = first.and_then(|first| json::string(first.trim()));
        return command.map_or(Found::Nameless, |command| Found::Command(NamedBy::FirstOfList, command));
    }
    let mut named = [None; COMMANDS.len()];
    let mut names = Vec::new();
    let is_read = json::read(head, |reader| {
        reader.object(json::MAX_MEMBERS + 1, 0, |reader, name| {
            names.push(name.written());
            let value = reader.value()?;
            if let Some(named) = name.index_in(&COMMANDS).and_then(|index| named.get_mut(index)) {
                *named = Some(value);
            }
            Some(())
        })
    });
    let is_cut = head.len() < text.len() && head.trim_start().starts_with('{');
    if is_read.is_none() && !is_cut {
        return Found::NoJson;
    }
    if names.len() > json::MAX_MEMBERS {
        return Found::TooLong;
    }
    for (member, value) in COMMANDS.into_iter().zip(named) {
        if let Some(command) = value.and_then(json::string) {
            return Found::Command(NamedBy::Member(member), command);
        }
    }
    match names.as_slice() {
        [only] => {
            json::string(only).map_or(Found::Nameless, |only| Found::Command(NamedBy::OnlyMember, only))
        }
        _ => Found::Nameless,
    }
}

/// The most similar command of these protocols, if any is.
fn similar(by: NamedBy, command: Foreign<'_>, is_meant: impl Fn(&Dialect) -> bool) -> Option<&'static str> {
    let command = command.as_str();
    if command.len() > MAX_COMPARED {
        return None;
    }
    let all = Dialect::ALL.into_iter().filter(is_meant).map(advice).filter(|advice| advice.named_by == by);
    let command = command.to_lowercase();
    let edits = |known: &&str| strsim::osa_distance(&known.to_lowercase(), &command);
    // A comparison costs far more.
    let length = command.chars().count();
    let is_near = |known: &&str| known.len().abs_diff(length) <= MAX_EDITS;
    let commands = all.flat_map(|advice| advice.commands()).filter(is_near);
    commands.min_by_key(edits).filter(|known| edits(known) <= MAX_EDITS)
}

#[cfg(test)]
mod tests;
