//! The STUN and TURN servers that the broker names: whether clients can use them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use peerbroker::is_public;
use serde::Deserialize;
use tokio::task::JoinSet;

use super::certificate::{Trust, judge};
use super::finding::{Finding, State};
use super::http::Server;
use super::reach::resolve;
use super::stun::{Allocated, Line, Transport, Trouble};

/// Most servers that are asked.
const MAX_SERVERS: usize = 16;

/// What `RTCPeerConnection` takes.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "iceServers")]
    servers: Vec<IceServer>,
}

#[derive(Deserialize)]
struct IceServer {
    urls: Urls,
    username: Option<String>,
    credential: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Urls {
    One(String),
    Many(Vec<String>),
}

/// One URL of a STUN or TURN server (RFC 7064, RFC 7065).
#[derive(Clone, Debug, PartialEq, Eq)]
struct IceUrl {
    text: String,
    is_turn: bool,
    transport: Transport,
    host: String,
    port: u16,
}

/// Name and password for a TURN server.
#[derive(Clone)]
struct Credentials {
    username: String,
    password: String,
}

/// Asks the broker for its ICE servers, and each of them for an address.
pub(super) async fn ice(server: &Server, trust: &Arc<Trust>) -> Vec<Finding> {
    let answer = match server.get(&server.path_of_key("ice"), server.origin.as_deref()).await {
        Ok(answer) => answer,
        Err(error) => return vec![Finding::failed("ice", error.shown(), "Run the doctor again.")],
    };
    let parsed: Option<Answer> = serde_json::from_str(&answer.body).ok();
    let servers = match (answer.status, parsed) {
        (StatusCode::OK, Some(Answer { servers })) => servers,
        (StatusCode::FORBIDDEN, _) => {
            return vec![Finding::skipped("ice", "ICE servers are turned off for this key")];
        }
        (StatusCode::NOT_FOUND, _) => {
            return vec![Finding::skipped("ice", "this server names no STUN or TURN servers: pages have to")];
        }
        _ => {
            return vec![Finding::failed(
                "ice",
                format!("the list of STUN and TURN servers cannot be read ({})", answer.shown()),
                "Open the URL of the broker with KEY/ice behind its path in a browser, and look at the log of the server and of its proxy.",
            )];
        }
    };
    let (mut asked, broker) = (JoinSet::new(), server.address.ip());
    for IceServer { urls, username, credential } in servers {
        let urls = match urls {
            Urls::One(url) => vec![url],
            Urls::Many(urls) => urls,
        };
        let credentials =
            username.zip(credential).map(|(username, password)| Credentials { username, password });
        for url in urls {
            let (number, trust, credentials) = (asked.len(), Arc::clone(trust), credentials.clone());
            if number < MAX_SERVERS {
                asked.spawn(async move { (number, examine(&url, credentials, &trust, broker).await) });
            }
        }
    }
    if asked.is_empty() {
        let found =
            "the server names no STUN or TURN server: calls between some networks need one (docs/CALLS.md)";
        return vec![Finding::ok("ice", found)];
    }
    let mut findings = asked.join_all().await;
    findings.sort_by_key(|(number, _)| *number);
    let count = findings.len();
    let told = Finding::ok("ice", format!("the server names URLs of STUN and TURN servers: {count}"));
    std::iter::once(told).chain(findings.into_iter().map(|(_, finding)| finding)).collect()
}

async fn examine(text: &str, credentials: Option<Credentials>, trust: &Trust, broker: IpAddr) -> Finding {
    let Some(url) = IceUrl::parse(text) else {
        return Finding::failed(
            "ice",
            format!("'{text}' is no URL of a STUN or TURN server"),
            "Correct --stun_url or --turn_url, as in turn:turn.example.org:3478?transport=udp.",
        );
    };
    let addresses = match resolve(&url.host, url.port).await {
        Ok(addresses) => addresses,
        Err(why) => {
            let advice = format!("Check the spelling of {}, or make a DNS record for it.", url.host);
            return Finding::failed(url.check(), format!("{text}: {why}"), advice);
        }
    };
    let is_allowed = |address: &SocketAddr| may_ask(broker, address.ip());
    if !addresses.iter().any(is_allowed) {
        let shown: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
        return Finding::failed(
            url.check(),
            format!("{text} is at {}, which only its own network reaches: not asked", shown.join(", ")),
            "Name a server at a public address in the broker's flags, or examine the broker at its private address.",
        );
    }
    let mut last = None;
    // Browsers use any that works; two are one of each family as a rule.
    for address in addresses.into_iter().filter(is_allowed).take(2) {
        match url.ask(address, credentials.as_ref(), trust).await {
            Ok(finding) => return finding,
            Err(trouble) => last = Some(trouble),
        }
    }
    let trouble = last.unwrap_or(Trouble::Silent);
    url.explained(&trouble, credentials.as_ref())
}

impl IceUrl {
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let (is_turn, secure) = match scheme {
            "stun" => (false, false),
            "stuns" => (false, true),
            "turn" => (true, false),
            "turns" => (true, true),
            _ => return None,
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let transport = match (secure, query) {
            (true, "" | "transport=tcp") => Transport::Tls,
            (false, "" | "transport=udp") => Transport::Udp,
            (false, "transport=tcp") => Transport::Tcp,
            _ => return None,
        };
        let default = if secure { 5349 } else { 3478 };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (place, default),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        (!host.is_empty()).then(|| IceUrl { text: text.to_owned(), is_turn, transport, host, port })
    }

