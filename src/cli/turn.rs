//! The flags of the TURN server.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use clap::Args;
use peerbroker::config::{RelayConfig, TurnConfig, TurnLimits};
use peerbroker::{Config, interface_address};

use super::help;
use super::relay::{BadRelay, specified};
use super::values::count;

#[derive(Debug, Args)]
pub(super) struct TurnArgs {
    /// Address of a TURN server, as in 198.51.100.7 or [2001:db8::7]:5349, for UDP, TCP and TLS [default: the relay's addresses]
    ///
    /// One of IPv4, one of IPv6, or both. 0.0.0.0 and [::] stand for the address of the interface that leads out. The port is
    /// 5349, or as far from the relay's as 5349 is from 3478. With a certificate, TLS works at this port and at --port.
    #[arg(help_heading = help::RELAY, long, env = "PEERBROKER_TURN", value_name = "ADDRESS", num_args = 0..=2, value_delimiter = ' ', default_missing_value = "auto", value_parser = place)]
    turn: Vec<Place>,

    /// UDP ports that the TURN server relays at, as in 50000-59999 [default: none; clients reach each other inside this process]
    #[arg(help_heading = help::RELAY, long = "turn_ports", alias = "turn-ports", env = "PEERBROKER_TURN_PORTS", value_name = "MIN-MAX", value_parser = ports)]
    turn_ports: Option<RangeInclusive<u16>>,

    /// TURN allocations at a time; a connection of a browser has two or three
    #[arg(help_heading = help::RELAY, long = "turn_allocations", alias = "turn-allocations", env = "PEERBROKER_TURN_ALLOCATIONS", value_name = "N", default_value_t = defaults().allocations, value_parser = count::<usize>)]
    turn_allocations: usize,

    /// TURN allocations of one key
    #[arg(help_heading = help::RELAY, long = "turn_allocations_per_key", alias = "turn-allocations-per-key", env = "PEERBROKER_TURN_ALLOCATIONS_PER_KEY", value_name = "N", default_value_t = defaults().allocations_per_key, value_parser = count::<usize>)]
    turn_allocations_per_key: usize,

    /// TURN allocations of one address
    #[arg(help_heading = help::RELAY, long = "turn_allocations_per_address", alias = "turn-allocations-per-address", env = "PEERBROKER_TURN_ALLOCATIONS_PER_ADDRESS", value_name = "N", default_value_t = defaults().allocations_per_address, value_parser = count::<usize>)]
    turn_allocations_per_address: usize,

    /// Bytes per second of one TURN allocation, both directions together; bursts up to ten times that; 0 means no limit
    #[arg(help_heading = help::RELAY, long = "turn_bytes_per_second", alias = "turn-bytes-per-second", env = "PEERBROKER_TURN_BYTES_PER_SECOND", value_name = "BYTES", default_value_t = defaults().bytes_per_second, value_parser = count::<u32>)]
    turn_bytes_per_second: u32,

    /// Bytes per second of all TURN allocations of one key; bursts up to ten times that; 0 means no limit
    #[arg(help_heading = help::RELAY, long = "turn_key_bytes_per_second", alias = "turn-key-bytes-per-second", env = "PEERBROKER_TURN_KEY_BYTES_PER_SECOND", value_name = "BYTES", default_value_t = defaults().key_bytes_per_second, value_parser = count::<u32>)]
    turn_key_bytes_per_second: u32,
}

/// Where a TURN server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the addresses of the relay, or of the interface that leads out.
    Auto,
    At(IpAddr, Option<u16>),
}

impl TurnArgs {
    pub(super) fn limits(&self) -> TurnLimits {
        TurnLimits {
            allocations: self.turn_allocations,
            allocations_per_key: self.turn_allocations_per_key,
            allocations_per_address: self.turn_allocations_per_address,
            bytes_per_second: self.turn_bytes_per_second,
            key_bytes_per_second: self.turn_key_bytes_per_second,
        }
    }

    pub(super) fn is_wanted(&self) -> bool {
        !self.turn.is_empty()
    }

    /// The TURN server, or the STUN server of a relay, if there is to be one.
    pub(super) fn config(
        &self,
        relay: Option<&RelayConfig>,
        public: &[IpAddr],
        private: bool,
    ) -> Result<Option<TurnConfig>, BadRelay> {
        let only_stun = !self.is_wanted();
        if only_stun && self.turn_ports.is_some() {
            return Err(BadRelay::WithoutTurn("turn_ports"));
        }
        let relay_port = relay.and_then(|relay| relay.listen.first()).map(SocketAddr::port);
        let port = relay_port.map_or(TurnConfig::DEFAULT_PORT, TurnConfig::port_beside);
        let listen = match (self.turn.as_slice(), relay) {
            ([], None) => return Ok(None),
            ([] | [Place::Auto], Some(relay)) => {
                relay.listen.iter().map(|at| SocketAddr::new(at.ip(), port)).collect()
            }
            ([Place::Auto], None) => {
                let found = interface_address(false).or_else(|| interface_address(true));
                vec![SocketAddr::new(found.ok_or(BadRelay::NoInterfaceAtAll)?, port)]
            }
            (places, _) => {
                let at = |place: &Place| match place {
                    Place::Auto => Err(BadRelay::Twice("turn")),
                    Place::At(ip, given) => specified("turn", SocketAddr::new(*ip, given.unwrap_or(port))),
                };
                places.iter().map(at).collect::<Result<Vec<_>, _>>()?
            }
        };
        if matches!(&*listen, [one, other] if one.is_ipv4() == other.is_ipv4()) {
            return Err(BadRelay::Twice("turn"));
        }
        if relay.is_some_and(|relay| relay.listen.iter().any(|at| at.port() != 0 && listen.contains(at))) {
            return Err(BadRelay::SamePort);
        }
        Ok(Some(TurnConfig {
            listen,
            public: public.to_vec(),
            only_stun,
            ports: self.turn_ports.clone(),
            private,
            loopback: false,
        }))
    }
}

fn defaults() -> TurnLimits {
    Config::default().turn_limits
}

fn place(text: &str) -> Result<Place, String> {
    if text == "auto" {
        return Ok(Place::Auto);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let with_port = text.parse().ok().map(|at: SocketAddr| Place::At(at.ip(), Some(at.port())));
    with_port.or_else(|| bare.parse().ok().map(|ip| Place::At(ip, None))).ok_or_else(|| {
        "expected an IP address with or without a port, as in 198.51.100.7:5349 or [2001:db8::7]:5349"
            .to_owned()
    })
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let parsed = text.split_once('-').and_then(|(min, max)| Some(min.parse().ok()?..=max.parse().ok()?));
    parsed.filter(|ports: &RangeInclusive<u16>| *ports.start() >= 1024 && !ports.is_empty()).ok_or_else(
        || "expected two ports of 1024 or more, the lower one first, as in 50000-59999".to_owned(),
    )
}
