//! Requests to HTTP servers of others: webhooks. Says which URLs can be requested, and which addresses are reached.

mod connector;
mod reach;

use std::error::Error;
use std::fmt::Write as _;

use http_body_util::Full;
use hyper::Uri;
use hyper::body::Bytes;
use hyper_rustls::builderstates::WantsSchemes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::ring::default_provider;

use connector::Connector;

pub(crate) use reach::Reach;

/// Most bytes of an answer's head.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Sends requests.
pub(crate) type HttpClient = Client<HttpsConnector<Connector>, Full<Bytes>>;

/// A client that keeps at most `idle` connections to each host. It trusts the certificate authorities in the binary, because
/// a container may have none.
pub(crate) fn client(reach: Reach, idle: usize) -> Result<HttpClient, rustls::Error> {
    // Names ring, because rustls has no default provider if the build has two.
    let tls = HttpsConnectorBuilder::new().with_provider_and_webpki_roots(default_provider())?;
    Ok(build(tls, reach, idle))
}

/// The same with other authorities.
#[cfg(test)]
pub(crate) fn client_with(tls: rustls::ClientConfig, reach: Reach, idle: usize) -> HttpClient {
    build(HttpsConnectorBuilder::new().with_tls_config(tls), reach, idle)
}

fn build(tls: HttpsConnectorBuilder<WantsSchemes>, reach: Reach, idle: usize) -> HttpClient {
    let connector = tls.https_or_http().enable_http1().wrap_connector(Connector::new(reach));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(idle)
        .http1_max_buf_size(MAX_HEAD_BYTES)
        .build(connector)
}

/// Reads the URL of a webhook. The error says what is wrong with it, after "the URL".
pub(crate) fn parse_url(text: &str) -> Result<Uri, &'static str> {
    // The parser accepts non-ASCII text, and drops a fragment.
    if !text.chars().all(|c| c.is_ascii_graphic()) {
        return Err("must have no spaces and no letters beyond ASCII: percent-encode them");
    }
    if text.contains('#') {
        return Err("must have no fragment (#…): it would not be sent");
    }
    let url: Uri = text.parse().map_err(|_| "cannot be read: http:// or https:// and a host are needed")?;
    let (Some("http" | "https"), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err("must begin with http:// or https://, and a host");
    };
    // It would not be sent, and would be visible in lists of keys.
    if authority.as_str().contains('@') {
        return Err("must not have a user name: put a secret into its path or query");
    }
    if authority.host().is_empty() {
        return Err("must have a host");
    }
    let port = authority.as_str().strip_prefix(authority.host());
    if port.is_some_and(|port| !port.is_empty()) && authority.port_u16().is_none_or(|port| port == 0) {
        return Err("must have a port from 1 to 65535, or none");
    }
    Ok(url)
}

/// The error with its sources. The outermost message is only "client error".
pub(crate) fn reason(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing to a string cannot fail.
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}
