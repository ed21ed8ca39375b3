//! Parsers of flag values. An error says what is accepted; clap prefixes it with the flag and the value.

use std::time::Duration;

use peerbroker::broker::ApiKey;
use peerbroker::keys::{Origin, check_name};

/// About a year: longer times are surely mistakes.
const MAX_MILLIS: u64 = 31_536_000_000;

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

pub(super) fn millis(text: &str) -> Result<Duration, String> {
    let millis = text.parse().ok().filter(|millis| (1..=MAX_MILLIS).contains(millis));
    millis.map(Duration::from_millis).ok_or_else(|| format!("expected milliseconds from 1 to {MAX_MILLIS}"))
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
