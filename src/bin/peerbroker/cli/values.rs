//! The kinds of values: how each is read and shown. An error says what is accepted.

use std::env;
use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use env_filter::Filter;
use ipnet::IpNet;
use peerbroker::is_of_machine;
use peerbroker_config::{AcmeName as HostName, Dialect, PeerRule, PipeLimits};
use peerbroker_core::vocabulary::ApiKey;
use peerbroker_keys::{Discovery, Origin};

use super::dialects::Choice;

/// Longest filter of the log, in bytes.
const MAX_FILTER: usize = 1000;

/// A number without bounds of its own.
pub const ANY: RangeInclusive<u64> = 0..=u64::MAX;

/// Reads and shows values of a type.
pub struct Kind<T> {
    /// The placeholder of a value in the help, which says the unit of a plain number.
    pub value_name: &'static str,
    pub choices: Vec<&'static str>,
    pub alone: Option<&'static str>,
    pub parse: Parse<T>,
    pub show: Show<T>,
}

type Parse<T> = Box<dyn Fn(&OsStr) -> Result<T, String> + Send + Sync>;
type Show<T> = Box<dyn Fn(&T) -> String + Send + Sync>;

/// The unit of a plain number, and the suffixes of other units: a name, and its multiple of the smallest one.
pub struct Unit {
    pub value_name: &'static str,
    /// The noun in errors.
    noun: &'static str,
    examples: &'static str,
    /// The plain number's multiple of the smallest one.
    size: u64,
    suffixes: &'static [(&'static str, u64)],
    /// The beginnings that a suffix may have.
    prefixes: &'static [(&'static str, u64)],
}

const DAY: u64 = 86_400_000;
#[rustfmt::skip]
const PREFIXES: &[(&str, u64)] = &[
    ("", 1), ("k", 1000), ("K", 1000), ("M", 1_000_000), ("G", 1_000_000_000), ("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30),
];
pub const COUNT: Unit = Unit {
    value_name: "N",
    noun: "a whole number",
    examples: "",
    size: 1,
    suffixes: &[],
    prefixes: &[("", 1)],
};
pub const MILLIS: Unit = Unit {
    value_name: "MS",
    noun: "milliseconds",
    examples: ", or a time with its unit, as in 500ms, 10s, 2m, 1h or 7d",
    suffixes: &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", DAY)],
    ..COUNT
};
pub const SECONDS: Unit = Unit { value_name: "S", noun: "seconds", size: 1000, ..MILLIS };
pub const DAYS: Unit = Unit { value_name: "DAYS", noun: "days", size: DAY, ..MILLIS };
pub const BYTES: Unit = Unit {
    value_name: "BYTES",
    noun: "bytes",
    examples: ", or a size with its unit, as in 64KiB, 2MiB or 1MB",
    suffixes: &[("B", 1)],
    prefixes: PREFIXES,
    ..COUNT
};
/// A rate. The smallest unit is a bit per second.
pub const BYTE_RATE: Unit = Unit {
    value_name: "BYTES/S",
    noun: "bytes per second",
    examples: ", or a rate with its unit, as in 10Mbit/s or 1MB/s",
    size: 8,
    suffixes: &[("bit/s", 1), ("B/s", 8)],
    ..BYTES
};

impl Unit {
    fn expected(&self, range: &RangeInclusive<u64>) -> String {
        let noun = self.noun;
        let examples = self.examples;
        let min = range.start();
        match *range.end() {
            u64::MAX => format!("expected {noun} of {min} or more{examples}"),
            max => format!("expected {noun} from {min} to {max}{examples}"),
        }
    }

    pub fn read(&self, text: &str) -> Option<u64> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let number: u64 = number.parse().ok()?;
        if suffix.is_empty() {
            return Some(number);
        }
        let (prefix, factor) = self.suffixes.iter().find_map(|(name, factor)| {
            suffix.trim_start().strip_suffix(name).map(|prefix| (prefix, factor))
        })?;
        let (_, times) = self.prefixes.iter().find(|(name, _)| *name == prefix)?;
        let smallest = number.checked_mul(factor * times)?;
        smallest.is_multiple_of(self.size).then(|| smallest / self.size)
    }
}

