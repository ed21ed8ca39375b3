//! Odd values of the flags of peerjs-server. It starts with them, so this program starts too, and warns.
//! Variables of our own and the configuration file have no such past: there they are errors.

use peerbroker::Config;
use peerbroker_config::MountPath;
use peerbroker_keys::Origin;
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

/// Quotes that people and programs put around texts.
const QUOTES: &[char] = &['"', '\'', '`'];
pub const TYPOGRAPHIC: &[char] = &['“', '”', '„', '‟', '‘', '’', '‚', '‛', '«', '»'];

/// The rest of a sentence that begins with a text, if the text has quotes of its own.
pub fn quotes(text: &str) -> Option<String> {
    let inner = |quotes: &[char]| {
        let inner = text.strip_prefix(quotes)?.strip_suffix(quotes)?;
        Some(if inner.is_empty() { "leave it out".to_owned() } else { format!("write {inner}") })
    };
    let straight = |advice| format!("has quotes of its own, as `docker --env-file` keeps them: {advice}");
    let typographic = |advice| format!("has typographic quotes of its own: {advice}");
    inner(QUOTES).map(straight).or_else(|| inner(TYPOGRAPHIC).map(typographic))
}

/// A text that no browser sends as an origin. It is compared as it is.
pub fn origin(text: &str) -> Option<Odd> {
    let why = Origin::parse(text).err().filter(|_| text != "*")?;
    let of_page = |text: &str| {
        let scheme = if text.starts_with("localhost") || text.starts_with("127.") { "http" } else { "https" };
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("{scheme}://{text}") };
        let origin = Origin::parse(&with_scheme).or_else(|_| Origin::of_page(&with_scheme)).ok()?;
        (text.contains(['.', ':']) || text == "localhost").then(|| origin.to_string())
    };
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let advice = match parts.map(of_page).collect::<Option<Vec<String>>>().as_deref() {
        Some([one]) => format!("write {one}"),
        Some(all @ [_, ..]) => format!("separate several by spaces, not by commas: write {}", all.join(" ")),
        _ => why.to_string(),
    };
    odd(text, format!("lets no page read answers, because no browser sends it as an origin: {advice}"))
}

/// A URL, or a path with characters that URLs encode.
pub fn path(text: &str) -> Option<Odd> {
    if let Some((_, rest)) = text.split_once("://") {
        let path = rest.find('/').map_or("/", |at| &rest[at..]);
        if MountPath::parse(path).is_ok() {
            return odd(path, format!("is a URL, of which only the path is taken: write {path}"));
        }
    }
    if let Some(path) = of_git_bash(text) {
        let instead = match path.trim_start_matches('/') {
            "" => "leave --path out".to_owned(),
            word => format!("write --path {word}"),
        };
        let why = format!("is a file, because Git Bash makes that of {path}, which is taken: {instead}");
        return odd(path, why);
    }
    MountPath::parse(text).err()?;
    let in_url = |c: char| {
        let c = c.to_string();
        if MountPath::parse(&c).is_ok() { c } else { utf8_percent_encode(&c, NON_ALPHANUMERIC).to_string() }
    };
    let encoded: String = text.chars().map(in_url).collect();
    odd(&encoded, format!("has characters that a URL cannot have: clients need path: '{encoded}'"))
}

/// The path in an argument that Git Bash or MSYS2 took for a file below its own directory.
fn of_git_bash(text: &str) -> Option<&str> {
    let at =
        ["/Git/", "/msys64/", "/msys32/"].iter().find_map(|dir| Some(text.find(dir)? + dir.len() - 1))?;
    let is_file = text.get(1..3) == Some(":/") && text.starts_with(|c: char| c.is_ascii_alphabetic());
    text.get(at..).filter(|path| is_file && MountPath::parse(path).is_ok())
}

/// An empty host.
pub fn host(text: &str) -> Option<Odd> {
    text.is_empty().then(|| odd("::", "is empty, so the server listens on all addresses"))?
}

/// An empty key.
pub fn key(text: &str) -> Option<Odd> {
    let key = Config::default().key;
    let default = key.as_str();
    text.is_empty().then(|| odd(default, format!("is empty, so the key is {default}")))?
}

/// A number that JavaScript reads, as in `1e4`, and one with letters behind it, as in `9000abc`, which it
/// reads from a variable.
pub fn port(text: &str) -> Option<Odd> {
    text.parse::<u16>().err()?;
    let number = number(text).map(|number| number.to_string());
    let digits = || text.split(|c: char| !c.is_ascii_digit()).next().map(str::to_owned);
    let taken: u16 = number.or_else(digits)?.parse().ok()?;
    odd(taken, format!("is taken as {taken}: write that"))
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

/// A word for true or false, `near` or `pin`, or none of them.
pub fn discovery(text: &str) -> Option<Odd> {
    let meant = |word: &&str| text.trim_start_matches('~').to_lowercase().starts_with(*word);
    match ["near", "pin"].into_iter().find(meant) {
        Some(word) if word == text => None,
        Some(word) => odd(false, format!("is no word of this flag, which is off: write {word}")),
        None => switch(text),
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
    let less = format!("is less than a millisecond: {at_once}. Leave the flag out for {default}");
    let none = format!("is no time, so the default of {default} is active: write a time as in 10s");
    whole(text, (&MILLIS, 1), less, (default, none))
}

/// A number of clients that is no whole number.
pub fn count(text: &str) -> Option<Odd> {
    let none = "is no number, so there is no limit: write a whole number".to_owned();
    whole(text, (&COUNT, 0), "is less than 0, which counts as 0".to_owned(), (u64::MAX, none))
}

fn whole(text: &str, (unit, least): (&Unit, u32), less: String, none: (u64, String)) -> Option<Odd> {
    if unit.read(text).is_some_and(|number| number >= least.into()) {
        return None;
    }
    match number(text) {
        Some(number) if number >= least.into() => {
            let taken = number.ceil().min(1e10).abs();
            odd(taken, format!("is taken as {taken}: write a whole number"))
        }
        Some(_) => odd(least, less),
        None => odd(none.0, none.1),
    }
}

/// The number that JavaScript makes of a text that is not empty.
fn number(text: &str) -> Option<f64> {
    let number: f64 = text.trim().parse().ok()?;
    Some(number).filter(|number| number.is_finite())
}
