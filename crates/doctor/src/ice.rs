//! The STUN and TURN servers that the broker names: checks if clients can use them.

use std::net::{IpAddr, SocketAddr};
use std::slice;

use futures_util::future::join_all;
use hyper::StatusCode;
use jiff::Timestamp;
use peerbroker_core::address::is_public;
use serde::Deserialize;
use serde_json::Value;
use stun_types::message::LongTermCredentials;
use url::Url;

use super::certificate::{Trust, judge};
use super::http::{Server, shown};
use super::reach::resolve;
use super::report::{Finding, Named};
use super::stun::{Connection, Transport, Trouble};

/// Most servers that are asked.
const MAX_SERVERS: usize = 16;

/// The configuration that `RTCPeerConnection` takes.
#[derive(Deserialize)]
struct Configuration {
    #[serde(rename = "iceServers")]
    servers: Vec<IceServer>,
}

#[derive(Deserialize)]
struct IceServer {
    /// A text, or a list.
    urls: Value,
    username: Option<String>,
    credential: Option<String>,
}

/// The URL of a STUN or TURN server (RFC 7064, RFC 7065).
struct IceUrl {
    text: String,
    credentials: Option<LongTermCredentials>,
    is_turn: bool,
    transport: Transport,
    host: String,
    port: u16,
}

/// Asks the broker for its ICE servers, and each of them for an address, but not those at which the relay
/// does not answer.
pub(super) async fn ice(server: &Server, trust: &Trust, unanswered: &[IpAddr]) -> Vec<Named> {
    let servers = match ice_servers(server).await {
        Ok(servers) => servers,
        Err(finding) => return vec![("ice", finding)],
    };
    let mut examined = Vec::new();
    for IceServer { urls, username, credential } in servers {
        let credentials =
            username.zip(credential).map(|(username, password)| LongTermCredentials::new(username, password));
        let broker = server.address.ip();
        let urls = urls.as_array().map_or(slice::from_ref(&urls), Vec::as_slice).iter();
        let texts = urls.map(|url| url.as_str().map_or_else(|| url.to_string(), str::to_owned));
        examined.extend(texts.map(|text| examine(text, credentials.clone(), trust, broker, unanswered)));
    }
    examined.truncate(MAX_SERVERS);
    let ice = match examined.len() {
        0 => ok!(
            "the server names no STUN or TURN server: calls between some networks need one (docs/CALLS.md)"
        ),
        count => ok!("the server names URLs of STUN and TURN servers: {count}"),
    };
    let mut findings = vec![("ice", ice)];
    findings.extend(join_all(examined).await);
    findings
}

async fn ice_servers(server: &Server) -> Result<Vec<IceServer>, Finding> {
    let answer = server.get(&server.path_of_key("ice")).await?;
    match (answer.status(), serde_json::from_str(answer.body())) {
        (StatusCode::OK, Ok(Configuration { servers })) => Ok(servers),
        (StatusCode::FORBIDDEN, _) => Err(skipped!("ICE servers are turned off for this key")),
        (StatusCode::NOT_FOUND, _) => {
            Err(skipped!("this server names no STUN or TURN servers: pages have to"))
        }
        _ => Err(failed!("the list of STUN and TURN servers cannot be read ({})", shown(&answer) =>
            "Open the URL of the broker with KEY/ice behind its path in a browser, and look at the log of the server and of its proxy.")),
    }
}

async fn examine(
    text: String,
    credentials: Option<LongTermCredentials>,
    trust: &Trust,
    broker: IpAddr,
    unanswered: &[IpAddr],
) -> Named {
    let Some(url) = IceUrl::parse(&text, credentials) else {
        let finding = failed!("'{text}' is no URL of a STUN or TURN server" =>
            "Correct --stun_url or --turn_url, as in turn:turn.example.org:3478?transport=udp.");
        return ("ice", finding);
    };
    let check = if url.is_turn { "turn" } else { "stun" };
    (check, url.examine(trust, broker, unanswered).await.into())
}

