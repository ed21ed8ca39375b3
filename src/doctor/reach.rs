//! From a name to a port that answers: DNS and TCP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::finding::Finding;
use super::target::Target;

/// The timeout of a question to DNS. Resolvers of systems try several servers.
const DNS_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of a connection.
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
/// Most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 16;

/// What became of a connection to an address.
enum Tried {
    Connected,
    Refused,
    Silent,
    /// This machine has no way there, which says nothing about the server.
    NoWay,
    Error(io::Error),
}

/// Asks DNS for the addresses of a host.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = match timeout(DNS_TIMEOUT, lookup_host((host, port))).await {
        Err(_) => return Err(format!("DNS does not answer within {} s", DNS_TIMEOUT.as_secs())),
        Ok(Err(error)) => return Err(format!("DNS knows no address of {host} ({error})")),
        Ok(Ok(found)) => found,
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) && addresses.len() < MAX_ADDRESSES {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(format!("DNS knows no address of {host}")) } else { Ok(addresses) }
}

/// Looks the host up.
pub(super) async fn dns(target: &Target) -> (Finding, Vec<SocketAddr>) {
    let Target { host, port, .. } = target;
    if let Ok(address) = host.parse::<IpAddr>() {
        return (Finding::skipped("dns", format!("{address} needs no DNS")), vec![(address, *port).into()]);
    }
    match resolve(host, *port).await {
        Ok(addresses) => (Finding::ok("dns", format!("{host} is {}", list(&addresses))), addresses),
        Err(why) => {
            let advice = format!(
                "Check the spelling of {host}. If it is right, make an A record (IPv4) or an AAAA record (IPv6) of it that leads to \
                 the server; a new record may need some minutes."
            );
            (Finding::failed("dns", why, advice), Vec::new())
        }
    }
}

/// Connects to all addresses at the same time. Returns the first that answers, in the order of DNS.
pub(super) async fn tcp(target: &Target, addresses: &[SocketAddr]) -> (Finding, Option<SocketAddr>) {
    let started = Instant::now();
    let mut attempts = JoinSet::new();
    for &address in addresses {
        attempts.spawn(async move { (address, attempt(address).await) });
    }
    let mut tried = attempts.join_all().await;
    tried.sort_by_key(|(address, _)| addresses.iter().position(|known| known == address));
    let connected: Vec<SocketAddr> = tried
        .iter()
        .filter(|(_, tried)| matches!(tried, Tried::Connected))
        .map(|(address, _)| *address)
        .collect();
    let Some(&first) = connected.first() else {
        return (unreachable(target, &tried), None);
    };
    let millis = started.elapsed().as_millis();
    let found = format!("port {} answers at {} ({millis} ms)", target.port, list(&connected));
    let dead = tried.iter().find(|(address, tried)| {
        // `localhost` has two addresses, and a server may listen at one of them.
        !address.ip().is_loopback() && !matches!(tried, Tried::Connected | Tried::NoWay)
    });
    let finding = match dead {
        None => Finding::ok("tcp", found),
        Some((address, tried)) => {
            let (family, record) = if address.is_ipv6() { ("IPv6", "AAAA") } else { ("IPv4", "A") };
            Finding::warning(
                "tcp",
                format!("{found}, but its {family} address {} {}", address.ip(), tried.word()),
                format!(
                    "Clients lose time there before they try the other address, and some have {family} only. Let the server and its \
                     firewall accept port {} at this address, or remove the {record} record.",
                    target.port
                ),
            )
        }
    };
    (finding, Some(first))
}

fn unreachable(target: &Target, tried: &[(SocketAddr, Tried)]) -> Finding {
    let Target { host, port, .. } = target;
    let each: Vec<String> =
        tried.iter().map(|(address, tried)| format!("{} {}", address.ip(), tried.word())).collect();
    let found = format!("no connection to port {port}: {}", each.join(", "));
    let has = |wanted: fn(&Tried) -> bool| tried.iter().any(|(_, tried)| wanted(tried));
    let advice = if has(|tried| matches!(tried, Tried::Refused)) {
        format!(
            "Nothing listens at port {port} of {host}. Check that the broker runs, and that its --port is {port}: without one it is \
             9000. In a container, publish the port. If the broker has --host 127.0.0.1, only its own machine reaches it."
        )
    } else if has(|tried| matches!(tried, Tried::Silent)) {
        format!(
            "A firewall drops the packets, or the machine is off. Open TCP port {port} in the firewall of the machine and in that of \
             its provider, and check that DNS has the right address."
        )
    } else {
        "This machine has no network to that address. Run the doctor on another one.".to_owned()
    };
    Finding::failed("tcp", found, advice)
}

impl Tried {
    fn word(&self) -> String {
        match self {
            Tried::Connected => "answers".to_owned(),
            Tried::Refused => "refuses".to_owned(),
            Tried::Silent => format!("does not answer within {} s", TCP_TIMEOUT.as_secs()),
            Tried::NoWay => "cannot be reached from this machine".to_owned(),
            Tried::Error(error) => format!("fails ({error})"),
        }
    }
}

async fn attempt(address: SocketAddr) -> Tried {
    match timeout(TCP_TIMEOUT, TcpStream::connect(address)).await {
        Err(_) => Tried::Silent,
        Ok(Ok(_)) => Tried::Connected,
        Ok(Err(error)) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Tried::Refused,
            io::ErrorKind::TimedOut => Tried::Silent,
            io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => Tried::NoWay,
            _ => Tried::Error(error),
        },
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    let each: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    each.join(" and ")
}
