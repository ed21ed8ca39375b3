//! The relay: checks if clients reach it at each address that the server adds to the offer of a call.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use futures_util::future::join_all;
use peerbroker_core::address::is_public;
use serde_json::{Value, json};

use super::ice::may_name;
use super::peers::arrival;
use super::report::{Finding, Named};
use super::socket::Socket;
use super::stun::{Connection, Transport, Trouble};

/// Most addresses that are asked.
const MAX_CANDIDATES: usize = 16;
/// A session description with the least that a server needs to add its relay.
const DESCRIPTION: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
                           c=IN IP4 0.0.0.0\r\na=ice-ufrag:doctor\r\na=ice-pwd:peerbroker/doctor/peerbroker\r\na=mid:0\r\n";

/// A way to the relay.
type Candidate = (Transport, SocketAddr);

/// The relay as it was found.
pub(super) struct Relay {
    pub(super) findings: Vec<Named>,
    /// Public addresses at which nothing answers, perhaps only because this is the server's own machine.
    pub(super) unanswered: Vec<IpAddr>,
}

impl Relay {
    fn found(finding: Finding) -> Self {
        Relay { findings: vec![("relay", finding)], unanswered: Vec::new() }
    }
}

/// Checks the relay that the server at the address `broker` names to clients. `waits` if the server says that
/// it has none yet.
pub(super) async fn relay(one: &mut Socket, other: &mut Socket, broker: IpAddr, waits: bool) -> Relay {
    let sdp = described(one, other).await.unwrap_or_default();
    if waits {
        return Relay::found(warning!("no call is relayed: another program has the port of the relay" =>
            "If it is the server before this one, stop that one. The log of the server names the port (docs/CALLS.md)."));
    }
    judged(sdp.lines().filter_map(candidate).take(MAX_CANDIDATES).collect(), broker).await
}

/// The description in an offer of a call, as it arrives.
async fn described(one: &mut Socket, other: &mut Socket) -> Option<String> {
    let description = json!({ "type": "offer", "sdp": DESCRIPTION });
    let payload = json!({ "type": "data", "connectionId": "dc_doctor_relay", "sdp": description });
    one.send(json!({ "type": "OFFER", "dst": other.id, "payload": payload }).to_string()).await.ok()?;
    let arrived: Value = serde_json::from_str(arrival(other, "OFFER").await.ok()?.payload?.get()).ok()?;
    Some(arrived.pointer("/sdp/sdp")?.as_str()?.to_owned())
}

/// Reads a line of a description (RFC 8839, section 5.1; RFC 6544).
fn candidate(line: &str) -> Option<Candidate> {
    let mut words = line.strip_prefix("a=candidate:")?.split(' ').skip(2);
    let transport = if words.next()? == "udp" { Transport::Udp } else { Transport::FramedTcp };
    let ip: IpAddr = words.nth(1)?.parse().ok()?;
    let port = words.next()?.parse().ok()?;
    Some((transport, (ip, port).into()))
}

/// Asks the relay at each of its addresses.
async fn judged(candidates: Vec<Candidate>, broker: IpAddr) -> Relay {
    if candidates.is_empty() {
        return Relay::found(skipped!("the server offers no relay for calls of this key"));
    }
    let (may, must_not): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|(_, at)| may_name(broker, at.ip()));
    let has_others = !may.is_empty();
    let asked = join_all(may.iter().copied().map(async |way| (way, ask(way).await))).await;
    let mut private: Vec<SocketAddr> = must_not.iter().map(|(_, at)| *at).collect();
    private.dedup_by_key(|at| at.ip());
    let named = private
        .into_iter()
        .map(|at| named_in_vain(at, &ports(&must_not, |way| way.1.ip() == at.ip()), has_others));
    // Many NATs do not forward packets from inside to their public address.
    let may_be_nat = |ip: IpAddr| broker.is_loopback() && is_public(ip);
    let is_lost = |answer: &Answer| matches!(answer, Err(Trouble::Silent | Trouble::Closed));
    let mut unanswered: Vec<IpAddr> =
        asked.iter().map(|(way, _)| way.1.ip()).filter(|ip| may_be_nat(*ip)).collect();
    unanswered
        .retain(|ip| asked.iter().filter(|(way, _)| way.1.ip() == *ip).all(|(_, answer)| is_lost(answer)));
    unanswered.sort_unstable();
    unanswered.dedup();
    let lost = unanswered.iter().map(|ip| {
        let ways = asked.iter().filter(|(way, _)| way.1.ip() == *ip);
        let ways: Vec<_> = ways.map(|((transport, at), _)| format!("{} {}", transport.protocol(), at.port())).collect();
        warning!("clients are told that the relay is at {ip}, where nothing answers this machine ({})", ways.join(", ") =>
            "If {ip} is not the public address of this server, or of the NAT in front of it, correct --relay_public. If it is, run the \
             doctor on another machine: many NATs lead none of their own there.")
    });
    let answered = asked.iter().filter(|(way, _)| !unanswered.contains(&way.1.ip()));
    let judged = answered.map(|(way, answer)| match answer {
        Ok(seen) => {
            let protocol = way.0.protocol();
            let at = way.1;
            ok!("the relay at {at} answers over {protocol}: it sees this machine at {}", seen.ip())
        }
        Err(trouble) => {
            let other = asked.iter().find(|(other, answer)| other.1.ip() == way.1.ip() && answer.is_ok());
            explained(*way, trouble, &ports(&may, |other| other.1 == way.1), other.map(|(other, _)| *other))
        }
    });
    let findings = named.chain(lost).chain(judged).map(|finding| ("relay", finding)).collect();
    Relay { findings, unanswered }
}

