//! `peerbroker doctor`: examines a broker from outside, as a client, and says what is wrong and what to do.

mod acme;
mod answers;
mod certificate;
mod finding;
mod http;
mod ice;
mod idle;
mod path;
mod peers;
mod reach;
mod shown;
mod socket;
mod stun;
mod target;
mod tls;
mod told;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use certificate::{BadCa, Trust};
use finding::Finding;
use http::{NoAnswer, Server};
use hyper::StatusCode;
use path::Found;
use socket::Socket;
use target::{BadOrigin, BadTarget, Target};
use tls::TlsFailure;
use tokio::runtime;
use tokio::time::timeout;

use crate::cli::DoctorArgs;

/// The checks that every run has, in their order. Those of a certificate depend on TLS.
const CHECKS: [&str; 13] = [
    "dns",
    "tcp",
    "tls",
    "http",
    "clock",
    "path",
    "key",
    "cors",
    "proxy",
    "websocket",
    "peers",
    "discovery",
    "ice",
];
/// The timeout of all checks together, without `--idle`. Each step has a shorter one.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Why nothing can be examined.
#[derive(Debug, thiserror::Error)]
pub enum DoctorFailed {
    #[error(transparent)]
    Target(#[from] BadTarget),
    #[error(transparent)]
    Origin(#[from] BadOrigin),
    #[error(transparent)]
    Ca(#[from] BadCa),
    #[error("cannot start a runtime: {0}")]
    Runtime(io::Error),
}

impl DoctorFailed {
    /// 2 for wrong arguments, like clap; 1 for all other errors.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, DoctorFailed::Runtime(_)) { 1 } else { 2 }
    }
}

/// Examines a broker, and prints what it finds. True if nothing has failed.
pub fn run(args: &DoctorArgs) -> Result<bool, DoctorFailed> {
    let target = Target::parse(&args.url, args.key.as_ref().map(|key| key.as_str()))?;
    let origin = args.origin.as_deref().map(target::origin).transpose()?;
    let trust = Arc::new(Trust::load(args.ca.as_deref())?);
    let mut report = Report { findings: Vec::new(), is_silent: args.json };
    report.say(&format!("Examining {target} with the key '{}'\n", target.key));
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build().map_err(DoctorFailed::Runtime)?;
    runtime.block_on(async {
        let time = TIMEOUT + Duration::from_secs(args.idle.unwrap_or(0));
        let examination = Examination { args, origin, trust };
        if timeout(time, examination.run(&target, &mut report)).await.is_err() {
            report.add(Finding::failed(
                "time",
                format!("the checks are not done within {} s", time.as_secs()),
                "The server answers very slowly: look at its load and at the network.",
            ));
        }
    });
    // Not those of a look-up that hangs in the system's resolver.
    runtime.shutdown_background();
    report.skip_rest();
    report.say(&shown::summary(&report.findings));
    if args.json {
        write_out(&shown::json(&target.to_string(), &report.findings));
    }
    Ok(!report.findings.iter().any(Finding::has_failed))
}

/// The findings so far. In text, each is printed at once.
struct Report {
    findings: Vec<Finding>,
    is_silent: bool,
}

impl Report {
    /// Adds a finding. True unless it has failed.
    fn add(&mut self, finding: Finding) -> bool {
        let has_colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        self.say(&shown::text(&finding, has_colour));
        let is_well = !finding.has_failed();
        self.findings.push(finding);
        is_well
    }

    /// Adds the finding that ends the examination.
    fn add_failure(&mut self, finding: Finding) {
        self.add(finding);
    }

    /// Names the checks that were not done, because an earlier one failed.
    fn skip_rest(&mut self) {
        let failed =
            self.findings.iter().rev().find(|finding| finding.has_failed()).map(|finding| finding.check);
        let is_done = |check: &&str| self.findings.iter().any(|finding| finding.check == *check);
        let left: Vec<&str> = CHECKS.into_iter().filter(|check| !is_done(check)).collect();
        if let Some(failed) = failed.filter(|_| !left.is_empty()) {
            self.add(Finding::skipped(
                "rest",
                format!("not checked, because of {failed}: {}", left.join(", ")),
            ));
        }
    }

    fn say(&self, text: &str) {
        if !self.is_silent {
            write_out(text);
        }
    }
}

fn write_out(text: &str) {
    let mut stdout = io::stdout().lock();
    // If stdout is closed, nobody wants the lines; the exit code stays.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

struct Examination<'a> {
    args: &'a DoctorArgs,
    origin: Option<String>,
    trust: Arc<Trust>,
}

impl Examination<'_> {
    /// All checks, as far as they make sense.
    async fn run(&self, target: &Target, report: &mut Report) {
        let (dns, addresses) = reach::dns(target).await;
        if !report.add(dns) {
            return;
        }
        let (tcp, address) = reach::tcp(target, &addresses).await;
        report.add(tcp);
        let Some(address) = address else { return };
        let server = Server { target: target.clone(), address, secure: false, origin: self.origin.clone() };
        let Some(server) = self.tls(server, report).await else { return };
        let answer = match server.get(&server.path_of_key("id"), server.origin.as_deref()).await {
            // Ports for TLS answer plain HTTP so.
            Ok(answer) if answer.status == StatusCode::BAD_REQUEST && is_for_tls(&server).await => {
                return report.add_failure(speaks_tls(&server));
            }
            Ok(answer) => answer,
            Err(error) => return report.add_failure(no_answer(&server, &error).await),
        };
        report.add(Finding::ok("http", "the server answers over HTTP"));
        report.add(answers::clock(&answer));
        let (path, found) = path::path(&server, answer).await;
        report.add(path);
        let Some(Found { server, answer }) = found else { return };
        let told = answers::told(&server).await;
        let is_key_good = match answers::key(&server, &answer, told.as_ref()) {
            Some(key) => report.add(key),
            None => report
                .add(Finding::skipped("key", "this server says only to a WebSocket whether it has the key")),
        };
        if is_key_good {
            report.add(answers::cors(&server, &answer).await);
        }
        report.add(answers::proxy(&server, told.as_ref()));
        if is_key_good && self.peers(&server, report).await {
            for finding in ice::ice(&server, &self.trust).await {
                report.add(finding);
            }
            if let Some(seconds) = self.args.idle {
                report.say(&format!("Waiting for {seconds} s\n"));
                report.add(idle::idle(&server, seconds).await);
            }
        }
    }

    /// Finds out whether the server speaks TLS, and judges its certificate. `None` if nothing more can be checked.
    async fn tls(&self, mut server: Server, report: &mut Report) -> Option<Server> {
        let target = server.target.clone();
        if target.secure == Some(false) {
            report.add(Finding::skipped(
                "tls",
                "not with http://. Pages from https:// cannot use a broker without TLS",
            ));
            return Some(server);
        }
        match tls::examine(&target, server.address).await {
            Ok((finding, shown)) => {
                report.add(finding);
                server.secure = true;
                if certificate::is_provisional(&shown.chain) {
                    report.add(acme::waiting(&server, self.args.acme_http_port).await);
                } else {
                    for finding in certificate::judge(&shown.chain, &target.host, &self.trust) {
                        report.add(finding);
                    }
                }
                Some(server)
            }
            Err(TlsFailure::Failed(finding)) => {
                report.add(finding);
                None
            }
            Err(TlsFailure::NotTls) if target.secure.is_none() => {
                let found =
                    "the server does not use TLS here. Pages from https:// cannot use a broker without TLS";
                report.add(Finding::skipped("tls", found));
                Some(server)
            }
            Err(TlsFailure::NotTls) => {
                report.add(speaks_no_tls(&server).await);
                None
            }
        }
    }

    /// Two clients. False if none can open.
    async fn peers(&self, server: &Server, report: &mut Report) -> bool {
        let (finding, first) = peers::open(server).await;
        report.add(finding);
        let Some(mut first) = first else { return false };
        match Socket::open(server).await {
            Ok(mut second) => {
                report.add(peers::exchange(&mut first, &mut second).await);
                report.add(answers::discovery(server, &[&first.id, &second.id]).await);
                second.close().await;
            }
            Err(_) => {
                report.add(Finding::failed(
                    "peers",
                    "a second client cannot open beside the first one",
                    "Look at the limits of the key and of one address (docs/LIMITS.md), and at the log of the server.",
                ));
            }
        }
        first.close().await;
        true
    }
}

/// Whether plain HTTP was sent to a port for TLS.
async fn is_for_tls(server: &Server) -> bool {
    !server.secure && tls::examine(&server.target, server.address).await.is_ok()
}

fn speaks_tls(server: &Server) -> Finding {
    let port = server.target.port;
    Finding::failed(
        "http",
        format!("port {port} speaks TLS, not plain HTTP"),
        format!("Use {} here, and secure: true in the client's options.", server.target.url(true)),
    )
}

/// Why the port of an `https://` URL makes no handshake.
async fn speaks_no_tls(server: &Server) -> Finding {
    let Server { target, .. } = server;
    if server.get(&target.path, None).await.is_err() {
        return Finding::failed(
            "tls",
            format!("port {} does not speak TLS", target.port),
            "Check that this is the port of the broker or of its proxy, and not that of another program.",
        );
    }
    Finding::failed(
        "tls",
        format!("port {} speaks plain HTTP, without TLS", target.port),
        format!(
            "Give the broker a certificate (--acme, or --sslcert and --sslkey: docs/TLS.md), or put a proxy with one in front of it. \
             Without TLS it is {}, and only pages from http:// can use it.",
            target.url(false)
        ),
    )
}

/// Why a plain request has no answer.
async fn no_answer(server: &Server, error: &NoAnswer) -> Finding {
    let is_silent = matches!(error, NoAnswer::Timeout);
    if !is_silent && is_for_tls(server).await {
        return speaks_tls(server);
    }
    let advice = match error {
        NoAnswer::Timeout => {
            "The port is open, but the program behind it does not answer: look at its load and at its log, or restart it."
        }
        _ => "Check that this is the port of the broker, and not that of another program.",
    };
    Finding::failed("http", error.shown(), advice)
}
