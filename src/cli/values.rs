//! The values of flags: their types and parsers. An error says what is accepted; clap prefixes it with the flag and the value.

use std::net::IpAddr;
use std::time::Duration;

use clap::ValueEnum;
use env_filter::Filter;
use ipnet::IpNet;
use peerbroker::Config;
use peerbroker::config::{Dialects, MountPath};
use peerbroker::keys::{IdStyle, Origin, RelayMode, check_name};
use peerbroker::wire::ApiKey;

/// About a year: longer times are surely mistakes.
const MAX_MILLIS: u64 = 31_536_000_000;

/// Longest file with a token, a secret or a public key: as long as the body of an API request.
pub(super) const MAX_SECRET_FILE_BYTES: u64 = 64 << 10;

/// Longest filter of the log, in bytes.
const MAX_FILTER: usize = 1000;

/// The format of all lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Which lines are logged, as `env_logger` reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(pub String);

/// A value of `--cors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cors {
    All,
    Origin(Origin),
}

/// A mount path, and how the user wrote it.
#[derive(Clone, Debug)]
pub(super) struct Path {
    pub(super) path: MountPath,
    pub(super) given: String,
}

/// Whether strangers may register keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RegistrationState {
    Open,
    Closed,
}

/// One of the dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Dialect {
    Peerjs,
    Rooms,
    Calls,
}

impl RegistrationState {
    pub(super) fn of(config: &Config) -> Self {
        if config.registration.open { RegistrationState::Open } else { RegistrationState::Closed }
    }
}

impl Dialect {
    /// As `--dialects` takes them.
    pub(super) fn list(Dialects { peerjs, rooms, calls }: Dialects) -> String {
        let all = [("peerjs", peerjs), ("rooms", rooms), ("calls", calls)];
        let spoken = all.into_iter().filter(|(_, spoken)| *spoken).map(|(name, _)| name);
        spoken.collect::<Vec<_>>().join(",")
    }
}

pub(super) fn log_filter(text: &str) -> Result<LogFilter, String> {
    parse_filter(text).map(|_| LogFilter(text.to_owned()))
}

/// Parses a filter of the log. The error says what is expected.
pub fn parse_filter(text: &str) -> Result<Filter, String> {
    let mut filter = env_filter::Builder::new();
    let is_filter = !text.trim().is_empty() && text.len() <= MAX_FILTER && filter.try_parse(text).is_ok();
    is_filter.then(|| filter.build()).ok_or_else(|| {
        "expected a level (error, warn, info, debug, trace or off), and levels of modules, as in \
         info,peerbroker::relay=debug"
            .to_owned()
    })
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "expected a port from 0 to 65535".to_owned())
}

pub(super) fn key(text: &str) -> Result<ApiKey, String> {
    ApiKey::parse(text).map_err(|why| format!("{why}; a key has 1 to {} bytes", ApiKey::MAX_BYTES))
}

/// The name of a key.
pub(super) fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned()).map_err(|why| why.to_string())
}

pub(super) fn origin(text: &str) -> Result<Origin, String> {
    Origin::parse(text).map_err(|why| why.to_string())
}

/// An origin in a list.
pub(super) fn cors(text: &str) -> Result<Cors, String> {
    if text == "*" {
        return Ok(Cors::All);
    }
    origin(text).map(Cors::Origin).map_err(|why| in_list(text, &why))
}

/// A network in a list. An address is the network of it alone.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse().or_else(|_| text.parse().map(|address: IpAddr| address.into()));
    network.map_err(|_| in_list(text, "expected an address or a network, as in 192.0.2.7 or 10.0.0.0/8"))
}

/// What is wrong with an entry of a list, whose separator is a space.
fn in_list(text: &str, why: &str) -> String {
    if text.contains(',') {
        format!("{why}; separate several by spaces, not by commas")
    } else {
        why.to_owned()
    }
}

pub(super) fn path(text: &str) -> Result<Path, String> {
    let path = MountPath::parse(text).map_err(|why| why.to_string())?;
    Ok(Path { path, given: text.to_owned() })
}

pub(super) fn id_style(text: &str) -> Result<IdStyle, String> {
    let style = IdStyle::ALL.into_iter().find(|style| style.name() == text);
    style.ok_or_else(|| "expected uuid, short or words".to_owned())
}

pub(super) fn relay_mode(text: &str) -> Result<RelayMode, String> {
    let mode = RelayMode::ALL.into_iter().find(|mode| mode.name() == text);
    mode.ok_or_else(|| "expected fallback, always or off".to_owned())
}

pub(super) fn millis(text: &str) -> Result<Duration, String> {
    let millis = text.parse().ok().filter(|millis| (1..=MAX_MILLIS).contains(millis));
    millis.map(Duration::from_millis).ok_or_else(|| format!("expected milliseconds from 1 to {MAX_MILLIS}"))
}

/// A time in the form that [`millis`] reads.
pub(super) fn in_millis(time: Duration) -> String {
    time.as_millis().to_string()
}

/// Like [`millis`], but 0 is allowed and turns the timeout off.
pub(super) fn millis_or_none(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { millis(text) }
}

pub(super) fn count<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| "expected a whole number of 0 or more".to_owned())
}

pub(super) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..) => Ok(number),
        _ => Err("expected a whole number of 1 or more".to_owned()),
    }
}

pub(super) fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 0..=1024) => Ok(number),
        _ => Err("expected a whole number from 0 to 1024".to_owned()),
    }
}

pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("expected true or false".to_owned()),
    }
}
