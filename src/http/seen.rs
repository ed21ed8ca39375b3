//! What a proxy in front hides: under what address clients see this server, and theirs.

use std::net::{IpAddr, SocketAddr};

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName};

use super::mounted::Mounted;
use crate::app::Parts;
use crate::client_options::ClientOptions;
use crate::config::Config;

/// Longest host that is believed: what DNS allows.
const MAX_HOST: usize = 253;

/// The way of a request: from which client, and through how many trusted proxies.
pub(crate) struct Way {
    pub(crate) client: IpAddr,
    proxies: usize,
    /// Whether a proxy has said who the client is.
    is_named: bool,
}

/// The options of a client, as the one who asks sees this server.
pub(super) fn client_options(mounted: &Mounted, request: &HttpRequest) -> ClientOptions {
    by_client(mounted, request.headers(), request.peer_addr(), mounted.is_secure(request))
}

/// The options that match what a request says, or what the trusted proxies in front of us say. `secure`
/// is whether the request came over TLS.
pub(super) fn by_client(
    mounted: &Mounted,
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
    secure: bool,
) -> ClientOptions {
    let config = &mounted.parts.config();
    let proxies = peer.map_or(0, |peer| way(config, headers, peer).proxies);
    let forwarded = |name| forwarded(headers, name, proxies);
    let secure = forwarded("x-forwarded-proto").map_or(secure, |proto| proto == "https");
    let asked = || headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = forwarded("x-forwarded-host").or_else(asked).unwrap_or("localhost");
    let host: String = host.chars().take(MAX_HOST).collect();
    let default = if secure { 443 } else { 80 };
    let (host, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && !port.ends_with(']') => {
            (name.to_owned(), port.parse().unwrap_or(default))
        }
        _ => (host, default),
    };
    ClientOptions::new(host, port, &mounted.path, &config.shown_key(), secure)
}

/// The value of the furthest trusted proxy. Each proxy appends one value or replaces all, so the client wrote those that
/// stand further left than there are proxies.
fn forwarded<'a>(headers: &'a HeaderMap, name: &'static str, proxies: usize) -> Option<&'a str> {
    let lines = headers.get_all(HeaderName::from_static(name)).filter_map(|line| line.to_str().ok());
    let values = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|value| !value.is_empty());
    let values: Vec<&str> = values.collect();
    values.get(values.len().saturating_sub(proxies)..)?.first().copied()
}

/// The address of a client: that of its connection, or what trusted proxies say.
pub(super) fn client_address(parts: &Parts, headers: &HeaderMap, peer: Option<SocketAddr>) -> Option<IpAddr> {
    let peer = peer?;
    let Way { client, proxies, is_named } = way(&parts.config(), headers, peer);
    if proxies > 0 && !is_named {
        parts.silent_proxy.call_once(|| {
            log::warn!(
                "a request from the trusted proxy {client} has no X-Forwarded-For, so all clients of that proxy \
                 share its address and its limits: have the proxy set the header (logged once)"
            );
        });
    }
    Some(client)
}

/// Follows the hops from the nearest on, up to the first that is not trusted. What is further off anybody
/// could have written.
pub(crate) fn way(config: &Config, headers: &HeaderMap, peer: SocketAddr) -> Way {
    let mut client = peer.ip().to_canonical();
    if !config.is_proxy(&client) {
        return Way { client, proxies: 0, is_named: false };
    }
    let mut named = 0;
    let mut hops = forwarded_for(headers).into_iter().rev();
    while config.is_proxy(&client)
        && let Some(Some(hop)) = hops.next()
    {
        client = hop;
        named += 1;
    }
    // The nearest proxy is one even if it names nobody.
    Way { client, proxies: named.max(1), is_named: named > 0 }
}

/// The hops that a request has taken, the client's own first; `None` is one that cannot be read.
fn forwarded_for(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let all = |name: HeaderName| {
        let lines = headers.get_all(name).map(|line| line.to_str().unwrap_or_default());
        lines.flat_map(|line| line.split(',')).map(|hop| hop.trim().to_owned()).collect::<Vec<_>>()
    };
    let hops = all(HeaderName::from_static("x-forwarded-for"));
    if !hops.is_empty() {
        return hops.iter().map(|hop| hop_address(hop)).collect();
    }
    let hops = all(header::FORWARDED);
    let address = |hop: &String| {
        let mut pairs = hop.split(';').filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
        hop_address(value.trim_matches('"'))
    };
    hops.iter().map(address).collect()
}

