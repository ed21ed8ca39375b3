//! Headers of trusted proxies: the client's address, and the URL under which clients reach this server.

use std::net::{IpAddr, SocketAddr};

use actix_http::RequestHead;
use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName};

use super::handler::Mounted;
use crate::runtime::Runtime;
use peerbroker_config::{ClientOptions, Config};
use peerbroker_core::address::Locality;
use peerbroker_system::lan;

/// Longest host name that DNS allows.
const MAX_HOST: usize = 253;

/// The client of a request, and the trusted proxies that forwarded it.
pub(crate) struct ProxyChain {
    pub(crate) client: IpAddr,
    proxies: usize,
    /// A proxy named the client.
    is_client_named: bool,
}

/// The client options with which the client of this request reaches the server.
pub(super) fn client_options(mounted: &Mounted, request: &HttpRequest) -> ClientOptions {
    client_options_of(mounted, request.head(), mounted.is_secure(request))
}

/// The client options by the request's `Host`, or by the headers of the trusted proxies in front of this
/// server. `secure` is true if the request came over TLS.
pub(super) fn client_options_of(mounted: &Mounted, head: &RequestHead, secure: bool) -> ClientOptions {
    let headers = head.headers();
    let config = &mounted.runtime.config();
    let proxies = head.peer_addr.map_or(0, |peer| proxy_chain(config, headers, peer).proxies);
    let forwarded_value = |name| forwarded_value(headers, name, proxies);
    let secure = forwarded_value("x-forwarded-proto").map_or(secure, |proto| proto == "https");
    let own_host = || headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = forwarded_value("x-forwarded-host").or_else(own_host).unwrap_or("localhost");
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

/// The value of the furthest trusted proxy. Each proxy appends one value or replaces all, so with n proxies
/// all values before the last n come from the client.
fn forwarded_value<'a>(headers: &'a HeaderMap, name: &'static str, proxies: usize) -> Option<&'a str> {
    let lines = headers.get_all(HeaderName::from_static(name)).filter_map(|line| line.to_str().ok());
    let values = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|value| !value.is_empty());
    let values: Vec<&str> = values.collect();
    values.get(values.len().saturating_sub(proxies)..)?.first().copied()
}

/// The client's address: that of its connection, or the one that trusted proxies name.
pub(super) fn client_address(
    runtime: &Runtime,
    peer: Option<SocketAddr>,
    headers: &HeaderMap,
) -> Option<IpAddr> {
    client_locality(runtime, peer, headers).0
}

/// The client's address, and its locality: unknown if the address may be that of a proxy.
pub(super) fn client_locality(
    runtime: &Runtime,
    peer: Option<SocketAddr>,
    headers: &HeaderMap,
) -> (Option<IpAddr>, Locality) {
    let Some(peer) = peer else { return (None, Locality::Unknown) };
    let config = runtime.config();
    let ProxyChain { client, proxies, is_client_named } = proxy_chain(&config, headers, peer);
    if proxies > 0 && !is_client_named {
        runtime.silent_proxy.call_once(|| {
            log::warn!(
                "a request from the trusted proxy {client} has no X-Forwarded-For, so all clients of that proxy \
                 share its address and its limits: have the proxy set the header (logged once)"
            );
        });
    }
    if proxies == 0 && headers.contains_key(header::X_FORWARDED_FOR) {
        warn_of_ignored_proxy(runtime, &config, client);
    }
    let is_of_proxy = if proxies == 0 { is_forwarded(headers) } else { !is_client_named };
    let locality = || Locality::of(client, lan::has_prefix);
    (Some(client), if is_of_proxy { Locality::Unknown } else { locality() })
}

fn warn_of_ignored_proxy(runtime: &Runtime, config: &Config, proxy: IpAddr) {
    let remedy = if config.is_proxy(&proxy) {
        "have it send the secret of --proxy_secret in X-Proxy-Secret"
    } else if config.proxied {
        "add it to --trusted_proxy"
    } else if config.trusted_proxies.iter().any(|network| network.contains(&proxy)) {
        "start the broker with --proxied"
    } else {
        // Clients behind a proxy of their own network send the header too.
        return;
    };
    runtime.ignored_proxy.call_once(|| {
        log::warn!(
            "a request from {proxy} has X-Forwarded-For, which is ignored. If {proxy} is your proxy, all its clients share its \
             address and its limits: {remedy} (logged once)"
        );
    });
}

/// True if a proxy names a client, trusted or not.
fn is_forwarded(headers: &HeaderMap) -> bool {
    [header::X_FORWARDED_FOR, header::FORWARDED, header::VIA]
        .into_iter()
        .any(|name| headers.contains_key(name))
}