/// The ports of some ways, as in "UDP and TCP port 3478, and TCP port 9000".
fn ports(ways: &[Candidate], is_meant: impl Fn(&Candidate) -> bool) -> String {
    let mut of_ports = BTreeMap::<u16, BTreeSet<_>>::new();
    for (transport, at) in ways.iter().filter(|way| is_meant(way)) {
        // UDP comes first.
        of_ports.entry(at.port()).or_default().insert(Reverse(transport.protocol()));
    }
    let in_words = of_ports.into_iter().map(|(port, protocols)| {
        let protocols: Vec<_> = protocols.into_iter().map(|Reverse(protocol)| protocol).collect();
        format!("{} port {port}", protocols.join(" and "))
    });
    in_words.collect::<Vec<_>>().join(", and ")
}

/// The finding for an address that clients of the internet cannot reach, at these ports. `has_others` says
/// that they are told others, too.
fn named_in_vain(at: SocketAddr, ports: &str, has_others: bool) -> Finding {
    let ip = at.ip();
    if has_others {
        let family = if ip.is_ipv6() { "IPv6" } else { "IPv4" };
        return warning!("the server also names {ip} as an address of its relay, which only its own network reaches: other clients try \
                         it in vain" =>
            "Name the public {family} address with --relay_public too, or leave {family} out of --relay, which takes the addresses to \
             relay at (docs/CALLS.md).");
    }
    failed!("the server names {ip} as the address of its relay, which only its own network reaches" =>
        "Name the public address with --relay_public. A NAT in front must forward {ports} to the server (docs/CALLS.md).")
}

/// The address of this machine as the relay sees it.
type Answer = Result<SocketAddr, Trouble>;

async fn ask((transport, at): Candidate) -> Answer {
    Connection::open(at, "", transport).await?.0.bind().await
}

