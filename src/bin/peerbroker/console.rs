//! The program's output: the lines of peerjs-server on stdout, the log on stderr.

mod json;
mod log;
mod text;

use std::io::{self, Write as _};
use std::net::SocketAddr;

use peerbroker_core::vocabulary::CloseReason;
use peerbroker_events::{Event, Events, Notice, PeerAddress};
use serde_json::Value;

use crate::cli::{LogFormat, Settings};
use crate::failure::{Failure, failed};
use text::{api_line, hints, start_line};

pub use self::log::{Log, start as start_log};
pub use peerbroker_core::vocabulary::printable;

/// The style of the program's lines.
#[derive(Clone, Copy)]
pub struct Style {
    pub format: LogFormat,
    /// No lines about clients, and no hints.
    pub quiet: bool,
}

impl Style {
    /// Prints a line on stdout.
    pub fn print(self, text: &str) {
        write_out(&self.line(text, || Value::Null));
    }

    /// Prints the error that ends the program on stderr.
    pub fn print_error(self, text: &str) {
        match self.format {
            LogFormat::Text => eprintln!("error: {text}"),
            LogFormat::Json => eprint!("{}", json::line("ERROR", text, Value::Null)),
        }
    }

    fn line(self, text: &str, fields: impl FnOnce() -> Value) -> String {
        match self.format {
            LogFormat::Text => format!("{text}\n"),
            LogFormat::Json => json::line("INFO", text, fields()),
        }
    }

    fn started(self, settings: &Settings, address: SocketAddr, ops_address: Option<SocketAddr>) -> String {
        let Settings { config, listen, calls, .. } = settings;
        let start = start_line(listen, address, &config.path);
        let mut lines = self.line(&start, || json::started(settings, address));
        if self.format == LogFormat::Text && !self.quiet {
            lines += &hints(settings, address);
            if let Some(words) = calls.words(Some(address), config.proxied) {
                lines += &format!("  Calls:   {words}\n");
            }
            lines.push('\n');
        }
        if let (Some(ops), Some(address)) = (&listen.ops, ops_address) {
            let is_secure = ops.tls && listen.is_secure();
            lines += &self.line(&api_line(address, &ops.tokens, is_secure), || json::api_started(address));
        }
        lines
    }

    /// The lines for an event; empty if it has none.
    fn lines(self, event: &Event, settings: &Settings) -> String {
        let id = |peer: &PeerAddress| printable(peer.id.as_str());
        let text = match event {
            Event::Started { address, ops_address } => return self.started(settings, *address, *ops_address),
            _ if self.quiet => return String::new(),
            Event::PeerConnected(connected) => format!("Client connected: {}", id(&connected.peer)),
            Event::PeerDisconnected(gone)
                if gone.reason != CloseReason::Replaced || self.format == LogFormat::Json =>
            {
                format!("Client disconnected: {}", id(&gone.peer))
            }
            Event::Stopped => "Http server closed.".to_owned(),
            _ => return String::new(),
        };
        self.line(&text, || json::fields(event))
    }
}

/// Prints the lines for events on a thread of its own: a stalled reader of stdout never blocks the server.
pub fn follow(events: &Events, style: Style, settings: Settings) -> io::Result<()> {
    let is_printed = |event: &Event| matches!(event, Event::PeerConnected(_) | Event::PeerDisconnected(_));
    let wants =
        move |event: &Event| matches!(event, Event::Started { .. }) || !style.quiet && is_printed(event);
    events.follow_some("console", wants, move |notices| {
        let mut text = String::new();
        for notice in notices {
            match notice {
                Notice::Event(event) => text += &style.lines(event, &settings),
                Notice::Missed(missed) => {
                    ::log::warn!("stdout was read too slowly, events not printed: {missed}");
                }
            }
        }
        write_out(&text);
    })
}

/// Prints lines of the server. A parent that has closed stdout closes stdin soon.
pub fn write_out(text: &str) {
    // If stdout is closed, the lines are dropped.
    let _ = print(text);
}

/// Prints the result of a command.
pub fn print(text: impl AsRef<[u8]>) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_ref()).and_then(|()| stdout.flush()) {
        // The reader, such as `head -1`, has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}
