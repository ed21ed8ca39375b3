//! From a name to a port that answers: DNS and TCP.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::report::{Finding, failed, ok, skipped, warning};
use super::target::Target;

/// The timeout of a question to DNS. Resolvers of systems try several servers.
const DNS_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of a connection.
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
/// Most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 16;

/// An address, and the time after which it has accepted a connection. A timeout is an error of the system, too.
type Tried = (SocketAddr, io::Result<Duration>);

/// Asks DNS for the addresses of a host.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let answer = timeout(DNS_TIMEOUT, lookup_host((host, port))).await;
    let found = answer.map_err(|_| format!("DNS does not answer within {} s", DNS_TIMEOUT.as_secs()))?;
    let found = found.map_err(|error| format!("DNS knows no address of {host} ({error})"))?;
    let mut seen = HashSet::new();
    let addresses: Vec<_> = found.filter(|address| seen.insert(*address)).take(MAX_ADDRESSES).collect();
    if addresses.is_empty() { Err(format!("DNS knows no address of {host}")) } else { Ok(addresses) }
}

/// Resolves the host name.
pub(super) async fn dns(target: &Target) -> Result<(Finding, Vec<SocketAddr>), Finding> {
    let Target { host, port, .. } = target;
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok((skipped(format!("{address} needs no DNS")), vec![(address, *port).into()]));
    }
    let addresses = resolve(host, *port).await.map_err(|why| {
        let advice = format!(
            "Check the spelling of {host}. If it is right, make an A record (IPv4) or an AAAA record (IPv6) of it that leads to \
             the server; a new record may need some minutes."
        );
        failed(why, advice)
    })?;
    Ok((ok(format!("{host} is {}", list(&addresses))), addresses))
}

/// Connects to all addresses at the same time. Returns the first that answers, in the order of DNS.
pub(super) async fn tcp(target: &Target, addresses: &[SocketAddr]) -> Result<(Finding, SocketAddr), Finding> {
    let attempts = addresses.iter().map(async |address| (*address, attempt(*address).await));
    let tried = join_all(attempts).await;
    judged(target, &tried)
}

async fn attempt(address: SocketAddr) -> io::Result<Duration> {
    let started = Instant::now();
    timeout(TCP_TIMEOUT, TcpStream::connect(address)).await??;
    Ok(started.elapsed())
}

/// Judges all addresses; also returns the first that answers.
fn judged(target: &Target, tried: &[Tried]) -> Result<(Finding, SocketAddr), Finding> {
    let port = target.port;
    let connected = tried.iter().filter_map(|(address, tried)| Some((*address, *tried.as_ref().ok()?)));
    let (all, times): (Vec<SocketAddr>, Vec<Duration>) = connected.unzip();
    let (Some(&first), Some(took)) = (all.first(), times.first()) else {
        return Err(unreachable(target, tried));
    };
    let found = format!("port {port} answers at {} ({} ms)", list(&all), took.as_millis());
    let dead = tried.iter().find_map(|(address, tried)| {
        // `localhost` has two addresses, and a server may listen at one of them.
        let error =
            tried.as_ref().err().filter(|error| !address.ip().is_loopback() && !has_no_route(error))?;
        Some((address.ip(), error))
    });
    let Some((address, error)) = dead else { return Ok((ok(found), first)) };
    let (family, record) = if address.is_ipv6() { ("IPv6", "AAAA") } else { ("IPv4", "A") };
    let finding = warning(
        format!("{found}, but its {family} address {address} {}", word(error)),
        format!(
            "Clients lose time there before they try the other address, and some have {family} only. Let the server and its \
             firewall accept port {port} at this address, or remove the {record} record."
        ),
    );
    Ok((finding, first))
}

