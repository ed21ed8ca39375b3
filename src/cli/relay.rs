//! The flags of the relay.

use std::net::{IpAddr, SocketAddr};

use clap::Args;
use peerbroker::config::{RelayConfig, RelayLimits};
use peerbroker::keys::RelayMode;
use peerbroker::{Config, interface_address};

use super::help;
use super::values::{count, relay_mode, yes_or_no};

#[derive(Debug, Args)]
pub(super) struct RelayArgs {
    /// Address of a relay for calls that cannot go directly, as in 198.51.100.7 or [2001:db8::7]:3478
    ///
    /// One of IPv4, one of IPv6, or both, for UDP and TCP. 0.0.0.0 and [::] stand for the address of the interface that leads out. The port is
    /// 3478 unless another one is given. The same port answers STUN.
    #[arg(help_heading = help::RELAY, long, env = "PEERBROKER_RELAY", value_name = "ADDRESS", num_args = 1..=2, value_delimiter = ' ', value_parser = relay)]
    relay: Vec<SocketAddr>,

    /// Address of the relay that clients are told, if a NAT stands in front of it
    #[arg(help_heading = help::RELAY, long = "relay_public", alias = "relay-public", env = "PEERBROKER_RELAY_PUBLIC", value_name = "ADDRESS", num_args = 1..=2, value_delimiter = ' ', value_parser = address)]
    relay_public: Vec<IpAddr>,

    /// What the relay does for calls of the built-in key: fallback carries those that cannot go directly, always carries all and withholds addresses, off none
    #[arg(help_heading = help::RELAY, long = "relay_mode", alias = "relay-mode", env = "PEERBROKER_RELAY_MODE", value_name = "MODE", default_value_t = Config::default().relay, value_parser = relay_mode)]
    relay_mode: RelayMode,

    /// Relay over TCP as well, at the same address and port, for networks without UDP
    #[arg(help_heading = help::RELAY, long = "relay_tcp", alias = "relay-tcp", env = "PEERBROKER_RELAY_TCP", value_name = "true|false", num_args = 0..=1, default_value_t = true, default_missing_value = "true", value_parser = yes_or_no, action = clap::ArgAction::Set)]
    relay_tcp: bool,

    /// Relay for clients with private addresses too, as in a local network
    #[arg(help_heading = help::RELAY, long = "relay_private", alias = "relay-private", env = "PEERBROKER_RELAY_PRIVATE", value_name = "true|false", num_args = 0..=1, default_value_t = false, default_missing_value = "true", value_parser = yes_or_no, action = clap::ArgAction::Set)]
    relay_private: bool,

    /// Calls that the relay knows at a time, whether they need it or not
    #[arg(help_heading = help::RELAY, long = "relay_calls", alias = "relay-calls", env = "PEERBROKER_RELAY_CALLS", value_name = "N", default_value_t = defaults().calls, value_parser = count::<usize>)]
    relay_calls: usize,

    /// Calls of one key that the relay knows at a time
    #[arg(help_heading = help::RELAY, long = "relay_calls_per_key", alias = "relay-calls-per-key", env = "PEERBROKER_RELAY_CALLS_PER_KEY", value_name = "N", default_value_t = defaults().calls_per_key, value_parser = count::<usize>)]
    relay_calls_per_key: usize,

    /// Bytes per second of one relayed call, both directions together; bursts up to ten times that; 0 means no limit
    #[arg(help_heading = help::RELAY, long = "relay_bytes_per_second", alias = "relay-bytes-per-second", env = "PEERBROKER_RELAY_BYTES_PER_SECOND", value_name = "BYTES", default_value_t = defaults().bytes_per_second, value_parser = count::<u32>)]
    relay_bytes_per_second: u32,

    /// Bytes per second of all relayed calls of one key; bursts up to ten times that; 0 means no limit
    #[arg(help_heading = help::RELAY, long = "relay_key_bytes_per_second", alias = "relay-key-bytes-per-second", env = "PEERBROKER_RELAY_KEY_BYTES_PER_SECOND", value_name = "BYTES", default_value_t = defaults().key_bytes_per_second, value_parser = count::<u32>)]
    relay_key_bytes_per_second: u32,
}