impl IceUrl {
    fn parse(text: &str, credentials: Option<LongTermCredentials>) -> Option<Self> {
        // With the slashes, it has the syntax of other URLs.
        let url = Url::parse(&text.replacen(':', "://", 1)).ok()?;
        let (is_turn, secure) = match url.scheme() {
            "stun" => (false, false),
            "stuns" => (false, true),
            "turn" => (true, false),
            "turns" => (true, true),
            _ => return None,
        };
        let transport = match (secure, url.query()) {
            (true, None | Some("transport=tcp")) => Transport::Tls,
            (false, None | Some("transport=udp")) => Transport::Udp,
            (false, Some("transport=tcp")) => Transport::Tcp,
            _ => return None,
        };
        let host = url.host_str().filter(|host| !host.is_empty())?.trim_matches(['[', ']']).to_owned();
        let port = url.port().unwrap_or(if secure { 5349 } else { 3478 });
        Some(IceUrl { text: text.to_owned(), credentials, is_turn, transport, host, port })
    }

    async fn examine(
        &self,
        trust: &Trust,
        broker: IpAddr,
        unanswered: &[IpAddr],
    ) -> Result<Finding, Finding> {
        let IceUrl { text, host, .. } = self;
        let addresses = resolve(host, self.port).await.map_err(
            |why| failed!("{text}: {why}" => "Check the spelling of {host}, or make a DNS record for it."),
        )?;
        let is_allowed = |address: &&SocketAddr| may_name(broker, address.ip());
        if !addresses.iter().any(|address| is_allowed(&address)) {
            let shown: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
            return Err(
                failed!("{text} is at {}, which only its own network reaches: not asked", shown.join(", ") =>
                "Name a server at a public address in the broker's flags (its own: --relay_public), or examine the broker at its \
                 private address."),
            );
        }
        if addresses.iter().all(|address| unanswered.contains(&address.ip())) {
            return Ok(skipped!(
                "{text} is at the address of the relay, where nothing answers this machine: not asked"
            ));
        }
        let mut trouble = Trouble::NoRoute;
        // Browsers use any that works; two are usually one of each family.
        for address in addresses.iter().filter(is_allowed).take(2) {
            match self.ask(*address, trust).await {
                Ok(finding) => return Ok(finding),
                Err(Trouble::NoRoute) => {}
                Err(last) => {
                    let has_tcp = || async { Connection::open(*address, host, Transport::Tcp).await.is_ok() };
                    if self.transport == Transport::Udp && matches!(last, Trouble::Silent) && has_tcp().await
                    {
                        return Err(
                            failed!("{text} does not answer, though TCP port {0} is open there", self.port =>
                            "Open UDP port {0} too, in the firewall of its machine and in the security group of its provider: UDP \
                             needs a rule of its own.", self.port),
                        );
                    }
                    trouble = last;
                }
            }
        }
        Err(self.explained(&trouble))
    }

    async fn ask(&self, address: SocketAddr, trust: &Trust) -> Result<Finding, Trouble> {
        let IceUrl { text, host, .. } = self;
        let (mut connection, chain) = Connection::open(address, host, self.transport).await?;
        if self.transport == Transport::Tls {
            let judged = judge(&chain, host, trust).into_iter().map(|(_, finding)| finding);
            if let Some(bad) = judged.into_iter().find(Finding::has_failed) {
                return Ok(Finding { found: format!("{text}: {}", bad.found), ..bad });
            }
        }
        if !self.is_turn {
            let mapped = connection.bind().await?;
            return Ok(ok!("{text} answers: it sees this machine at {}", mapped.ip()));
        }
        let Some(credentials) = self.credentials.clone() else {
            return Ok(
                failed!("{text} has no username and credential, which browsers demand" => "Set --turn_secret."),
            );
        };
        let relayed = connection.allocate(credentials).await?;
        if may_name(address.ip(), relayed.ip()) {
            return Ok(ok!("{text} relays at {relayed}"));
        }
        Ok(warning!("{text} relays at {}, which only its own network reaches", relayed.ip() =>
            "Tell the TURN server its public address (coturn: external-ip; the broker: --relay_public)."))
    }

