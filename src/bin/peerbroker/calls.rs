//! The addresses at which clients find the relay and the TURN server: what they are, and the words about
//! them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use peerbroker::{
    BoundRelay, BoundTurn, Builder, PeerBroker, interface_addresses, is_of_machine, is_public, public_address,
};
use peerbroker_config::{RelayConfig, TurnConfig};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::failure::Failure;
use crate::predecessor::PendingResources;

/// Interval between two looks at the addresses of this machine: as long as a failed call takes at least.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Looks until the names of the relay are looked up again, which takes a minute.
const LOOKS_PER_LOOKUP: u32 = 12;

/// Most addresses of a family that clients are told: each of them is up to three candidates.
const MAX_OF_FAMILY: usize = 4;

/// The warning behind a proxy, which may be the one of a host such as Render.
const HTTP_ONLY: &str = "if this host passes HTTP only, calls cannot reach the relay: leave --relay and --turn out, and name a TURN \
    service by --turn_url";

/// The relay and the TURN server, as the flags name them.
#[derive(Clone, Debug, Default)]
pub struct CallSettings {
    /// The relay for calls that cannot go directly, if there is one.
    pub relay: Option<RelayConfig>,
    /// The TURN server, or the STUN server of the relay, if there is one.
    pub turn: Option<TurnConfig>,
    /// The addresses of `--relay_public`.
    pub public: Vec<IpAddr>,
    /// The names at which clients find both: that of `--relay_public`, or those of `--acme`.
    pub names: Vec<String>,
    /// The address of `--host`, if clients come to it.
    pub host: Option<IpAddr>,
    /// Clients may have private addresses, whatever the address of the relay is.
    pub private: bool,
    /// A family without an address that clients can be told is left out.
    pub may_lack_a_family: bool,
    /// The addresses to which the names lead.
    pub looked_up: Vec<IpAddr>,
    /// True if a proxy passes the requests of clients.
    pub is_proxied: bool,
    /// True while another program has the port of the relay.
    pub is_pending: bool,
}

/// An address that clients are told.
struct Told {
    ip: IpAddr,
    /// The operator has named it, or a name that leads to it.
    is_named: bool,
}

impl CallSettings {
    pub fn is_empty(&self) -> bool {
        self.relay.is_none() && self.turn.is_none()
    }

