//! The program's output: the lines of peerjs-server on stdout, the log on stderr.

mod json;
mod log;
mod text;

use std::io::{self, Write as _};
use std::net::SocketAddr;

use peerbroker::events::{Event, Events, Notice};
use peerbroker::wire::CloseReason;

use crate::cli::{LogFormat, Settings};
use text::{api_line, hints, start_line};

pub use self::log::{Log, start as start_log};
pub use text::printable;

/// How the program writes its lines.
#[derive(Clone, Copy)]
pub struct Style {
    pub format: LogFormat,
    /// Nothing about clients, and no hints.
    pub quiet: bool,
}

impl Style {
    /// Prints a line on stdout.
    pub fn print(self, text: &str) {
        let line = match self.format {
            LogFormat::Text => format!("{text}\n"),
            LogFormat::Json => json::line("INFO", text, json::Fields::new()),
        };
        write_out(&line);
    }

    /// Prints the error that ends the program on stderr.
    pub fn print_error(self, text: &str) {
        match self.format {
            LogFormat::Text => eprintln!("error: {text}"),
            LogFormat::Json => eprint!("{}", json::line("ERROR", text, json::Fields::new())),
        }
    }

    fn started(self, settings: &Settings, address: SocketAddr, ops_address: Option<SocketAddr>) -> String {
        if self.format == LogFormat::Json {
            return json::started(settings, address, ops_address);
        }
        let Settings { config, listen, given_path, .. } = settings;
        let mut text = start_line(listen, address, given_path) + "\n";
        if !self.quiet {
            text += &hints(config, listen, address);
            text.push('\n');
        }
        if let (Some(ops), Some(address)) = (&listen.ops, ops_address) {
            text += &api_line(address, ops.token.is_some());
            text.push('\n');
        }
        text
    }

    /// The lines about an event; empty if there are none.
    fn lines(self, event: &Event, settings: &Settings) -> String {
        match event {
            Event::Started { address, ops_address } => self.started(settings, *address, *ops_address),
            _ if self.quiet => String::new(),
            event if self.format == LogFormat::Json => json::event(event),
            Event::PeerConnected(connected) => {
                format!("Client connected: {}\n", printable(connected.peer.id.as_str()))
            }
            Event::PeerDisconnected(gone) if gone.reason != CloseReason::Replaced => {
                format!("Client disconnected: {}\n", printable(gone.peer.id.as_str()))
            }
            Event::Stopped => "Http server closed.\n".to_owned(),
            _ => String::new(),
        }
    }
}

/// Prints the lines about events, from a thread of its own: a stalled reader of stdout never blocks the server.
pub fn follow(events: &Events, style: Style, settings: Settings) -> io::Result<()> {
    events.follow("console", move |notices| {
        let mut text = String::new();
        for notice in notices {
            match notice {
                Notice::Event(event) => text += &style.lines(event, &settings),
                Notice::Missed(missed) => {
                    ::log::warn!("stdout was read too slowly: {missed} events are not printed");
                }
            }
        }
        write_out(&text);
    })
}

fn write_out(text: &str) {
    let mut stdout = io::stdout().lock();
    // If stdout is closed, nobody wants the lines.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
