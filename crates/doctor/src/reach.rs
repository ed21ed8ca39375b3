//! From a name to a port that answers: DNS and TCP.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::report::Finding;
use super::target::Target;

/// The timeout of a question to DNS. Resolvers of systems try several servers.
const DNS_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of a connection.
const TCP_TIMEOUT: Duration = Duration::from_secs(5);
/// Most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 16;

/// An address, and the time after which it has accepted a connection. A timeout is an error of the system,
/// too.
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
        return Ok((skipped!("{address} needs no DNS"), vec![(address, *port).into()]));
    }
    let addresses = resolve(host, *port).await.map_err(|why| {
        failed!("{why}" =>
            "Check the spelling of {host}. If it is right, make an A record (IPv4) or an AAAA record (IPv6) of it that leads to the \
             server; a new record may need some minutes.")
    })?;
    Ok((ok!("{host} is {}", list(&addresses)), addresses))
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
    let Some((address, error)) = dead else { return Ok((ok!("{found}"), first)) };
    let (family, record) = if address.is_ipv6() { ("IPv6", "AAAA") } else { ("IPv4", "A") };
    let finding = warning!("{found}, but its {family} address {address} {}", word(error) =>
        "Clients lose time there before they try the other address, and some have {family} only. Let the server and its firewall \
         accept port {port} at this address, or remove the {record} record.");
    Ok((finding, first))
}

fn unreachable(Target { host, port, .. }: &Target, tried: &[Tried]) -> Finding {
    let errors = || tried.iter().filter_map(|(address, tried)| Some((address, tried.as_ref().err()?)));
    let each: Vec<_> = errors().map(|(address, error)| format!("{} {}", address.ip(), word(error))).collect();
    let found = format!("no connection to port {port}: {}", each.join(", "));
    let has = |kind| errors().any(|(_, error)| error.kind() == kind);
    if has(io::ErrorKind::ConnectionRefused) {
        failed!("{found}" =>
            "Nothing listens at port {port} of {host}. Check that the broker runs, and that its --port is {port}: without one it is \
             9000. In a container, publish the port. If the broker has --host 127.0.0.1, only its own machine reaches it.")
    } else if has(io::ErrorKind::TimedOut) || has(io::ErrorKind::HostUnreachable) {
        failed!("{found}" =>
            "A firewall stops the packets, or the machine is off. Open TCP port {port} in the firewall of the machine and in that of \
             its provider, and check that DNS has the right address.")
    } else {
        failed!("{found}" => "This machine has no network to that address. Run the doctor on another one.")
    }
}

/// True if this machine has no route to an address, which proves nothing about the server.
pub(super) fn has_no_route(error: &io::Error) -> bool {
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
    use super::super::report::CheckState;
    use super::*;

    const CONNECTED: Result<Duration, io::ErrorKind> = Ok(Duration::ZERO);
    const REFUSED: Result<Duration, io::ErrorKind> = Err(io::ErrorKind::ConnectionRefused);
    const SILENT: Result<Duration, io::ErrorKind> = Err(io::ErrorKind::TimedOut);
    const NO_WAY: Result<Duration, io::ErrorKind> = Err(io::ErrorKind::NetworkUnreachable);

    #[test]
    fn addresses_are_judged_together() {
        use CheckState::{Failed, Ok, Warning};
        let v6 = "2001:db8::1";
        let v4 = "192.0.2.1";
        for (tried, expected, words) in [
            (&[(v6, SILENT), (v4, CONNECTED)][..], Warning, "its IPv6 address 2001:db8::1 does not answer"),
            (&[(v6, SILENT), (v4, CONNECTED)], Warning, "remove the AAAA record"),
            (&[(v6, CONNECTED), (v4, REFUSED)], Warning, "its IPv4 address 192.0.2.1 refuses"),
            (&[(v6, CONNECTED), (v4, REFUSED)], Warning, "remove the A record"),
            // An address that this machine cannot reach says nothing about the server.
            (&[(v6, NO_WAY), (v4, CONNECTED)], Ok, "port 443 answers at 192.0.2.1 (0 ms)"),
            (&[(v6, NO_WAY)], Failed, "no network"),
            // A server may listen at one of the addresses of `localhost`.
            (&[("::1", REFUSED), ("127.0.0.1", CONNECTED)], Ok, "answers at 127.0.0.1"),
            (&[(v4, REFUSED)], Failed, "Nothing listens at port 443"),
            (&[(v4, SILENT)], Failed, "does not answer within 5 s"),
            (&[(v4, SILENT)], Failed, "firewall"),
        ] {
            let target = Target::parse("https://b.test", None).unwrap();
            let address = |ip: &str| (ip.parse::<IpAddr>().unwrap(), 443).into();
            let tried: Vec<Tried> =
                tried.iter().map(|(ip, tried)| (address(ip), tried.map_err(io::Error::from))).collect();
            let finding = Finding::from(judged(&target, &tried).map(|(finding, _)| finding));
            let said = format!("{} {}", finding.found, finding.advice.unwrap_or_default());
            assert!(finding.state == expected && said.contains(words), "{words} in {said}");
        }
    }
}