/// A number of this unit.
pub fn number<T: TryFrom<u64> + ToString + 'static>(
    unit: &'static Unit,
    range: RangeInclusive<u64>,
) -> Kind<T> {
    parsed(unit.value_name, move |text| {
        let number = unit.read(text).filter(|number| range.contains(number));
        number.and_then(|number| number.try_into().ok()).ok_or_else(|| unit.expected(&range))
    })
}

/// A time, whose plain number counts this unit.
pub fn time(unit: &'static Unit, range: RangeInclusive<u64>) -> Kind<Duration> {
    let Kind { parse, .. } = number::<u64>(unit, range);
    let parse = move |text: &str| {
        parse(text.as_ref()).map(|number| Duration::from_millis(number.saturating_mul(unit.size)))
    };
    kind(unit.value_name, parse, |time: &Duration| (time.as_millis() / u128::from(unit.size)).to_string())
}

pub fn kind<T: 'static, E: ToString>(
    value_name: &'static str,
    parse: impl Fn(&str) -> Result<T, E> + Send + Sync + 'static,
    show: impl Fn(&T) -> String + Send + Sync + 'static,
) -> Kind<T> {
    let parse = move |text: &OsStr| {
        let text = text.to_str().ok_or("expected UTF-8")?;
        parse(text).map_err(|why| why.to_string())
    };
    let parse = Box::new(parse);
    let show = Box::new(show);
    Kind { value_name, choices: Vec::new(), alone: None, parse, show }
}

/// A value that is shown as it is displayed.
pub fn parsed<T: ToString + 'static, E: ToString>(
    value_name: &'static str,
    parse: impl Fn(&str) -> Result<T, E> + Send + Sync + 'static,
) -> Kind<T> {
    kind(value_name, parse, T::to_string)
}

pub fn text(value_name: &'static str) -> Kind<String> {
    parsed(value_name, |text| Ok::<_, String>(text.to_owned()))
}

/// A text for which `is_fine` holds.
pub fn text_if(
    value_name: &'static str,
    is_fine: impl Fn(&str) -> bool + Send + Sync + 'static,
    expected: impl ToString,
) -> Kind<String> {
    let expected = format!("expected {}", expected.to_string());
    parsed(value_name, move |text| if is_fine(text) { Ok(text.to_owned()) } else { Err(expected.clone()) })
}

/// A value that is one of a few words.
pub fn choice<T: Clone + PartialEq + Send + Sync + 'static>(
    value_name: &'static str,
    all: impl IntoIterator<Item = (&'static str, T)>,
) -> Kind<T> {
    let all: Vec<(&str, T)> = all.into_iter().collect();
    let choices: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    let expected = match &*choices {
        [first @ .., last] => format!("expected {} or {last}", first.join(", ")),
        [] => String::new(),
    };
    let names = all.clone();
    let parse = move |text: &str| {
        let found = all.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| value.clone()).ok_or_else(|| expected.clone())
    };
    let show = move |value: &T| {
        names.iter().find(|(_, other)| other == value).map_or("", |(name, _)| name).to_owned()
    };
    Kind { choices, ..kind(value_name, parse, show) }
}

/// A protocol: alone, or with a sign that adds it to the defaults or takes it away.
pub fn dialect() -> Kind<Choice> {
    let Kind { value_name, choices, parse, show, .. } =
        choice("LIST", Dialect::ALL.map(|dialect| (dialect.label(), dialect)));
    let parse = move |text: &str| {
        let (choose, name): (fn(Dialect) -> Choice, &str) = match text.split_at_checked(1) {
            Some(("+", name)) => (Choice::Add, name),
            Some(("-", name)) => (Choice::Remove, name),
            _ => (Choice::Only, text),
        };
        if Dialect::LEFT_OUT.contains(&name) {
            return Err(format!(
                "this program was built without it: enable the feature `{name}` of peerbroker"
            ));
        }
        parse(name.as_ref()).map(choose)
    };
    let show = move |choice: &Choice| match choice {
        Choice::Only(dialect) | Choice::Add(dialect) | Choice::Remove(dialect) => show(dialect),
    };
    Kind { choices, ..kind(value_name, parse, show) }
}

/// A flag that may stand alone.
pub fn switch() -> Kind<bool> {
    Kind { alone: Some("true"), ..parsed("true|false", yes_or_no) }
}