/// The finding for a way that does not work. `ports` are those at its address, and `other` leads to the relay
/// at the same host.
fn explained(
    (transport, at): Candidate,
    trouble: &Trouble,
    ports: &str,
    other: Option<Candidate>,
) -> Finding {
    let protocol = transport.protocol();
    let port = at.port();
    let is_udp = transport == Transport::Udp;
    let found = match trouble {
        Trouble::NoRoute => return skipped!("this machine has no network to the relay at {at}"),
        Trouble::Silent => format!("the relay at {at} does not answer over {protocol}"),
        Trouble::Closed => format!("the relay at {at} is closed for {protocol}"),
        Trouble::Broken(error) if !is_udp => {
            return failed!("another program than the relay answers at TCP port {port} of {} ({error})", at.ip() =>
                "If a proxy has that port, name the port that leads to the relay with --relay_tcp_port, or 0 for none (docs/CALLS.md).");
        }
        Trouble::Broken(why) | Trouble::Error { reason: why, .. } => {
            format!("the relay at {at} fails over {protocol} ({why})")
        }
    };
    match (other, is_udp) {
        (Some((_, other)), true) => failed!("{found}, but over TCP at port {}", other.port() =>
            "Open UDP port {port} too, in the firewall of the machine and in the security group of its provider: UDP needs a rule of \
             its own. A NAT in front must forward UDP too. Until then, calls are relayed over TCP, which is slower. If this machine has a \
             private address in the network of the server, only --relay_private is missing."),
        (Some(_), false) => failed!("{found}, but another way to it works" =>
            "Open TCP port {port} too, in the firewall of the machine and in the security group of its provider, for clients whose \
             network blocks UDP. For the broker's own port, --relay_tcp_port 0 tells no client of it."),
        (None, _) => failed!("{found}" =>
            "Open {ports} in the firewall of the machine and in the security group of its provider. A NAT in front \
             must forward that, and --relay_public must be the public address of the NAT. A container must publish it."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::CheckState;

    #[test]
    fn advice_depends_on_what_else_works() {
        let public = "203.0.113.7:3478".parse().unwrap();
        let tcp = (Transport::FramedTcp, "203.0.113.7:9000".parse().unwrap());
        let all = [(Transport::Udp, public), (Transport::FramedTcp, public), tcp];
        let of = |transport, at, trouble, has_other: bool| {
            let ports = ports(&all, |way| way.1 == at);
            let finding = explained((transport, at), &trouble, &ports, has_other.then_some(tcp));
            (finding.state, finding.found + &finding.advice.unwrap_or_default())
        };
        for (at, transport, trouble, has_other, state, words) in [
            (public, Transport::Udp, Trouble::Silent, true, CheckState::Failed, "Open UDP port 3478 too"),
            (
                public,
                Transport::Udp,
                Trouble::Silent,
                true,
                CheckState::Failed,
                "does not answer over UDP, but over TCP at port 9000",
            ),
            (public, Transport::Udp, Trouble::Silent, true, CheckState::Failed, "--relay_private"),
            (
                tcp.1,
                Transport::FramedTcp,
                Trouble::Closed,
                false,
                CheckState::Failed,
                "Open TCP port 9000 in the firewall",
            ),
            (
                public,
                Transport::FramedTcp,
                Trouble::Closed,
                true,
                CheckState::Failed,
                "Open TCP port 3478 too",
            ),
            (
                public,
                Transport::Udp,
                Trouble::Closed,
                false,
                CheckState::Failed,
                "Open UDP and TCP port 3478",
            ),
            (public, Transport::FramedTcp, Trouble::Silent, false, CheckState::Failed, "--relay_public"),
            (
                public,
                Transport::FramedTcp,
                Trouble::Broken(String::new()),
                true,
                CheckState::Failed,
                "_tcp_port",
            ),
            (public, Transport::Udp, Trouble::NoRoute, true, CheckState::Skipped, ""),
        ] {
            let (found, text) = of(transport, at, trouble, has_other);
            assert!(found == state && text.contains(words), "{text}");
        }
    }

    #[tokio::test]
    async fn a_private_address_of_a_public_broker_is_not_asked() {
        let ways = ["udp 255 10.0.0.7 3478", "tcp 255 10.0.0.7 3478", "tcp 255 10.0.0.7 9000"];
        let ways = ways.map(|way| candidate(&format!("a=candidate:1 1 {way} typ host")).unwrap());
        let Relay { findings, .. } = judged(ways.to_vec(), "203.0.113.1".parse().unwrap()).await;
        let [(_, Finding { state: CheckState::Failed, advice: Some(advice), .. })] = &findings[..] else {
            panic!("{findings:?}");
        };
        assert!(advice.contains("--relay_public"), "{advice}");
        assert!(
            advice.contains("forward UDP and TCP port 3478, and TCP port 9000 to the server"),
            "{advice}"
        );
    }

    #[test]
    fn a_private_address_beside_a_public_one_is_a_warning() {
        for (at, family) in [("[fd00::7]:3478", "IPv6"), ("10.0.0.7:3478", "IPv4")] {
            let at: SocketAddr = at.parse().unwrap();
            assert_eq!(named_in_vain(at, "", false).state, CheckState::Failed);
            let Finding { state, found, advice, .. } = named_in_vain(at, "", true);
            assert!(
                state == CheckState::Warning && found.contains(&format!("also names {}", at.ip())),
                "{found}"
            );
            let advice = advice.unwrap_or_default();
            assert!(advice.contains(&format!("leave {family} out of --relay")), "{advice}");
        }
    }
}