    fn check(&self) -> &'static str {
        if self.is_turn { "turn" } else { "stun" }
    }

    async fn ask(
        &self,
        address: SocketAddr,
        credentials: Option<&Credentials>,
        trust: &Trust,
    ) -> Result<Finding, Trouble> {
        let mut line = Line::open(address, &self.host, self.transport).await?;
        let IceUrl { text, .. } = self;
        if self.transport == Transport::Tls
            && let Some(bad) = judge(&line.chain, &self.host, trust).into_iter().find(Finding::has_failed)
        {
            return Ok(Finding { check: self.check(), found: format!("{text}: {}", bad.found), ..bad });
        }
        if !self.is_turn {
            let mapped = line.bind().await?;
            return Ok(Finding::ok(
                "stun",
                format!("{text} answers: it sees this machine at {}", mapped.ip()),
            ));
        }
        let Some(Credentials { username, password }) = credentials else {
            return Ok(Finding::failed(
                "turn",
                format!("{text} has no username and credential, which browsers demand"),
                "Set --turn_secret.",
            ));
        };
        let Allocated { relayed } = line.allocate(username, password).await?;
        if is_private(relayed.ip()) && !is_private(address.ip()) {
            return Ok(Finding {
                check: "turn",
                state: State::Warning,
                found: format!("{text} relays at {}, which only its own network reaches", relayed.ip()),
                advice: Some(
                    "Tell the TURN server its public address (coturn: external-ip; the broker: --relay_public).".to_owned(),
                ),
            });
        }
        Ok(Finding::ok("turn", format!("{text} relays at {relayed}")))
    }

    fn explained(&self, trouble: &Trouble, credentials: Option<&Credentials>) -> Finding {
        let IceUrl { text, port, .. } = self;
        let protocol = if self.transport == Transport::Udp { "UDP" } else { "TCP" };
        let failed =
            |found: &str, advice: String| Finding::failed(self.check(), format!("{text} {found}"), advice);
        match trouble {
            Trouble::Silent => failed(
                "does not answer",
                format!("Open {protocol} port {port} in every firewall before that server, and check that it listens there."),
            ),
            Trouble::Closed => failed(
                "is closed",
                format!("Nothing listens at {protocol} port {port} there. Start the server, or correct its address in the broker's flags."),
            ),
            Trouble::Unauthorized if credentials.is_some_and(Credentials::are_over) => failed(
                "refuses the credentials, which have ended already",
                "Set the clock of the broker's machine, and a longer --turn_ttl.".to_owned(),
            ),
            Trouble::Unauthorized => failed(
                "refuses the credentials",
                "The broker's --turn_secret and the secret of the TURN server (coturn: use-auth-secret and static-auth-secret) must be the \
                 same, and the clocks of both must be right."
                    .to_owned(),
            ),
            Trouble::Error { code: code @ (486 | 508), reason } => failed(
                &format!("is full ({code} {reason})"),
                "Raise the limits of the TURN server (the broker: --turn_allocations and its likes; coturn: user-quota, total-quota), and \
                 check that its ports are open."
                    .to_owned(),
            ),
            Trouble::Error { code, reason } => {
                failed(&format!("refuses ({code} {reason})"), "Look at the log of that server.".to_owned())
            }
            Trouble::Broken(error) => failed(
                &format!("fails ({error})"),
                format!("Check that a STUN or TURN server listens at {protocol} port {port}, and not another program."),
            ),
        }
    }
}