fn unreachable(target: &Target, tried: &[Tried]) -> Finding {
    let Target { host, port, .. } = target;
    let errors = || tried.iter().filter_map(|(address, tried)| Some((address, tried.as_ref().err()?)));
    let each: Vec<String> =
        errors().map(|(address, error)| format!("{} {}", address.ip(), word(error))).collect();
    let found = format!("no connection to port {port}: {}", each.join(", "));
    let has = |kind| errors().any(|(_, error)| error.kind() == kind);
    let advice = if has(io::ErrorKind::ConnectionRefused) {
        format!(
            "Nothing listens at port {port} of {host}. Check that the broker runs, and that its --port is {port}: without one it is \
             9000. In a container, publish the port. If the broker has --host 127.0.0.1, only its own machine reaches it."
        )
    } else if has(io::ErrorKind::TimedOut) {
        format!(
            "A firewall drops the packets, or the machine is off. Open TCP port {port} in the firewall of the machine and in that of \
             its provider, and check that DNS has the right address."
        )
    } else {
        "This machine has no network to that address. Run the doctor on another one.".to_owned()
    };
    failed(found, advice)
}

/// True if this machine has no route to an address, which proves nothing about the server.
fn has_no_route(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable)
}

fn word(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refuses".to_owned(),
        io::ErrorKind::TimedOut => format!("does not answer within {} s", TCP_TIMEOUT.as_secs()),
        _ if has_no_route(error) => "cannot be reached from this machine".to_owned(),
        _ => format!("fails ({error})"),
    }
}

fn list(addresses: &[SocketAddr]) -> String {
    let each: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    each.join(" and ")
}

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::*;

    const CONNECTED: Result<Duration, io::ErrorKind> = Ok(Duration::ZERO);
    const REFUSED: Result<Duration, io::ErrorKind> = Err(io::ErrorKind::ConnectionRefused);
    const SILENT: Result<Duration, io::ErrorKind> = Err(io::ErrorKind::TimedOut);
    const NO_WAY: Result<Duration, io::ErrorKind> = Err(io::ErrorKind::NetworkUnreachable);

    fn of(tried: Vec<(&str, Result<Duration, io::ErrorKind>)>) -> (State, String, String) {
        let target = Target::parse("https://b.example.com", None).unwrap();
        let tried: Vec<Tried> = tried
            .into_iter()
            .map(|(ip, tried)| ((ip.parse::<IpAddr>().unwrap(), 443).into(), tried.map_err(io::Error::from)))
            .collect();
        let finding = Finding::from(judged(&target, &tried).map(|(finding, _)| finding));
        (finding.state, finding.found, finding.advice.unwrap_or_default())
    }

    #[test]
    fn an_address_of_a_family_that_does_not_answer_is_a_warning() {
        for (v6, v4, family, record) in [
            (SILENT, CONNECTED, "its IPv6 address 2001:db8::1 does not answer", "the AAAA record"),
            (CONNECTED, REFUSED, "its IPv4 address 192.0.2.1 refuses", "the A record"),
        ] {
            let (state, found, advice) = of(vec![("2001:db8::1", v6), ("192.0.2.1", v4)]);
            assert_eq!(state, State::Warning);
            assert!(found.contains(family) && advice.contains(record), "{found} {advice}");
        }
    }

    #[test]
    fn what_this_machine_cannot_reach_says_nothing_about_the_server() {
        let (state, found, _) = of(vec![("2001:db8::1", NO_WAY), ("192.0.2.1", CONNECTED)]);
        assert_eq!((state, &*found), (State::Ok, "port 443 answers at 192.0.2.1 (0 ms)"));
        let (state, _, advice) = of(vec![("2001:db8::1", NO_WAY)]);
        assert!(state == State::Failed && advice.contains("no network"), "{advice}");
        // A server may listen at one of the addresses of `localhost`.
        let (state, ..) = of(vec![("::1", REFUSED), ("127.0.0.1", CONNECTED)]);
        assert_eq!(state, State::Ok);
    }

    #[test]
    fn a_port_that_is_closed_and_one_behind_a_firewall_are_told_apart() {
        let (state, _, advice) = of(vec![("192.0.2.1", REFUSED)]);
        assert!(state == State::Failed && advice.contains("Nothing listens at port 443"), "{advice}");
        let (state, found, advice) = of(vec![("192.0.2.1", SILENT)]);
        assert!(state == State::Failed && found.contains("does not answer within 5 s"), "{found}");
        assert!(advice.contains("firewall"), "{advice}");
    }
}
