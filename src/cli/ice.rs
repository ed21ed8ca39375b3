//! The flags of the ICE servers that clients are told.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use peerbroker::Config;
use peerbroker::config::{IceConfig, InvalidSecret, TurnSecret};
use peerbroker::files::FileError;

use super::values::MAX_SECRET_FILE_BYTES;
use super::{help, secret_file};

/// A year: longer times are surely mistakes.
const MAX_TTL: u64 = 31_536_000;

#[derive(Debug, Args)]
pub(super) struct IceArgs {
    /// STUN server that clients are told, as in stun:stun.example.org:3478; may be repeated
    #[arg(help_heading = help::ICE, long = "stun_url", alias = "stun-url", env = "PEERBROKER_STUN_URL", value_name = "URL", num_args = 1.., value_delimiter = ' ', value_parser = stun_url)]
    stun_url: Vec<String>,

    /// TURN server that clients are told, as in turn:turn.example.org:3478?transport=udp; may be repeated
    ///
    /// It has to know the secret of --turn_secret.
    #[arg(help_heading = help::ICE, long = "turn_url", alias = "turn-url", env = "PEERBROKER_TURN_URL", value_name = "URL", num_args = 1.., value_delimiter = ' ', value_parser = turn_url)]
    turn_url: Vec<String>,

    /// Secret that the broker and its TURN servers share, as `static-auth-secret` of coturn; 16 random characters or more
    #[arg(
        help_heading = help::ICE,
        long = "turn_secret",
        alias = "turn-secret",
        env = "PEERBROKER_TURN_SECRET",
        value_name = "SECRET",
        hide_env_values = true,
        conflicts_with = "turn_secret_file"
    )]
    turn_secret: Option<String>,

    /// File with the secret of TURN servers
    #[arg(help_heading = help::ICE, long = "turn_secret_file", alias = "turn-secret-file", env = "PEERBROKER_TURN_SECRET_FILE", value_name = "FILE")]
    turn_secret_file: Option<PathBuf>,

    /// Seconds that credentials for TURN servers are valid
    #[arg(help_heading = help::ICE, long = "turn_ttl", alias = "turn-ttl", env = "PEERBROKER_TURN_TTL", value_name = "S", default_value_t = Config::default().ice.ttl.as_secs(), value_parser = ttl)]
    turn_ttl: u64,
}

/// Why clients cannot be told these servers.
#[derive(Debug, thiserror::Error)]
pub enum BadIce {
    #[error(
        "--turn_url needs --turn_secret or --turn_secret_file: browsers use no TURN server without credentials"
    )]
    NoSecret,
    #[error("cannot read --turn_secret_file {path}: {error}", path = .path.display())]
    SecretFile { path: PathBuf, error: FileError },
    #[error("invalid value for '--{flag}': {why}")]
    Secret { flag: &'static str, why: InvalidSecret },
}

impl BadIce {
    /// 2 for wrong arguments, like clap; 1 for files.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            BadIce::NoSecret | BadIce::Secret { flag: "turn_secret", .. } => 2,
            BadIce::SecretFile { .. } | BadIce::Secret { .. } => 1,
        }
    }
}

impl IceArgs {
    /// The servers, and the secret for their credentials.
    pub(super) fn config(&self) -> Result<IceConfig, BadIce> {
        let turn_secret = self.secret()?;
        if !self.turn_url.is_empty() && turn_secret.is_none() {
            return Err(BadIce::NoSecret);
        }
        Ok(IceConfig {
            stun_urls: self.stun_url.clone(),
            turn_urls: self.turn_url.clone(),
            turn_secret,
            ttl: Duration::from_secs(self.turn_ttl),
        })
    }

    /// Whether there is a TURN server to make credentials for.
    pub(super) fn has_turn(&self) -> bool {
        !self.turn_url.is_empty()
    }

    fn secret(&self) -> Result<Option<TurnSecret>, BadIce> {
        let (flag, text) = match (&self.turn_secret, &self.turn_secret_file) {
            (Some(secret), _) => ("turn_secret", secret.clone()),
            (None, Some(path)) => {
                let read = secret_file::read(path, MAX_SECRET_FILE_BYTES);
                let text = read.map_err(|error| BadIce::SecretFile { path: path.clone(), error })?;
                ("turn_secret_file", text.trim_end().to_owned())
            }
            (None, None) => return Ok(None),
        };
        TurnSecret::parse(&text).map(Some).map_err(|why| BadIce::Secret { flag, why })
    }
}

fn stun_url(text: &str) -> Result<String, String> {
    let is_valid = match text.split_once(':') {
        Some(("stun" | "stuns", place)) => is_place(place),
        _ => false,
    };
    // Browsers refuse a STUN URL with a query (RFC 7064).
    is_valid.then(|| text.to_owned()).ok_or_else(|| {
        "expected stun:HOST or stuns:HOST, with or without a port, as in stun:stun.example.org:3478"
            .to_owned()
    })
}

fn turn_url(text: &str) -> Result<String, String> {
    let is_valid = match text.split_once(':') {
        Some(("turn" | "turns", rest)) => match rest.split_once('?') {
            Some((place, query)) => is_place(place) && matches!(query, "transport=udp" | "transport=tcp"),
            None => is_place(rest),
        },
        _ => false,
    };
    is_valid.then(|| text.to_owned()).ok_or_else(|| {
        "expected turn:HOST or turns:HOST, with or without a port and ?transport=udp or ?transport=tcp, as in \
         turn:turn.example.org:3478?transport=udp"
            .to_owned()
    })
}

/// Whether a text is a host with or without a port (RFC 7065, section 3.1). IPv6 is in brackets.
fn is_place(text: &str) -> bool {
    let is_port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse().is_ok_and(|port: u16| port > 0);
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let is_port = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        return address.parse::<Ipv6Addr>().is_ok() && is_port;
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_host = |c: u8| c.is_ascii_alphanumeric() || b"-._".contains(&c);
    !host.is_empty() && host.bytes().all(is_host) && port.is_none_or(is_port)
}

fn ttl(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().filter(|seconds| (1..=MAX_TTL).contains(seconds));
    seconds.ok_or_else(|| format!("expected seconds from 1 to {MAX_TTL}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_browsers_take_are_taken_and_others_are_not() {
        for good in ["stun:example.org", "stun:192.0.2.1:3478", "stuns:[2001:db8::1]:5349", "stun:[::1]"] {
            assert_eq!(stun_url(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "stun:",
            "stun",
            "example.org:3478",
            "stun://example.org",
            "stun::3478",
            "stun:a:0",
            "stun:a:65536",
            "stun:a:+1",
            "stun:a:",
            "stun:2001:db8::1",
            "stun:[::g]",
            "stun:[::1]1",
            "stun:a b",
            "turn:example.org",
            "stun:example.org?transport=udp",
            "stun:a,stun:b",
            "STUN:example.org",
        ] {
            assert!(stun_url(bad).is_err(), "{bad}");
        }
        for good in ["turn:example.org", "turn:a.test:3478?transport=udp", "turns:[::1]:443?transport=tcp"] {
            assert_eq!(turn_url(good).as_deref(), Ok(good));
        }
        for bad in [
            "stun:example.org",
            "turn:a?transport=tls",
            "turn:a?",
            "turn:a?x=1",
            "turn:user@a",
            "turn:?transport=udp",
        ] {
            assert!(turn_url(bad).is_err(), "{bad}");
        }
    }
}