impl Credentials {
    /// Whether the time in the username is over. Its form is that of coturn's `use-auth-secret`.
    fn are_over(&self) -> bool {
        let until = self.username.split(':').next().and_then(|seconds| seconds.parse::<u64>().ok());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        until.is_some_and(|until| until < now)
    }
}

/// True if a server that a broker names is asked. A broker in the Internet must not lead this machine into its own network.
fn may_ask(broker: IpAddr, server: IpAddr) -> bool {
    is_public(server) || !is_public(broker)
}

/// Whether only the own network or machine reaches an address.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => {
            ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_the_forms_of_their_rfcs() {
        let table = [
            ("stun:h", false, Transport::Udp, "h", 3478),
            ("stun:[2001:db8::1]:99", false, Transport::Udp, "2001:db8::1", 99),
            ("stun:[2001:db8::1]", false, Transport::Udp, "2001:db8::1", 3478),
            ("turn:h:80?transport=tcp", true, Transport::Tcp, "h", 80),
            ("turn:h?transport=udp", true, Transport::Udp, "h", 3478),
            ("turns:h", true, Transport::Tls, "h", 5349),
            ("turns:h:443?transport=tcp", true, Transport::Tls, "h", 443),
        ];
        for (text, is_turn, transport, host, port) in table {
            let host = host.to_owned();
            let expected = IceUrl { text: text.to_owned(), is_turn, transport, host, port };
            assert_eq!(IceUrl::parse(text), Some(expected));
        }
        for text in ["", "http://h", "stun:", "stun:h:x", "turn:h?transport=x", "turns:h?transport=udp"] {
            assert_eq!(IceUrl::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_broker_in_the_internet_leads_to_no_private_server() {
        let trust = Trust::load(None).unwrap();
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("turn:{}?transport=tcp", open.local_addr().unwrap());
        let public = "203.0.113.1".parse().unwrap();
        let finding = examine(&url, None, &trust, public).await;
        assert!(finding.has_failed() && finding.found.contains("not asked"), "{}", finding.found);
        let asking = examine(&url, None, &trust, "192.168.1.2".parse().unwrap());
        tokio::select! {
            biased;
            finding = asking => assert!(finding.found.contains("no username"), "{}", finding.found),
            accepted = open.accept() => drop(accepted.unwrap()),
        }
        for (server, is_asked) in [
            ("198.51.100.1", true),
            ("10.0.0.1", false),
            ("169.254.169.254", false),
            ("168.63.129.16", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("fd00::1", false),
        ] {
            let server = server.parse().unwrap();
            assert_eq!(may_ask(public, server), is_asked, "{server}");
            assert!(
                may_ask("127.0.0.1".parse().unwrap(), server) && may_ask("fd00::2".parse().unwrap(), server)
            );
        }
    }

    #[test]
    fn credentials_that_have_ended_are_told_from_wrong_ones() {
        let url = IceUrl::parse("turn:h").unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        for (until, words) in [(now - 60, "have ended already"), (now + 3600, "refuses the credentials")] {
            let credentials = Credentials { username: format!("{until}:peerjs"), password: String::new() };
            let finding = url.explained(&Trouble::Unauthorized, Some(&credentials));
            assert!(finding.found.contains(words), "{}", finding.found);
            assert_eq!(finding.found.contains("have ended"), until < now);
        }
    }
}