    fn explained(&self, trouble: &Trouble) -> Finding {
        let IceUrl { text, port, .. } = self;
        let protocol = self.transport.protocol();
        match trouble {
            Trouble::NoRoute => skipped!("this machine has no network to {text}"),
            Trouble::Silent => failed!("{text} does not answer" =>
                "Open {protocol} port {port} in every firewall before that server, and check that it listens there."),
            Trouble::Closed => failed!("{text} is closed" =>
                "Nothing listens at {protocol} port {port} there. Start the server, or correct its address in the broker's flags."),
            Trouble::Error { code: 401, .. } if self.credentials.as_ref().is_some_and(are_over) => failed!(
                "{text} refuses the credentials, which have ended already" =>
                "Set the clock of the broker's machine, and a longer --turn_ttl."),
            Trouble::Error { code: 401, .. } => failed!("{text} refuses the credentials" =>
                "The broker's --turn_secret and the secret of the TURN server (coturn: use-auth-secret and static-auth-secret) must be \
                 the same, and the clocks of both must be right."),
            Trouble::Error { code: code @ (486 | 508), reason } => {
                failed!("{text} is full ({code} {reason})" =>
                "Raise the limits of the TURN server (the broker: --relay_calls; coturn: user-quota, total-quota), \
                 and check that its ports are open.")
            }
            Trouble::Error { code, reason } => {
                failed!("{text} refuses ({code} {reason})" => "Look at the log of that server.")
            }
            Trouble::Broken(error) => failed!("{text} fails ({error})" =>
                "Check that a STUN or TURN server listens at {protocol} port {port}, with TLS for turns:, and no other program."),
        }
    }
}

/// True if the time in the username is over. Its form is that of coturn's `use-auth-secret`.
fn are_over(credentials: &LongTermCredentials) -> bool {
    let until = credentials.username().split(':').next().and_then(|seconds| seconds.parse::<i64>().ok());
    until.is_some_and(|until| until < Timestamp::now().as_second())
}

/// True if a server may name this address. One in the Internet must name no address that leads into another
/// network, such as that of this machine.
pub(super) fn may_name(server: IpAddr, address: IpAddr) -> bool {
    is_public(address) || !is_public(server)
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
            let url = IceUrl::parse(text, None).unwrap();
            assert_eq!((&*url.text, &*url.host, url.port), (text, host, port));
            assert_eq!((url.is_turn, url.transport), (is_turn, transport), "{text}");
        }
        for text in ["", "http://h", "stun:", "stun:h:x", "turn:h?transport=x", "turns:h?transport=udp"] {
            assert!(IceUrl::parse(text, None).is_none(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_broker_in_the_internet_leads_to_no_private_server() {
        let trust = Trust::load(None).unwrap();
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("turn:{}?transport=tcp", open.local_addr().unwrap());
        let public = "203.0.113.1".parse().unwrap();
        let (_, finding) = examine(url.clone(), None, &trust, public, &[]).await;
        assert!(finding.has_failed() && finding.found.contains("not asked"), "{}", finding.found);
        let asking = examine(url.clone(), None, &trust, "192.168.1.2".parse().unwrap(), &[]);
        tokio::select! {
            biased;
            (_, finding) = asking => assert!(finding.found.contains("no username"), "{}", finding.found),
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
            assert_eq!(may_name(public, server), is_asked, "{server}");
            assert!(["127.0.0.1", "fd00::2"].iter().all(|own| may_name(own.parse().unwrap(), server)));
        }
    }

    #[test]
    fn credentials_that_have_ended_are_told_from_wrong_ones() {
        let now = Timestamp::now().as_second();
        for (until, words) in [(now - 60, "have ended already"), (now + 3600, "refuses the credentials")] {
            let credentials = LongTermCredentials::new(format!("{until}:peerjs"), String::new());
            let url = IceUrl::parse("turn:h", Some(credentials)).unwrap();
            let finding = url.explained(&Trouble::Error { code: 401, reason: String::new() });
            assert!(finding.found.contains(words), "{}", finding.found);
            assert_eq!(finding.found.contains("have ended"), until < now);
        }
    }
}