/// The clients that find each other: a flag that may stand alone.
pub fn discovery() -> Kind<Discovery> {
    let all = [Discovery::All, Discovery::Off, Discovery::Near, Discovery::Pin];
    let words = choice("true|false|near|pin", all.map(|discovery| (discovery.label(), discovery)));
    let parse = move |text: &OsStr| {
        let is_on = text.to_str().and_then(|text| yes_or_no(text).ok());
        is_on.map_or_else(|| (words.parse)(text), |is_on| Ok(is_on.into()))
    };
    Kind { parse: Box::new(parse), alone: Some("true"), ..parsed(words.value_name, |_| Err(String::new())) }
}

/// A flag that turns off what its place turns on.
pub fn off_switch() -> Kind<bool> {
    let kind = kind("true|false", |text| yes_or_no(text).map(|is_off| !is_off), |is_on| (!is_on).to_string());
    Kind { alone: Some("true"), ..kind }
}

/// The placeholders of the names of files and directories.
pub const FILE: &str = "FILE";
pub const DIR: &str = "DIR";

/// True if a text where a path belongs may be a secret, so that no error shows it.
pub fn may_be_secret(text: &str, value_name: &str) -> bool {
    match value_name {
        FILE => is_content(text) || is_missing_token(text),
        DIR => is_content(text),
        _ => false,
    }
}

pub fn path(value_name: &'static str) -> Kind<PathBuf> {
    let parse = move |text: &OsStr| match text.is_empty() {
        true => Err("expected a path".to_owned()),
        false => check_path(text, value_name == FILE).map(|()| PathBuf::from(text)),
    };
    let show = |path: &PathBuf| path.display().to_string();
    Kind { parse: Box::new(parse), ..kind(value_name, |_| Err(String::new()), show) }
}

/// Fewest characters of a text that may be a token.
const MIN_TOKEN: usize = 16;

/// True if a text where a path belongs is surely the content of a file, such as PEM.
fn is_content(text: &str) -> bool {
    text.contains('\n') || text.contains("-----BEGIN")
}

/// True if a text where the name of a file belongs looks like a token, and no file has this name.
fn is_missing_token(text: &str) -> bool {
    let has = |is: fn(&u8) -> bool| text.bytes().any(|byte| is(&byte));
    text.len() >= MIN_TOKEN
        && !text.starts_with('/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte))
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_alphabetic)
        && !Path::new(text).exists()
}

/// The rest of a path that begins with `~`, which is a home directory in shells.
fn below_home(path: &str) -> Option<&str> {
    path.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Refuses texts that are not meant as paths. The reason does not show them.
pub fn check_path(text: &OsStr, is_file: bool) -> Result<(), String> {
    let lossy = text.to_string_lossy();
    if is_content(&lossy) {
        return Err("it has the text itself: it must name a file".to_owned());
    }
    if let Some(below) = below_home(&lossy) {
        let home = env::var("HOME").unwrap_or_else(|_| "/home/me".to_owned());
        return Err(format!("only shells expand ~: write the whole path, as in {home}{below}"));
    }
    if is_file && is_missing_token(&lossy) {
        return Err(
            "no file has this name. If it is the text itself, write that to a file and give its name"
                .to_owned(),
        );
    }
    Ok(())
}

pub fn port() -> Kind<u16> {
    parsed("PORT", |text| text.parse().map_err(|_| "expected a port from 0 to 65535"))
}

/// A number of pipes; `on` is the default.
pub fn pipes() -> Kind<usize> {
    let parse = |text: &str| match text {
        "on" => Ok(PipeLimits::default().total),
        "off" => Ok(0),
        _ => COUNT
            .read(text)
            .and_then(|total| total.try_into().ok())
            .ok_or("expected on, off or a whole number"),
    };
    kind("on|off|N", parse, |total| if *total == 0 { "off".to_owned() } else { total.to_string() })
}

pub fn api_key() -> Kind<ApiKey> {
    kind("KEY", key, |key| key.as_str().to_owned())
}

/// The format of all lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// A JSON object per line.
    Json,
}

/// An address of the relay or of the TURN server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaAddress {
    /// All addresses of this machine.
    All,
    At(IpAddr, Option<u16>),
}