/// Why there can be no relay with these flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRelay {
    /// Two addresses of one family.
    #[error("--{0} takes one IPv4 address, one IPv6 address, or one of each")]
    Twice(&'static str),
    /// An unspecified address, and no way out.
    #[error("--{0} {1}: this machine has no address that leads out; name one")]
    NoInterface(&'static str, IpAddr),
    /// No address at all, and no way out.
    #[error("--turn: this machine has no address that leads out; name one, as in --turn 198.51.100.7")]
    NoInterfaceAtAll,
    /// The TURN server would be at the relay's port.
    #[error(
        "--turn and --relay have the same port: give --turn another one, because Chromium drops what a relay sends from the port of \
         a page's TURN server"
    )]
    SamePort,
    /// Flags of a TURN server, and none.
    #[error("--{0} needs --turn")]
    WithoutTurn(&'static str),
    /// Flags of a relay, and no relay.
    #[error("--{0} needs --relay or --turn")]
    Without(&'static str),
}

impl RelayArgs {
    pub(super) fn limits(&self) -> RelayLimits {
        RelayLimits {
            calls: self.relay_calls,
            calls_per_key: self.relay_calls_per_key,
            bytes_per_second: self.relay_bytes_per_second,
            key_bytes_per_second: self.relay_key_bytes_per_second,
        }
    }

    /// The public addresses, and whether private ones are allowed.
    pub(super) fn public(&self) -> (&[IpAddr], bool) {
        (&self.relay_public, self.relay_private)
    }

    /// What the relay does for the built-in key.
    pub(super) fn mode(&self) -> RelayMode {
        self.relay_mode
    }

    /// The relay, if there is to be one.
    ///
    /// Its public and private addresses are those of the TURN server too, if `has_turn`.
    pub(super) fn config(&self, has_turn: bool) -> Result<Option<RelayConfig>, BadRelay> {
        let RelayArgs { relay, relay_public, relay_tcp, relay_private, .. } = self;
        let is_twice =
            |addresses: &[IpAddr]| matches!(addresses, [one, other] if one.is_ipv4() == other.is_ipv4());
        if is_twice(relay_public) {
            return Err(BadRelay::Twice("relay_public"));
        }
        if relay.is_empty() && has_turn {
            return Ok(None);
        }
        if relay.is_empty() {
            return match (relay_public.is_empty(), relay_private) {
                (true, false) => Ok(None),
                (false, _) => Err(BadRelay::Without("relay_public")),
                (true, true) => Err(BadRelay::Without("relay_private")),
            };
        }
        let listen = relay.iter().map(|at| specified("relay", *at)).collect::<Result<Vec<_>, _>>()?;
        if is_twice(&listen.iter().map(SocketAddr::ip).collect::<Vec<_>>()) {
            return Err(BadRelay::Twice("relay"));
        }
        Ok(Some(RelayConfig {
            listen,
            public: relay_public.clone(),
            tcp: *relay_tcp,
            private: *relay_private,
        }))
    }
}

/// An address, or that of the interface that leads out if it is unspecified.
pub(super) fn specified(flag: &'static str, at: SocketAddr) -> Result<SocketAddr, BadRelay> {
    match at.ip() {
        ip if ip.is_unspecified() => {
            let found = interface_address(ip.is_ipv6()).ok_or(BadRelay::NoInterface(flag, ip))?;
            Ok(SocketAddr::new(found, at.port()))
        }
        _ => Ok(at),
    }
}

fn defaults() -> RelayLimits {
    Config::default().relay_limits
}

fn relay(text: &str) -> Result<SocketAddr, String> {
    let text = text.strip_prefix("udp://").unwrap_or(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = text.parse().ok();
    let with_default = || bare.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, RelayConfig::DEFAULT_PORT));
    address.or_else(with_default).ok_or_else(|| {
        "expected an IP address with or without a port, as in 198.51.100.7:3478 or [2001:db8::7]:3478"
            .to_owned()
    })
}

fn address(text: &str) -> Result<IpAddr, String> {
    let address = text.parse().ok().filter(|address: &IpAddr| !address.is_unspecified());
    address.ok_or_else(|| "expected an IP address, as in 198.51.100.7".to_owned())
}
