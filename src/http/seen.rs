//! Under what address clients see this server.

use actix_web::http::header::{self, HeaderMap, HeaderName};

use super::Mounted;
use crate::client_options::ClientOptions;

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
    ClientOptions::new(host, port, &mounted.path, &config.key, secure)
}