/// Parses a filter of the log. The error names the expected syntax.
pub fn parse_filter(text: &str) -> Result<Filter, String> {
    let mut filter = env_filter::Builder::new();
    let directives = text.split('/').next().unwrap_or_default();
    let is_filter = !text.trim().is_empty()
        && text.len() <= MAX_FILTER
        && directives.split(',').all(is_directive)
        && filter.try_parse(text).is_ok();
    is_filter.then(|| filter.build()).ok_or_else(|| {
        "expected a level (error, warn, info, debug, trace or off), and levels of modules, as in \
         info,peerbroker_relay=debug"
            .to_owned()
    })
}

const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];

/// True if a word alone is a level or a module of this program. The library takes any other word for a
/// module, whose lines are then the whole log.
fn is_directive(text: &str) -> bool {
    let word = text.trim();
    let is_module = word.starts_with(CRATES) && !word.contains(char::is_whitespace);
    word.is_empty()
        || word.contains('=')
        || LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level))
        || is_module
}

/// The beginning of the names of this program's crates, by which the log names modules.
const CRATES: &str = "peerbroker";

/// True if a filter has levels of modules alone, and none is of this program: the log stays empty.
pub(super) fn silences_all(filter: &str) -> bool {
    let is_of_program = |word: &str| {
        let module = word.split('=').next().unwrap_or_default().trim();
        // The library compares the beginning.
        LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level))
            || CRATES.starts_with(module)
            || module
                .strip_prefix(CRATES)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::") || rest.starts_with('_'))
    };
    let words = filter.split('/').next().unwrap_or_default().split(',');
    let mut words = words.map(str::trim).filter(|word| !word.is_empty()).peekable();
    words.peek().is_some() && !words.any(is_of_program)
}

pub(super) fn key(text: &str) -> Result<ApiKey, String> {
    ApiKey::parse(text).map_err(|why| format!("{why}; a key has 1 to {} bytes", ApiKey::MAX_BYTES))
}

/// An origin in a list; `None` is the star. [`odd::origin`](super::odd::origin) has a say first.
pub(super) fn cors(text: &str) -> Result<Option<Origin>, String> {
    match text {
        "*" => Ok(None),
        _ => Ok(Some(Origin::parse(text).unwrap_or_else(|_| Origin::exact(text)))),
    }
}

/// A network in a list. An address is the network of it alone.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| address.into()));
    network.map_err(|_| "expected an address or a network, as in 192.0.2.7 or 10.0.0.0/8".to_owned())
}

/// A network whose addresses are peers of TURN, or with ! in front are not.
pub(super) fn peer_rule(text: &str) -> Result<PeerRule, String> {
    let denied = text.strip_prefix('!');
    Ok(PeerRule { network: network(denied.unwrap_or(text))?, allows: denied.is_none() })
}

pub(super) fn show_peer_rule(rule: &PeerRule) -> String {
    format!("{}{}", if rule.allows { "" } else { "!" }, rule.network)
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}

/// An address of the relay or of the TURN server. A flag that stands alone, and `true` in a file, mean all.
pub(super) fn media_address(text: &str) -> Result<MediaAddress, String> {
    if matches!(text, "all" | "auto" | "true") {
        return Ok(MediaAddress::All);
    }
    let text = text.strip_prefix("udp://").unwrap_or(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = text.parse().ok().map(|at: SocketAddr| (at.ip(), Some(at.port())));
    let at = with_port.or_else(|| bare.parse().ok().map(|ip| (ip, None)));
    let at = at.filter(|(ip, _)| ip.is_unspecified() || is_of_machine(*ip));
    at.map(|(ip, port)| MediaAddress::At(ip, port)).ok_or_else(|| {
        "expected an IP address with or without a port, as in 198.51.100.7:3478 or [2001:db8::7]:3478, or true for all addresses of \
         this machine"
            .to_owned()
    })
}

pub(super) fn show_media_address(address: &MediaAddress) -> String {
    match address {
        MediaAddress::All => "all".to_owned(),
        MediaAddress::At(ip, None) => ip.to_string(),
        MediaAddress::At(ip, Some(port)) => SocketAddr::new(*ip, *port).to_string(),
    }
}

/// The address of the relay and of the TURN server that clients are told.
pub(super) fn public_host(text: &str) -> Result<HostName, &'static str> {
    let host = HostName::parse(text.trim_end_matches('.')).ok();
    let is_fine = |host: &HostName| match host {
        HostName::Ip(ip) => is_of_machine(*ip),
        // The system takes it for an address in another notation.
        HostName::Host(name) => !ends_in_number(name),
    };
    host.filter(is_fine).ok_or(
        "expected the IP address of a machine or a host name without a port, as in 198.51.100.7 or broker.example.com",
    )
}

