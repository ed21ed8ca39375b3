//! The program's output: the lines of peerjs-server on stdout, the log on stderr.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use env_logger::Env;
use peerbroker::{ClientOptions, Config, Listen, lan_address};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::cli::LogFormat;

/// Lines that wait for a slow reader of stdout; more are dropped.
const WAITING_LINES: usize = 4096;

/// How long a line waits for others, to be written with them. Waking the writer for each line would cost a
/// fifth of what it costs to open a connection.
const GATHER: Duration = Duration::from_millis(5);

/// How long a stalled reader of stdout can delay the end of the program.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes lines to stdout from a thread of its own, so that a stalled reader never blocks the server.
pub struct Console {
    lines: SyncSender<Line>,
    finished: Receiver<()>,
}

/// The sending end of a `Console`.
#[derive(Clone)]
pub struct Lines(SyncSender<Line>);

enum Line {
    Text(String),
    Last,
}

impl Console {
    pub fn start() -> Self {
        let (lines, waiting) = sync_channel(WAITING_LINES);
        let (end, finished) = sync_channel(1);
        thread::spawn(move || {
            write_lines(&waiting);
            drop(end);
        });
        Console { lines, finished }
    }

    pub fn lines(&self) -> Lines {
        Lines(self.lines.clone())
    }

    /// Waits until everything is written, but at most for `PATIENCE`.
    pub fn finish(self) {
        if self.lines.try_send(Line::Last).is_ok() {
            let _ = self.finished.recv_timeout(PATIENCE);
        }
    }
}

impl Lines {
    pub fn print(&self, line: String) {
        // Dropped if nobody reads: waiting would block the server, and buffering would grow without a limit.
        let _ = self.0.try_send(Line::Text(line));
    }
}

fn write_lines(waiting: &Receiver<Line>) {
    let mut stdout = io::stdout().lock();
    while let Ok(first) = waiting.recv() {
        thread::sleep(GATHER);
        let mut batch = String::new();
        let mut last = false;
        for line in std::iter::once(first).chain(waiting.try_iter()) {
            match line {
                Line::Text(text) => {
                    batch.push_str(&text);
                    batch.push('\n');
                }
                Line::Last => last = true,
            }
        }
        // If stdout is closed, nobody wants the lines.
        let _ = stdout.write_all(batch.as_bytes()).and_then(|()| stdout.flush());
        if last {
            return;
        }
    }
}

/// The line with the address of the API.
pub fn api(address: SocketAddr, has_token: bool) -> String {
    let only = if has_token { "" } else { ", without a token: for programs of this machine only" };
    format!("The API listens on http://{address}/api{only}")
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