/// An address, perhaps with a port; IPv6 perhaps in brackets.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().or_else(|_| hop.parse().map(|socket: SocketAddr| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let request = lines.iter().fold(TestRequest::default(), |request, line| request.append_header(*line));
        request.to_http_request().headers().clone()
    }

    fn way_of(peer: &str, headers: &HeaderMap) -> Way {
        let config = Config { proxied: true, ..Config::default() };
        way(&config, headers, SocketAddr::new(peer.parse().unwrap(), 1))
    }

    fn seen(peer: &str, lines: &[(&'static str, &str)]) -> String {
        way_of(peer, &headers(lines)).client.to_string()
    }

    #[test]
    fn the_address_is_the_nearest_that_is_not_a_trusted_proxy() {
        let xff = "x-forwarded-for";
        for (peer, lines, address) in [
            ("127.0.0.1", &[][..], "127.0.0.1"),
            ("127.0.0.1", &[(xff, "192.0.2.1")], "192.0.2.1"),
            ("10.0.0.1", &[(xff, "192.0.2.1")], "192.0.2.1"),
            // The client's own values stand further left.
            ("127.0.0.1", &[(xff, "198.51.100.9, 192.0.2.1")], "192.0.2.1"),
            ("127.0.0.1", &[(xff, "198.51.100.9"), (xff, "192.0.2.1")], "192.0.2.1"),
            ("127.0.0.1", &[(xff, "198.51.100.9, 192.0.2.1, 10.1.2.3")], "192.0.2.1"),
            ("127.0.0.1", &[(xff, "192.0.2.1:4711")], "192.0.2.1"),
            ("127.0.0.1", &[(xff, "[2001:db8::1]:4711")], "2001:db8::1"),
            ("127.0.0.1", &[(xff, "::ffff:192.0.2.1")], "192.0.2.1"),
            // All are trusted: the furthest.
            ("127.0.0.1", &[(xff, "10.0.0.7, 10.0.0.8")], "10.0.0.7"),
            // What cannot be read ends the way.
            ("127.0.0.1", &[(xff, "192.0.2.1, unknown")], "127.0.0.1"),
            ("127.0.0.1", &[(xff, "")], "127.0.0.1"),
            // Headers from other addresses than trusted proxies are ignored.
            ("192.0.2.5", &[(xff, "198.51.100.9")], "192.0.2.5"),
            (
                "127.0.0.1",
                &[("forwarded", "for=198.51.100.9, For=\"[2001:db8::1]:4711\";proto=https")],
                "2001:db8::1",
            ),
            ("127.0.0.1", &[("forwarded", "for=_hidden")], "127.0.0.1"),
            ("127.0.0.1", &[(xff, "192.0.2.1"), ("forwarded", "for=198.51.100.9")], "192.0.2.1"),
        ] {
            assert_eq!(seen(peer, lines), address, "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_host_is_what_the_furthest_trusted_proxy_says() {
        let (xff, xfh) = ("x-forwarded-for", "x-forwarded-host");
        for (peer, lines, host) in [
            ("127.0.0.1", &[][..], None),
            ("127.0.0.1", &[(xfh, "a.test")], Some("a.test")),
            ("127.0.0.1", &[(xfh, " , ")], None),
            // The client's own values stand further left.
            ("127.0.0.1", &[(xff, "192.0.2.1"), (xfh, "evil.test, a.test")], Some("a.test")),
            ("127.0.0.1", &[(xff, "192.0.2.1"), (xfh, "evil.test"), (xfh, "a.test")], Some("a.test")),
            // A client in a network of proxies is none.
            ("127.0.0.1", &[(xff, "10.0.0.7"), (xfh, "evil.test, a.test")], Some("a.test")),
            (
                "127.0.0.1",
                &[(xff, "192.0.2.1, 10.0.0.7"), (xfh, "evil.test, a.test, inner.test")],
                Some("a.test"),
            ),
            ("127.0.0.1", &[(xff, "192.0.2.1, 10.0.0.7"), (xfh, "a.test")], Some("a.test")),
            ("127.0.0.1", &[(xff, "10.0.0.9, 192.0.2.1"), (xfh, "evil.test, a.test")], Some("a.test")),
            // Headers from other addresses than trusted proxies are ignored.
            ("192.0.2.5", &[(xfh, "evil.test")], None),
            ("192.0.2.5", &[(xff, "127.0.0.1"), (xfh, "evil.test")], None),
        ] {
            let headers = headers(lines);
            let proxies = way_of(peer, &headers).proxies;
            assert_eq!(forwarded(&headers, xfh, proxies), host, "{peer} {lines:?}");
        }
    }
}