    /// The server that clients look for.
    fn what(&self) -> &'static str {
        if self.relay.is_some() { "the relay" } else { "the TURN server" }
    }

    /// Finds the addresses that clients are told. Returns warnings. It looks up names, and so it blocks.
    pub fn find_addresses(&mut self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.is_empty() {
            return warnings;
        }
        let what = self.what();
        for name in &self.names {
            match look_up(name) {
                Ok(found) => self.looked_up.extend(found),
                Err(why) => warnings.push(format!(
                    "clients of {what} are not told the address of {name} yet, because {why}. It is looked up again every minute"
                )),
            }
        }
        let mut told = self.find();
        if told.is_empty() {
            let has_ipv4 = self.listen().any(SocketAddr::is_ipv4);
            let ip = if has_ipv4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
            told.push(Told { ip, is_named: false });
        }
        let of_addresses = warning(what, &told);
        if self.is_proxied && of_addresses.is_some() {
            warnings.push(HTTP_ONLY.to_owned());
        }
        warnings.extend(of_addresses);
        if let Some(private) = self.public.iter().find(|ip| is_of_lan(**ip)) {
            warnings.push(format!(
                "--relay_public {private} is a private address: only clients of the same network reach the relay"
            ));
        }
        self.set_addresses(&told.iter().map(|told| told.ip).collect::<Vec<_>>());
        warnings
    }

    /// The best address of each family, as it is now; those of all networks, if none leads out.
    fn find(&self) -> Vec<Told> {
        let mut named = [&self.public[..], &self.looked_up].concat();
        let has_name = !named.is_empty();
        if !has_name {
            named.extend(self.host);
        }
        let mut all = Vec::new();
        for ipv6 in [false, true] {
            let of_family = |ip: &IpAddr| ip.is_ipv6() == ipv6;
            let Some(bound) = self.listen().map(SocketAddr::ip).find(of_family) else { continue };
            let (ips, is_named) = match named.iter().copied().find(of_family) {
                Some(ip) => (vec![ip], has_name),
                None if !bound.is_unspecified() => (vec![bound], true),
                // Clients come to the other family only.
                None if !named.is_empty() && self.may_lack_a_family => continue,
                None => {
                    let public = public_address(ipv6).map(|ip| vec![ip]);
                    (public.unwrap_or_else(|| interface_addresses(ipv6)), false)
                }
            };
            all.extend(ips.into_iter().take(MAX_OF_FAMILY).map(|ip| Told { ip, is_named }));
        }
        all
    }

    /// Sets the addresses that clients are told. A family without one is left out, unless it may get one
    /// later.
    fn set_addresses(&mut self, told: &[IpAddr]) {
        let is_left_to_chance = self.public.is_empty() && self.host.is_none() || !self.names.is_empty();
        let may_come = !self.may_lack_a_family || is_left_to_chance;
        let stays = |at: &SocketAddr| may_come && at.ip().is_unspecified() || has_family(told, at);
        // A private address reaches no client with a public one. A name that leads nowhere yet will lead to
        // the right address.
        let is_known = self.names.is_empty() || !self.looked_up.is_empty();
        let is_of_network = is_known && !told.iter().any(|ip| is_public(*ip));
        if let Some(relay) = &mut self.relay {
            relay.listen.retain(stays);
            relay.public = told.to_vec();
            relay.private = self.private || is_of_network;
        }
        if let Some(turn) = &mut self.turn {
            turn.listen.retain(stays);
            turn.public = told.to_vec();
        }
    }

    /// Binds the ports for a broker, and notes those that the system chose. With `pending`, the predecessor
    /// may have them for a while.
    pub fn bind(
        &mut self,
        mut builder: Builder,
        mut pending: Option<&mut PendingResources>,
    ) -> Result<Builder, Failure> {
        if let Some(relay) = &mut self.relay {
            match (BoundRelay::bind(relay.clone()), &mut pending) {
                (Ok(bound), _) => {
                    set_ports(&mut relay.listen, &bound.addresses());
                    builder = builder.relay(bound);
                }
                (Err(error), Some(pending)) if error.is_in_use() => {
                    self.is_pending = true;
                    pending.relay = Some(relay.clone());
                }
                (Err(error), _) => return Err(error.into()),
            }
        }
        if let Some(turn) = &mut self.turn {
            match (BoundTurn::bind(turn.clone()), &mut pending) {
                (Ok(bound), _) => {
                    set_ports(&mut turn.listen, &bound.addresses());
                    builder = builder.turn(bound);
                }
                (Err(error), Some(pending)) if error.is_in_use() => pending.turn = Some(turn.clone()),
                // The operator has not asked for it, and calls do not need it.
                (Err(error), _) if turn.only_stun => {
                    log::warn!("{error}. So pages have no STUN server here");
                    self.turn = None;
                }
                (Err(error), _) => return Err(error.into()),
            }
        }
        Ok(builder)
    }

    fn listen(&self) -> impl Iterator<Item = &SocketAddr> {
        let relay = self.relay.as_ref();
        let turn = self.turn.as_ref();
        let of_relay = relay.into_iter().flat_map(|relay| &relay.listen);
        of_relay.chain(turn.into_iter().flat_map(|turn| &turn.listen))
    }

    /// The addresses that clients are told.
    fn told(&self) -> &[IpAddr] {
        let of_relay = self.relay.as_ref().map(|relay| &relay.public);
        of_relay.or(self.turn.as_ref().map(|turn| &turn.public)).map_or(&[], Vec::as_slice)
    }

    /// Looks at the addresses again from time to time, and tells clients the new ones. A family that has none
    /// now, and a name that leads nowhere, keep the last one.
    pub async fn follow_addresses(mut self, broker: PeerBroker) {
        let mut is_warned = warning(self.what(), &self.find()).is_some();
        for look in 1_u32.. {
            if self.is_empty() {
                return;
            }
            sleep(LOOK_INTERVAL).await;
            if look.is_multiple_of(LOOKS_PER_LOOKUP) && !self.names.is_empty() {
                let names = self.names.clone();
                let look_up =
                    move || names.iter().flat_map(|name| look_up(name).unwrap_or_default()).collect();
                let Ok(mut found): Result<Vec<IpAddr>, _> = spawn_blocking(look_up).await else { return };
                let is_lost = |ip: &IpAddr| !found.iter().any(|found| found.is_ipv4() == ip.is_ipv4());
                let lost: Vec<IpAddr> = self.looked_up.iter().copied().filter(is_lost).collect();
                found.extend(lost);
                self.looked_up = found;
            }
            let found = self.find();
            let mut told: Vec<IpAddr> = found.iter().map(|found| found.ip).collect();
            let is_lost = |ip: &&IpAddr| !found.iter().any(|found| found.ip.is_ipv4() == ip.is_ipv4());
            told.extend(self.told().iter().filter(is_lost));
            told.sort_by_key(IpAddr::is_ipv6);
            if told != self.told() {
                log::info!("clients find {} at {} from now on", self.what(), list(told.iter()));
                let warning = warning(self.what(), &found);
                if let Some(warning) = warning.as_ref().filter(|_| !is_warned) {
                    log::warn!("{warning}");
                }
                is_warned = warning.is_some();
            }
            self.set_addresses(&told);
            // A relay may have begun since.
            broker.set_media_addresses(&told, self.relay.as_ref().is_some_and(|relay| relay.private));
        }
    }

    /// The words for people: where calls are relayed. `broker` is the address of the server, once it is
    /// known.
    pub fn words(&self, broker: Option<SocketAddr>, is_proxied: bool) -> Option<String> {
        let mut parts = Vec::new();
        if let Some(relay) = self.relay.as_ref().filter(|_| self.is_pending) {
            parts.push(format!(
                "not relayed yet, because another program has {}",
                self.ports(&relay.listen, relay.tcp)
            ));
        } else if let Some(relay) = &self.relay {
            let mut words = format!("relayed at {}, {}", self.hosts(), self.ports(&relay.listen, relay.tcp));
            let is_told = |at: &SocketAddr| at.ip().is_unspecified() || relay.public.contains(&at.ip());
            let port = relay.tcp_port.or(broker.filter(|at| !is_proxied && is_told(at)).map(|at| at.port()));
            if let Some(port) = port.filter(|port| relay.tcp && *port != 0) {
                words += &format!(", TCP {port}");
            }
            parts.push(words);
        }
        if let Some(turn) = &self.turn {
            let (what, tcp) = if turn.only_stun { ("STUN", false) } else { ("TURN", true) };
            let at = if self.relay.is_some() { String::new() } else { format!("{}, ", self.hosts()) };
            parts.push(format!("{what} at {at}{}", self.ports(&turn.listen, tcp)));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// True if a host and a port of a URL are surely those of the relay.
    pub fn is_relay(&self, host: &str, port: u16) -> bool {
        let host = host.trim_matches(['[', ']']);
        let is_port =
            self.relay.as_ref().is_some_and(|relay| relay.listen.iter().any(|at| at.port() == port));
        let is_named = || self.names.iter().any(|name| name.eq_ignore_ascii_case(host));
        let is_told = || host.parse().is_ok_and(|ip: IpAddr| self.told().contains(&ip));
        is_port && (is_named() || is_told())
    }

    /// The flag of the ports that other machines reach, if there are any.
    pub fn open_flag(&self) -> Option<&'static str> {
        let is_open = self.listen().any(|at| !at.ip().is_loopback());
        is_open.then_some(if self.relay.is_some() { "--relay" } else { "--turn" })
    }

    fn hosts(&self) -> String {
        list(self.told().iter())
    }

    /// The ports of the families of which clients are told an address.
    fn ports(&self, listen: &[SocketAddr], tcp: bool) -> String {
        let told = listen.iter().filter(|at| has_family(self.told(), at));
        let mut ports: Vec<String> = told.map(|at| at.port().to_string()).collect();
        ports.dedup();
        format!("{} {}", if tcp { "UDP and TCP" } else { "UDP" }, ports.join(" and "))
    }
}

