//! A ban: the clients of an address or a network are refused, for all keys or for one, for a while or for
//! good.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use jiff::Timestamp;

use peerbroker_core::address::of_client;
use peerbroker_core::vocabulary::{ApiKey, InvalidName};

/// A ban. Its text is a network, and as far as it has them its end and its key:
/// `192.0.2.0/24,until=2027-01-31T12:00:00Z,key=my-game`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The network; an address is the network of it alone.
    pub network: IpNet,
    /// The key whose clients are refused; `None` means all.
    pub key: Option<ApiKey>,
    /// The end, in seconds since 1970; `None` means never.
    pub until: Option<u64>,
}

/// A shorter prefix is more than a network: that of 127.0.0.0/8 is as long.
const MIN_PREFIX: u8 = 8;

/// A text that is no ban.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum InvalidBan {
    #[error(
        "expected an address or a network, as in 192.0.2.7 or 2001:db8::/48, perhaps with ,until=… or ,key=… behind it"
    )]
    Network,
    #[error("until: expected a time in UTC, as in 2027-01-31T12:00:00Z")]
    Until,
    #[error("key: {0}")]
    Key(InvalidName),
    #[error("expected until=… or key=… behind the network")]
    Unknown,
}

impl Ban {
    /// Reads the text of a ban. The key is the rest of the text, whatever it contains.
    pub fn parse(text: &str) -> Result<Self, InvalidBan> {
        let (network, mut rest) =
            text.split_once(',').map_or((text, None), |(network, rest)| (network, Some(rest)));
        let mut ban = Ban { network: network_of(network)?, key: None, until: None };
        while let Some(text) = rest.take() {
            if let Some(key) = text.strip_prefix("key=") {
                ban.key = Some(ApiKey::parse(key).map_err(InvalidBan::Key)?);
                return Ok(ban);
            }
            let until = text.strip_prefix("until=").ok_or(InvalidBan::Unknown)?;
            let (until, behind) =
                until.split_once(',').map_or((until, None), |(until, rest)| (until, Some(rest)));
            let until: Timestamp = until.parse().map_err(|_| InvalidBan::Until)?;
            ban.until = Some(u64::try_from(until.as_second()).map_err(|_| InvalidBan::Until)?);
            rest = behind;
        }
        Ok(ban)
    }

    /// The text without its end: of two bans with the same one, the later counts.
    pub fn place(&self) -> String {
        Ban { until: None, ..self.clone() }.to_string()
    }

    /// The bans of stored texts. Those that only a newer version understands are left out.
    pub fn read_all<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Vec<Ban> {
        let read = |text: T| {
            let text = text.as_ref();
            Ban::parse(text)
                .inspect_err(|error| log::warn!("a stored ban has no effect: {text:?}: {error}"))
                .ok()
        };
        texts.into_iter().filter_map(read).collect()
    }

    /// The reason why it is probably not meant, if there is one.
    pub fn warning(&self) -> Option<&'static str> {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        if self.network.prefix_len() < MIN_PREFIX {
            return Some("this bans a large part of the internet, and perhaps you");
        }
        loopback.iter().any(|ip| self.network.contains(ip)).then_some(
            "this bans programs of this machine, such as health checks, and all clients behind a proxy on it whose address \
             is not known",
        )
    }

    /// True if its time is over, at a second since 1970.
    pub fn is_over(&self, now: u64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl fmt::Display for Ban {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.network.prefix_len() == self.network.max_prefix_len() {
            true => write!(f, "{}", self.network.addr())?,
            false => write!(f, "{}", self.network)?,
        }
        let until = self.until.and_then(|until| Timestamp::from_second(i64::try_from(until).ok()?).ok());
        if let Some(until) = until {
            write!(f, ",until={until}")?;
        }
        self.key.as_ref().map_or(Ok(()), |key| write!(f, ",key={}", key.as_str()))
    }
}

/// An address or a network. Its host bits are cleared, and IPv4 within IPv6 is IPv4, as of clients.
fn network_of(text: &str) -> Result<IpNet, InvalidBan> {
    let of_address = |address: IpAddr| IpNet::from(of_client(address));
    let network = text.parse::<IpNet>().or_else(|_| text.parse().map(of_address));
    let network = network.map_err(|_| InvalidBan::Network)?.trunc();
    match (of_client(network.addr()), network.prefix_len().checked_sub(96)) {
        (address @ IpAddr::V4(_), Some(length)) if network.max_prefix_len() == 128 => {
            IpNet::new(address, length).map_err(|_| InvalidBan::Network)
        }
        _ => Ok(network),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_is_read_from_its_text() {
        for (text, shown) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
            ("64:ff9b::192.0.2.7", "192.0.2.7"),
            ("64:ff9b::192.0.2.7/120", "192.0.2.0/24"),
            ("64:ff9b::/96", "64:ff9b::/96"),
            ("2001:DB8::1/48", "2001:db8::/48"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("192.0.2.7,key=a,until=b c", "192.0.2.7,key=a,until=b c"),
            ("192.0.2.7,until=2027-01-31T13:00:00+01:00,key=a", "192.0.2.7,until=2027-01-31T12:00:00Z,key=a"),
        ] {
            let ban = Ban::parse(text).unwrap();
            assert_eq!(ban.to_string(), shown, "{text}");
            assert_eq!(Ban::parse(shown).unwrap(), ban, "{text}");
        }
        for wrong in [
            "",
            "a",
            "192.0.2.7/33",
            "192.0.2.7,",
            "192.0.2.7,key=",
            "192.0.2.7,until=tomorrow",
            "1.2.3.4,x=y",
        ] {
            assert!(Ban::parse(wrong).is_err(), "{wrong}");
        }
    }
}