/// Follows the hops from the nearest one to the first that is not trusted. Any client could have written the
/// hops beyond it.
pub(crate) fn proxy_chain(config: &Config, headers: &HeaderMap, peer: SocketAddr) -> ProxyChain {
    let mut client = peer.ip().to_canonical();
    if !config.is_proxy(&client) || !has_secret(config, headers) {
        return ProxyChain { client, proxies: 0, is_client_named: false };
    }
    let mut named = 0;
    let mut hops = forwarded_for(headers).into_iter().rev();
    while config.is_proxy(&client)
        && let Some(Some(hop)) = hops.next()
    {
        client = hop;
        named += 1;
    }
    // The nearest proxy counts even if it names no client.
    ProxyChain { client, proxies: named.max(1), is_client_named: named > 0 }
}

/// True if a request comes from a trusted proxy.
pub(crate) fn is_by_proxy(config: &Config, head: &RequestHead) -> bool {
    let is_proxy = head.peer_addr.is_some_and(|peer| config.is_proxy(&peer.ip().to_canonical()));
    is_proxy && has_secret(config, head.headers())
}

/// True if a request has the secret of the proxies, or needs none.
fn has_secret(config: &Config, headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(HeaderName::from_static("x-proxy-secret"));
    config.proxy_secret.as_ref().is_none_or(|secret| given.any(|value| secret.is(value.as_bytes())))
}

/// The hops of a request, the client first. A hop that cannot be parsed is `None`.
fn forwarded_for(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let values = |name: HeaderName| {
        let lines = headers.get_all(name).map(|line| line.to_str().unwrap_or_default());
        lines.flat_map(|line| line.split(',')).map(|hop| hop.trim().to_owned()).collect::<Vec<_>>()
    };
    let hops = values(HeaderName::from_static("x-forwarded-for"));
    if !hops.is_empty() {
        return hops.iter().map(|hop| hop_address(hop)).collect();
    }
    let hops = values(header::FORWARDED);
    let address = |hop: &String| {
        let mut pairs = hop.split(';').filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
        hop_address(value.trim_matches('"'))
    };
    hops.iter().map(address).collect()
}

/// Parses an address with or without a port. IPv6 may be in brackets.
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

    fn chain_of(peer: &str, headers: &HeaderMap) -> ProxyChain {
        let config = Config { proxied: true, ..Config::default() };
        proxy_chain(&config, headers, SocketAddr::new(peer.parse().unwrap(), 1))
    }

    fn client_of(peer: &str, lines: &[(&'static str, &str)]) -> String {
        chain_of(peer, &headers(lines)).client.to_string()
    }

    #[test]
    fn the_address_is_the_nearest_that_is_not_a_trusted_proxy() {
        let xff = "x-forwarded-for";
        for (peer, lines, address) in [
            ("127.0.0.1", &[][..], "127.0.0.1"),
            ("127.0.0.1", &[(xff, "192.0.2.1")], "192.0.2.1"),
            ("10.0.0.1", &[(xff, "192.0.2.1")], "192.0.2.1"),
            // The client wrote the values further left.
            ("127.0.0.1", &[(xff, "198.51.100.9, 192.0.2.1")], "192.0.2.1"),
            ("127.0.0.1", &[(xff, "198.51.100.9"), (xff, "192.0.2.1")], "192.0.2.1"),
            ("127.0.0.1", &[(xff, "198.51.100.9, 192.0.2.1, 10.1.2.3")], "192.0.2.1"),
            ("127.0.0.1", &[(xff, "192.0.2.1:4711")], "192.0.2.1"),
            ("127.0.0.1", &[(xff, "[2001:db8::1]:4711")], "2001:db8::1"),
            ("127.0.0.1", &[(xff, "::ffff:192.0.2.1")], "192.0.2.1"),
            // All hops are trusted, so the furthest counts.
            ("127.0.0.1", &[(xff, "10.0.0.7, 10.0.0.8")], "10.0.0.7"),
            // Parsing stops at the first invalid hop.
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
            assert_eq!(client_of(peer, lines), address, "{peer} {lines:?}");
        }
    }

    #[test]
    fn a_host_is_what_the_furthest_trusted_proxy_says() {
        let xff = "x-forwarded-for";
        let xfh = "x-forwarded-host";
        for (peer, lines, host) in [
            ("127.0.0.1", &[][..], None),
            ("127.0.0.1", &[(xfh, "a.test")], Some("a.test")),
            ("127.0.0.1", &[(xfh, " , ")], None),
            // The client wrote the values further left.
            ("127.0.0.1", &[(xff, "192.0.2.1"), (xfh, "evil.test, a.test")], Some("a.test")),
            ("127.0.0.1", &[(xff, "192.0.2.1"), (xfh, "evil.test"), (xfh, "a.test")], Some("a.test")),
            // A client in a network of proxies is not a proxy.
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
            let proxies = chain_of(peer, &headers).proxies;
            assert_eq!(forwarded_value(&headers, xfh, proxies), host, "{peer} {lines:?}");
        }
    }
}