fn set_ports(listen: &mut [SocketAddr], bound: &[SocketAddr]) {
    for at in listen {
        let of_family = bound.iter().find(|bound| bound.is_ipv4() == at.is_ipv4());
        if let Some(bound) = of_family {
            at.set_port(bound.port());
        }
    }
}

/// The warning about the addresses that clients are told, if there is one.
fn warning(what: &str, told: &[Told]) -> Option<String> {
    let all = list(told.iter().map(|told| &told.ip));
    if told.iter().all(|told| told.ip.is_loopback()) {
        return Some(format!(
            "clients find {what} at {all} only, so it serves no browser of another machine. --relay_public names an address \
             that they can reach"
        ));
    }
    let is_private = told.iter().all(|told| !is_public(told.ip) && !told.is_named);
    is_private.then(|| {
        format!(
            "clients find {what} at {all}, a private address: only those of the same network reach it. On the internet, behind a \
             NAT, name the public address, as in --relay_public 198.51.100.7"
        )
    })
}

/// The addresses of a name, those of the internet first.
fn look_up(name: &str) -> Result<Vec<IpAddr>, String> {
    let found = (name, 0).to_socket_addrs().map_err(|error| format!("it cannot be looked up: {error}"))?;
    let mut found: Vec<IpAddr> = found.map(|at| at.ip()).collect();
    found.sort_by_key(|ip| !is_public(*ip));
    let nobody = found.iter().copied().find(|ip| !is_of_machine(*ip));
    found.retain(|ip| is_of_machine(*ip));
    match nobody {
        _ if !found.is_empty() => Ok(found),
        Some(nobody) => Err(format!("it leads to {nobody}, which no machine has")),
        None => Err("it has none".to_owned()),
    }
}

fn list<'a>(ips: impl Iterator<Item = &'a IpAddr>) -> String {
    ips.map(IpAddr::to_string).collect::<Vec<_>>().join(" and ")
}

/// True if an address is one of a private network. Those of Tailscale and its kind are not.
fn is_of_lan(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

/// True if an address of the family of `at` is told.
fn has_family(told: &[IpAddr], at: &SocketAddr) -> bool {
    told.iter().any(|ip| ip.is_ipv4() == at.is_ipv4())
}
