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
    /// After this time.
    Connected(Duration),
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
    let mut attempts = JoinSet::new();
    for &address in addresses {
        attempts.spawn(async move { (address, attempt(address).await) });
    }
    let mut tried = attempts.join_all().await;
    tried.sort_by_key(|(address, _)| addresses.iter().position(|known| known == address));
    judged(target, &tried)
}

/// What became of all addresses, and the first that answers.
fn judged(target: &Target, tried: &[(SocketAddr, Tried)]) -> (Finding, Option<SocketAddr>) {
    let connected: Vec<(SocketAddr, Duration)> = tried
        .iter()
        .filter_map(|(address, tried)| match tried {
            Tried::Connected(took) => Some((*address, *took)),
            _ => None,
        })
        .collect();
    let Some(&(first, took)) = connected.first() else {
        return (unreachable(target, tried), None);
    };
    let all: Vec<SocketAddr> = connected.iter().map(|(address, _)| *address).collect();
    let found = format!("port {} answers at {} ({} ms)", target.port, list(&all), took.as_millis());
    let dead = tried.iter().find(|(address, tried)| {
        // `localhost` has two addresses, and a server may listen at one of them.
        !address.ip().is_loopback() && !matches!(tried, Tried::Connected(_) | Tried::NoWay)
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
            Tried::Connected(_) => "answers".to_owned(),
            Tried::Refused => "refuses".to_owned(),
            Tried::Silent => format!("does not answer within {} s", TCP_TIMEOUT.as_secs()),
            Tried::NoWay => "cannot be reached from this machine".to_owned(),
            Tried::Error(error) => format!("fails ({error})"),
        }
    }
}

async fn attempt(address: SocketAddr) -> Tried {
    let started = Instant::now();
    match timeout(TCP_TIMEOUT, TcpStream::connect(address)).await {
        Err(_) => Tried::Silent,
        Ok(Ok(_)) => Tried::Connected(started.elapsed()),
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

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    const CONNECTED: Tried = Tried::Connected(Duration::ZERO);

    fn of(tried: Vec<(&str, Tried)>) -> (State, String, String) {
        let target = Target::parse("https://b.example.com", None).unwrap();
        let tried: Vec<(SocketAddr, Tried)> = tried
            .into_iter()
            .map(|(ip, tried)| ((ip.parse::<IpAddr>().unwrap(), 443).into(), tried))
            .collect();
        let (finding, _) = judged(&target, &tried);
        (finding.state, finding.found, finding.advice.unwrap_or_default())
    }

    #[test]
    fn an_address_of_a_family_that_does_not_answer_is_a_warning() {
        for (v6, v4, family, record) in [
            (Tried::Silent, CONNECTED, "its IPv6 address 2001:db8::1 does not answer", "the AAAA record"),
            (CONNECTED, Tried::Refused, "its IPv4 address 192.0.2.1 refuses", "the A record"),
        ] {
            let (state, found, advice) = of(vec![("2001:db8::1", v6), ("192.0.2.1", v4)]);
            assert_eq!(state, State::Warning);
            assert!(found.contains(family) && advice.contains(record), "{found} {advice}");
        }
    }

    #[test]
    fn what_this_machine_cannot_reach_says_nothing_about_the_server() {
        let (state, found, _) = of(vec![("2001:db8::1", Tried::NoWay), ("192.0.2.1", CONNECTED)]);
        assert_eq!((state, &*found), (State::Ok, "port 443 answers at 192.0.2.1 (0 ms)"));
        let (state, _, advice) = of(vec![("2001:db8::1", Tried::NoWay)]);
        assert!(state == State::Failed && advice.contains("no network"), "{advice}");
        // A server may listen at one of the addresses of `localhost`.
        let (state, ..) = of(vec![("::1", Tried::Refused), ("127.0.0.1", CONNECTED)]);
        assert_eq!(state, State::Ok);
    }

    #[test]
    fn a_port_that_is_closed_and_one_behind_a_firewall_are_told_apart() {
        let (state, _, advice) = of(vec![("192.0.2.1", Tried::Refused)]);
        assert!(state == State::Failed && advice.contains("Nothing listens at port 443"), "{advice}");
        let (state, found, advice) = of(vec![("192.0.2.1", Tried::Silent)]);
        assert!(state == State::Failed && found.contains("does not answer within 5 s"), "{found}");
        assert!(advice.contains("firewall"), "{advice}");
    }
}