/// True for names such as `0x0` and `127.1`.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let (digits, radix) = last.strip_prefix("0x").map_or((last, 10), |hex| (hex, 16));
    digits.chars().all(|digit| digit.is_digit(radix))
}

/// The ports of relayed addresses.
pub(super) fn ports(text: &str) -> Result<RangeInclusive<u16>, &'static str> {
    let parsed = text.split_once('-').and_then(|(min, max)| Some(min.parse().ok()?..=max.parse().ok()?));
    parsed
        .filter(|ports: &RangeInclusive<u16>| *ports.start() >= 1024 && !ports.is_empty())
        .ok_or("expected two ports of 1024 or more, the lower one first, as in 50000-59999")
}

/// Longest name of a node, in bytes.
const MAX_NODE_NAME: usize = 100;

/// Similarity that a name needs to be suggested: clap's bound for flags, and the share of letters that stay.
/// The first alone finds a short name in every long one.
const ALIKE: f64 = 0.7;
const KEPT: f64 = 0.5;

pub fn is_some(text: &str) -> bool {
    !text.is_empty()
}

pub fn is_node_name(text: &str) -> bool {
    (1..=MAX_NODE_NAME).contains(&text.len()) && !text.chars().any(char::is_control)
}

pub fn is_acme_directory(text: &str) -> bool {
    let host = text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    host && text.chars().all(|c| c.is_ascii_graphic())
}

pub fn is_node_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let parts = rest.and_then(|rest| rest.split_once('/'));
    let is_plain = |text: &str| !text.contains(['?', '#', '@', ' ', ',']);
    parts.is_some_and(|(place, _)| is_place(place)) && text.ends_with('/') && is_plain(text)
}

pub fn is_stun_url(text: &str) -> bool {
    // Browsers refuse a STUN URL with a query (RFC 7064).
    matches!(text.split_once(':'), Some(("stun" | "stuns", place)) if is_place(place))
}

pub fn is_turn_url(text: &str) -> bool {
    let Some(("turn" | "turns", rest)) = text.split_once(':') else { return false };
    let (place, query) = rest.split_once('?').unwrap_or((rest, "transport=udp"));
    is_place(place) && matches!(query, "transport=udp" | "transport=tcp")
}

/// The host and the port of the URL of a STUN or TURN server.
pub fn place_of(url: &str) -> Option<(&str, u16)> {
    let (scheme, rest) = url.split_once(':')?;
    let (place, _) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, port) = host_and_port(place, if scheme.ends_with('s') { "5349" } else { "3478" });
    Some((host, port.parse().ok()?))
}

fn host_and_port<'a>(place: &'a str, default: &'a str) -> (&'a str, &'a str) {
    match place.rsplit_once(':') {
        Some(of_place) if !place.ends_with(']') => of_place,
        _ => (place, default),
    }
}

/// True for the flag or setting of a fixed user or password of a TURN server. `--turn_secret` is something
/// else.
pub fn is_fixed_login(name: &str) -> bool {
    let name = name.trim_start_matches('-').replace('-', "_").to_lowercase();
    matches!(
        name.strip_prefix("turn_"),
        Some("user" | "username" | "password" | "pass" | "credential" | "credentials")
    )
}

/// Advice about the login of a TURN provider.
pub const FIXED_LOGIN: &str = "this server makes a user and password for each client, of --turn_secret. Those of a provider belong \
    into the page, as in new Peer({ config: { iceServers: [{ urls, username, credential }] } })";

/// True for a host with or without a port (RFC 7065, section 3.1). IPv6 is in brackets.
fn is_place(text: &str) -> bool {
    let (host, port) = host_and_port(text, "3478");
    let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse().is_ok_and(|port: u16| port > 0);
    is_port && host.starts_with('[') == host.contains(':') && HostName::parse(host).is_ok()
}

/// The name that is surely meant, if there is one.
pub fn most_alike<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let is_kept = |known: &&str| strsim::normalized_damerau_levenshtein(known, name) >= KEPT;
    let rated = known.filter(is_kept).map(|known| (strsim::jaro(known, name), known));
    rated.filter(|(alike, _)| *alike > ALIKE).max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, known)| known)
}
