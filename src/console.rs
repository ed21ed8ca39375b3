//! The program's output: the lines of peerjs-server on stdout, the log on stderr.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;

use env_logger::Env;
use peerbroker::events::{Event, Events, Notice};
use peerbroker::wire::CloseReason;
use peerbroker::{ClientOptions, Config, Listen, lan_address};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::cli::LogFormat;

/// Prints the lines of the reference, from a thread of its own: a stalled reader of stdout never blocks the server.
/// `started` gives the text for a server that listens, for clients and for the operator's API.
pub fn follow(
    events: &Events,
    started: impl Fn(SocketAddr, Option<SocketAddr>) -> String + Send + 'static,
) -> io::Result<()> {
    events.follow("console", move |notices| {
        let mut text = String::new();
        for notice in notices {
            match notice {
                Notice::Event(event) => write_event(&mut text, event, &started),
                Notice::Missed(missed) => {
                    log::warn!("stdout was read too slowly: {missed} events are not printed");
                }
            }
        }
        let mut stdout = io::stdout().lock();
        // If stdout is closed, nobody wants the lines.
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    })
}

fn write_event(
    text: &mut String,
    event: &Event,
    started: &impl Fn(SocketAddr, Option<SocketAddr>) -> String,
) {
    // Writing to a string cannot fail.
    let _ = match event {
        Event::Started { address, ops_address } => write!(text, "{}", started(*address, *ops_address)),
        Event::PeerConnected(connected) => {
            writeln!(text, "Client connected: {}", printable(connected.peer.id.as_str()))
        }
        Event::PeerDisconnected(gone) if gone.reason != CloseReason::Replaced => {
            writeln!(text, "Client disconnected: {}", printable(gone.peer.id.as_str()))
        }
        Event::Stopped => writeln!(text, "Http server closed."),
        _ => Ok(()),
    };
}

/// The line with the address of the API.
pub fn api(address: SocketAddr, has_token: bool) -> String {
    let only = if has_token { "" } else { ", without a token: for programs of this machine only" };
    format!("The API listens on http://{address}/api{only}\n")
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

/// The start line of peerjs-server, then the code for a client and the address of the landing page.
pub fn welcome(config: &Config, listen: &Listen, bound: SocketAddr, given_path: &str) -> String {
    let host = match bound.ip() {
        ip if ip.is_unspecified() => {
            lan_address().map_or_else(|| "localhost".to_owned(), |address| address.to_string())
        }
        ip if ip.is_ipv6() => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    let secure = listen.tls.is_some();
    let client = ClientOptions::new(host, bound.port(), &config.path, &config.shown_key(), secure);
    let ClientOptions { host, port, path, .. } = &client;
    let shown_host = if bound.ip().is_unspecified() { bound.ip().to_string() } else { listen.host.clone() };
    let mut text = format!(
        "Started PeerServer on {shown_host}, port: {port}, path: {given_path}\n\n\x20 new Peer({client})\n"
    );
    if config.pages {
        let scheme = if secure { "https" } else { "http" };
        let url = format!("{scheme}://{host}:{port}{path}");
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

/// The default of `RUST_LOG`. actix-http is off, because it logs every malformed request of a scanner as an error.
const DEFAULT_LOG: &str = "warn,peerbroker=info,actix_http=off";

/// Starts the log.
pub fn start_log(format: LogFormat) {
    let mut builder = env_logger::Builder::from_env(Env::default().default_filter_or(DEFAULT_LOG));
    if format == LogFormat::Json {
        builder.format(|out, record| {
            let line = serde_json::json!({
                "time": out.timestamp_millis().to_string(),
                "level": record.level().as_str(),
                "target": record.target(),
                "message": record.args().to_string(),
            });
            writeln!(out, "{line}")
        });
    }
    builder.init();
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
