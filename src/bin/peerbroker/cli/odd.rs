//! Odd values of the flags of peerjs-server. It starts with them, so this program starts too, and warns. Variables of our own and
//! the configuration file have no such past: there they are errors.

use peerbroker::Config;
use peerbroker::config::MountPath;
use peerbroker::keys::{InvalidOrigin, Origin};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::values::{COUNT, MILLIS, Unit};

/// A value that makes no sense.
pub struct Odd {
    /// The value in its place.
    pub taken: String,
    /// The rest of a sentence that begins with the value.
    pub why: String,
}

fn odd(taken: impl ToString, why: impl Into<String>) -> Option<Odd> {
    Some(Odd { taken: taken.to_string(), why: why.into() })
}

/// A text that no browser sends as an origin. It is compared as it is.
pub fn origin(text: &str) -> Option<Odd> {
    let why = Origin::parse(text).err().filter(|_| text != "*")?;
    odd(
        text,
        format!("lets no page read answers, because no browser sends it as an origin: {}", advice(text, why)),
    )
}

fn advice(text: &str, why: InvalidOrigin) -> String {
    let of_page = |text: &str| {
        let scheme = if text.starts_with("localhost") || text.starts_with("127.") { "http" } else { "https" };
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("{scheme}://{text}") };
        let is_host = text.contains(['.', ':']) || text == "localhost";
        Origin::parse(&with_scheme).or_else(|_| Origin::of_page(&with_scheme)).ok().filter(|_| is_host)
    };
    let parts: Vec<&str> = text.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let origins: Option<Vec<Origin>> = parts.into_iter().map(of_page).collect();
    match origins.as_deref() {
        Some([one]) => format!("write {one}"),
        Some(several @ [_, ..]) => {
            let several: Vec<&str> = several.iter().map(Origin::as_str).collect();
            format!("separate several by spaces, not by commas: write {}", several.join(" "))
        }
        _ => why.to_string(),
    }
}

/// A path with characters that URLs encode.
pub fn path(text: &str) -> Option<Odd> {
    MountPath::parse(text).err()?;
    let in_url = |c: char| {
        let c = c.to_string();
        if MountPath::parse(&c).is_ok() { c } else { utf8_percent_encode(&c, NON_ALPHANUMERIC).to_string() }
    };
    let encoded: String = text.chars().map(in_url).collect();
    let why = format!("has characters that a URL cannot have: clients need path: '{encoded}'");
    odd(encoded, why)
}

/// An empty host.
pub fn host(text: &str) -> Option<Odd> {
    if text.is_empty() { odd("::", "is empty, so the server listens on all addresses") } else { None }
}

/// An empty key.
pub fn key(text: &str) -> Option<Odd> {
    let default = Config::default().key;
    if text.is_empty() { odd(default.as_str(), format!("is empty, so the key is {default}")) } else { None }
}

/// A number that JavaScript reads, as in `1e4`, and one with letters behind it, as in `9000abc`, which it reads from a variable.
pub fn port(text: &str) -> Option<Odd> {
    text.parse::<u16>().err()?;
    let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
    let taken: u16 = match number(text) {
        Some(number) => number.to_string().parse().ok()?,
        None => digits.parse().ok()?,
    };
    let why = format!("is taken as {taken}: write that");
    odd(taken, why)
}

/// A word for true or false, or neither.
pub fn switch(text: &str) -> Option<Odd> {
    match &*text.to_lowercase() {
        "true" | "false" | "1" | "0" => None,
        "yes" | "on" | "y" => odd(true, "is taken as true: write that"),
        "no" | "off" | "n" => odd(false, "is taken as false: write that"),
        _ => odd(false, "is neither true nor false, so the flag is off: write one of them"),
    }
}

/// A time that is no number of 1 or more.
pub fn expiry(text: &str) -> Option<Odd> {
    time(text, "messages for absent peers expire at once", 5000)
}

/// A time that is no number of 1 or more.
pub fn silence(text: &str) -> Option<Odd> {
    time(text, "every client is closed at once", 60_000)
}

fn time(text: &str, at_once: &str, default: u64) -> Option<Odd> {
    if is_fine(&MILLIS, text, 1) {
        return None;
    }
    match number(text) {
        Some(number) if number >= 1.0 => rounded(number),
        Some(_) => odd(1, format!("is less than a millisecond: {at_once}. Leave the flag out for {default}")),
        None => {
            odd(default, format!("is no time, so the default of {default} is active: write a time as in 10s"))
        }
    }
}

/// A number of clients that is no whole number.
pub fn count(text: &str) -> Option<Odd> {
    if is_fine(&COUNT, text, 0) {
        return None;
    }
    match number(text) {
        Some(number) if number > 0.0 => rounded(number),
        Some(_) => odd(0, "is less than 0, which counts as 0"),
        None => odd(u64::MAX, "is no number, so there is no limit: write a whole number"),
    }
}

fn is_fine(unit: &Unit, text: &str, least: u64) -> bool {
    unit.read(text).is_some_and(|number| number >= least)
}

fn rounded(number: f64) -> Option<Odd> {
    let taken = number.ceil().min(1e10);
    odd(taken, format!("is taken as {taken}: write a whole number"))
}

/// The number that JavaScript makes of a text that is not empty.
fn number(text: &str) -> Option<f64> {
    let number: f64 = text.trim().parse().ok()?;
    Some(number).filter(|number| number.is_finite())
}
