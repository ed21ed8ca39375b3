//! What a proxy in front hides: under what address clients see this server, and theirs.

use std::net::{IpAddr, SocketAddr};

use actix_web::http::header::{self, HeaderMap, HeaderName};

use super::Mounted;
use crate::client_options::ClientOptions;
use crate::config::Config;

/// Longest host that is believed: what DNS allows.
const MAX_HOST: usize = 253;

/// The options that match what a request says, or what a trusted proxy in front of us says. `secure`
/// is whether the request came over TLS.
pub(super) fn by_client(mounted: &Mounted, headers: &HeaderMap, secure: bool) -> ClientOptions {
    let config = &mounted.service.config;
    let header = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    // Of several proxies the first was asked by the client.
    let forwarded = |name: &'static str| {
        let values = header(HeaderName::from_static(name)).filter(|_| config.proxied)?;
        values.split(',').map(str::trim).find(|value| !value.is_empty())
    };
    let secure = forwarded("x-forwarded-proto").map_or(secure, |proto| proto == "https");
    let host = forwarded("x-forwarded-host").or_else(|| header(header::HOST)).unwrap_or("localhost");
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

/// The address of a client: that of its connection, or what trusted proxies say, from the nearest on, up
/// to the first that is not trusted. What is further off anybody could have written.
pub(super) fn client_address(
    config: &Config,
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
) -> Option<IpAddr> {
    let peer = peer?.ip().to_canonical();
    if !config.proxied {
        return Some(peer);
    }
    let mut seen = peer;
    let mut hops = forwarded_for(headers).into_iter().rev();
    while config.is_proxy(&seen)
        && let Some(Some(hop)) = hops.next()
    {
        seen = hop;
    }
    Some(seen)
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

    fn seen(peer: &str, lines: &[(&'static str, &str)]) -> String {
        let config = Config { proxied: true, ..Config::default() };
        let request = lines.iter().fold(TestRequest::default(), |request, line| request.append_header(*line));
        let peer = Some(SocketAddr::new(peer.parse().unwrap(), 1));
        client_address(&config, request.to_http_request().headers(), peer).unwrap().to_string()
    }

    #[test]
    fn the_address_is_the_nearest_that_is_not_a_trusted_proxy() {
        let xff = "x-forwarded-for";
        for (peer, lines, address) in [
            ("127.0.0.1", &[][..], "127.0.0.1"),
            ("127.0.0.1", &[(xff, "192.0.2.1")], "192.0.2.1"),
            ("10.0.0.1", &[(xff, "192.0.2.1")], "192.0.2.1"),
            // What the client wrote itself stands further left.
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
            // Who is no trusted proxy is not believed.
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
}
