//! The text of the lines on stdout.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::net::{IpAddr, SocketAddr};

use peerbroker::config::AcmeName;
use peerbroker::{ClientOptions, Config, Listen, lan_address};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

/// The line with the address of the API.
pub(super) fn api_line(address: SocketAddr, has_token: bool) -> String {
    let only = if has_token { "" } else { ", without a token: for programs of this machine only" };
    format!(
        "The API listens on http://{address}/api, and its dashboard for browsers on http://{address}/{only}"
    )
}

/// The id with control characters escaped, so that it cannot forge a line or control a terminal.
pub fn printable(id: &str) -> String {
    id.chars().fold(String::with_capacity(id.len()), |mut text, c| {
        match c {
            '\'' | '"' | '\\' => text.push(c),
            c => text.extend(c.escape_debug()),
        }
        text
    })
}

/// The start line of peerjs-server.
pub(super) fn start_line(listen: &Listen, bound: SocketAddr, given_path: &str) -> String {
    let host = if bound.ip().is_unspecified() { bound.ip().to_string() } else { listen.host.clone() };
    format!("Started PeerServer on {host}, port: {}, path: {given_path}", bound.port())
}

/// How a client finds a server that is bound to an address.
pub(super) fn client_options(config: &Config, listen: &Listen, bound: SocketAddr) -> ClientOptions {
    // Clients accept the certificate for its names only.
    let name = listen.acme.as_ref().and_then(|acme| acme.names.first());
    let host = match (name, bound.ip()) {
        (Some(AcmeName::Host(name)), _) => name.clone(),
        (Some(AcmeName::Ip(IpAddr::V6(ip))), _) => format!("[{ip}]"),
        (Some(AcmeName::Ip(ip)), _) => ip.to_string(),
        (None, ip) if ip.is_unspecified() => {
            lan_address().map_or_else(|| "localhost".to_owned(), |address| address.to_string())
        }
        (None, ip) if ip.is_ipv6() => format!("[{ip}]"),
        (None, ip) => ip.to_string(),
    };
    ClientOptions::new(host, bound.port(), &config.path, &config.shown_key(), listen.is_secure())
}

pub(super) fn url(client: &ClientOptions, listen: &Listen) -> String {
    let ClientOptions { host, port, path, .. } = client;
    let scheme = if listen.is_secure() { "https" } else { "http" };
    format!("{scheme}://{host}:{port}{path}")
}

/// The code for a client, and the address of the landing page.
pub(super) fn hints(config: &Config, listen: &Listen, bound: SocketAddr) -> String {
    let client = client_options(config, listen, bound);
    let mut text = format!("\n\x20 new Peer({client})\n");
    if config.pages {
        let url = url(&client, listen);
        let _ = writeln!(text, "  {url}");
        if io::stdout().is_terminal()
            && let Ok(code) = QrCode::new(&url)
        {
            // Most terminals are dark, so the light modules are drawn.
            let code = code.render().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
            let _ = write!(text, "\n{code}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_printed_as_it_is_unless_it_could_do_harm() {
        assert_eq!(printable("it's-Ünïque \"id\""), "it's-Ünïque \"id\"");
        assert_eq!(printable("a\nb\u{1b}[2J\u{202e}"), "a\\nb\\u{1b}[2J\\u{202e}");
    }
}
