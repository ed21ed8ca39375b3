//! The text of the lines on stdout.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use peerbroker::{CertifiedHosts, ClientOptions, Config, Listen, certified_hosts, lan_addresses};
use peerbroker_config::{ApiTokens, MountPath};
use peerbroker_core::vocabulary::printable;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::cli::Settings;

/// The line with the address of the API.
pub(super) fn api_line(address: SocketAddr, tokens: &ApiTokens, is_secure: bool) -> String {
    let scheme = if is_secure { "https" } else { "http" };
    let only = match tokens {
        ApiTokens { admin: Some(_), .. } => "",
        ApiTokens { read: None, metrics: None, .. } => ", without a token: for programs of this machine only",
        _ => ", without an admin token: only programs of this machine may change anything",
    };
    format!(
        "The API listens on {scheme}://{address}/api, and its dashboard for browsers on {scheme}://{address}/{only}"
    )
}

/// The start line of peerjs-server.
pub(super) fn start_line(listen: &Listen, bound: SocketAddr, path: &MountPath) -> String {
    let host = if bound.ip().is_unspecified() { bound.ip().to_string() } else { listen.host.clone() };
    format!("Started PeerServer on {host}, port: {}, path: {}", bound.port(), path.shown())
}

/// The hosts at which clients find a server.
struct Hosts {
    /// The host for this machine.
    local: Option<String>,
    /// The hosts for all machines.
    network: Vec<String>,
}

impl Hosts {
    /// The hosts of a server that is bound to an address. With a certificate, only those that it covers:
    /// clients refuse others.
    fn of(listen: &Listen, bound: IpAddr) -> Self {
        if let Some(name) = listen.acme.as_ref().and_then(|acme| acme.names.first()) {
            return Hosts { local: None, network: vec![name.to_string()] };
        }
        let (local, network) = match bound {
            ip if ip.is_unspecified() => {
                (Some("localhost".to_owned()), lan_addresses().iter().map(IpAddr::to_string).collect())
            }
            ip if ip.is_loopback() => (Some(ip.to_string()), Vec::new()),
            ip => (None, vec![ip.to_string()]),
        };
        let hosts: Vec<String> = local.iter().chain(&network).cloned().collect();
        // A certificate without names was warned of.
        let certified = listen.tls.as_ref().and_then(|files| certified_hosts(files, &hosts));
        match certified {
            Some(CertifiedHosts { covered, first: Some(first) }) => {
                let is_covered = |host: &String| covered.contains(host);
                let mut network = network;
                network.retain(is_covered);
                network.extend(Some(first).filter(|_| covered.is_empty()));
                Hosts { local: local.filter(is_covered), network }
            }
            _ => Hosts { local, network },
        }
    }
}

/// The options with which a client finds a server that is bound to an address.
pub(super) fn client_options(config: &Config, listen: &Listen, bound: SocketAddr) -> ClientOptions {
    let Hosts { local, network } = Hosts::of(listen, bound.ip());
    options_at(
        network.into_iter().next().or(local).unwrap_or_else(|| "localhost".to_owned()),
        config,
        listen,
        bound.port(),
    )
}

fn options_at(host: String, config: &Config, listen: &Listen, port: u16) -> ClientOptions {
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    ClientOptions::new(host, port, &config.path, &config.shown_key(), listen.is_secure())
}

pub(super) fn url(client: &ClientOptions, listen: &Listen) -> String {
    let ClientOptions { host, port, path, .. } = client;
    let scheme = if listen.is_secure() { "https" } else { "http" };
    format!("{scheme}://{host}:{port}{path}")
}

/// The first page of a directory that has some, but no index.
fn page_beside_index(directory: &Path) -> Option<String> {
    if directory.join("index.html").exists() {
        return None;
    }
    let names = fs::read_dir(directory).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.ends_with(".html") && !name.starts_with('.')).min().map(|name| printable(&name))
}

/// The code for a client, and the addresses of the landing page. A camera works at `localhost` and over HTTPS
/// only, a phone needs the address of the network.
pub(super) fn hints(settings: &Settings, bound: SocketAddr) -> String {
    let Settings { config, listen, calls, .. } = settings;
    if config.proxied {
        let port = bound.port();
        return format!(
            "\n\x20 Clients use the host and port of the proxy in front (--proxied), not port {port} of this machine.\n\
             \x20 Open the proxy's address in a browser: the page shows the client options.\n"
        );
    }
    let mut text = format!("\n\x20 new Peer({})\n", client_options(config, listen, bound));
    if config.pages {
        let Hosts { local, network } = Hosts::of(listen, bound.ip());
        let at = |host: &String| url(&options_at(host.clone(), config, listen, bound.port()), listen);
        let local = local.as_ref().map(at);
        let network = network.iter().map(at).collect::<Vec<_>>();
        text.extend(local.iter().map(|url| format!("  Local:   {url}\n")));
        text.extend(network.iter().map(|url| format!("  Network: {url}\n")));
        if bound.ip().is_loopback() && listen.acme.is_none() {
            text += &format!("  Other devices cannot reach it, because --host is {}.\n", listen.host);
            if let Some(flag) = calls.open_flag() {
                text += &format!("  They reach the ports of {flag}; {flag} {} closes these.\n", bound.ip());
            }
        }
        if let Some(page) = config.static_dir.as_deref().and_then(page_beside_index) {
            text += &format!(
                "  --static_dir has no index.html, so {path} is the landing page. Open {path}{page} for that file.\n",
                path = config.path
            );
        }
        if io::stdout().is_terminal()
            && let Some(Ok(code)) = network.into_iter().next().or(local).map(QrCode::new)
        {
            // Most terminals are dark, so the light modules are drawn.
            let code = code.render().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
            text += &format!("\n{code}\n");
        }
    }
    text
}
