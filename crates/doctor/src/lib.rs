#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]
#![cfg_attr(
    not(test),
    warn(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

#[macro_use]
mod report;
mod answers;
mod certificate;
mod http;
mod ice;
mod peers;
mod pipes;
mod reach;
mod relay;
mod socket;
mod stun;
mod target;
mod tls;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use certificate::Trust;
use http::{NoAnswer, Response, Server};
use hyper::StatusCode;
use peerbroker_system::bounded_read::FileError;
use report::{Finding, Report};
use socket::Socket;
use target::Target;
use tokio::runtime;
use tokio::time::timeout;

/// The timeout of all checks together, without `--idle`. Each step has a shorter one.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The broker to examine, and the manner. The fields are described as in `--help`, which is no Markdown.
#[derive(Debug, clap::Args)]
#[allow(rustdoc::bare_urls, rustdoc::broken_intra_doc_links)]
pub struct Args {
    /// The broker as clients reach it: a URL, or a host with or without port and path
    /// [default: --port on this machine]
    pub url: Option<String>,

    /// API key of the client [default: that in the URL, or peerjs]
    #[arg(long, short)]
    pub key: Option<String>,

    /// Page that uses the broker, as in https://game.example.org
    #[arg(long, value_name = "ORIGIN")]
    pub origin: Option<String>,

    /// Authorities to trust besides the public ones (PEM)
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Also keep connections open for this many seconds, and report if they are dropped
    ///
    /// Proxies often do after 60 s, so take 90.
    #[arg(long, value_name = "SECONDS")]
    pub idle: Option<u64>,

    /// Port at which an ACME server finds the broker over HTTP
    ///
    /// It matters only if the broker still waits for its certificate.
    #[arg(long = "acme_http_port", alias = "acme-http-port", value_name = "PORT", default_value_t = 80)]
    pub acme_http_port: u16,

    /// Only ask the server if it serves, with TLS or without
    #[arg(long)]
    pub quick: bool,

    /// Print one JSON object, for programs
    #[arg(long)]
    pub json: bool,
}

/// The reason why nothing can be examined.
#[derive(Debug, thiserror::Error)]
pub enum DoctorFailed {
    /// The text is no URL of a broker.
    #[error(
        "'{0}' is no URL of a broker: expected something like https://broker.example.com/path or localhost:9000"
    )]
    Target(String),
    /// The text is no origin of a page.
    #[error("--origin '{0}' is no page: expected something like https://game.example.org")]
    Origin(String),
    /// The file of authorities cannot be read, or is too long.
    #[error("cannot read --ca {}: {}", .0.display(), .1)]
    Ca(PathBuf, FileError),
    /// The file of authorities is not a PEM file, or has no certificate.
    #[error("--ca {} has no certificate: it must be a PEM file with 'BEGIN CERTIFICATE'", .0.display())]
    NoCertificate(PathBuf),
    /// The system has no resources for the checks.
    #[error("cannot start a runtime: {0}")]
    Runtime(io::Error),
}

impl DoctorFailed {
    /// 2 for wrong arguments, like clap; 1 for all other errors.
    pub fn exit_code(&self) -> u8 {
        if matches!(self, DoctorFailed::Runtime(_)) { 1 } else { 2 }
    }
}

/// Examines a broker, and prints the findings. True if no check has failed. Without a URL, it is the broker
/// of this machine at `port`.
pub fn run(args: &Args, port: u16) -> Result<bool, DoctorFailed> {
    // An address, because a container may have no /etc/hosts.
    let url = args.url.clone().unwrap_or_else(|| format!("127.0.0.1:{port}"));
    let target = Target::parse(&url, args.key.as_deref());
    let target = target.ok_or_else(|| DoctorFailed::Target(url.trim().to_owned()))?;
    let origin = args.origin.as_deref().map(target::origin).transpose()?;
    let trust = Trust::load(args.ca.as_deref())?;
    let mut report = Report::new(args.json, args.quick);
    report.say(&format!("Examining {target} with the key '{}'", target.key));
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build().map_err(DoctorFailed::Runtime)?;
    runtime.block_on(async {
        let time = TIMEOUT + Duration::from_secs(args.idle.unwrap_or(0));
        if timeout(time, examine(args, &target, origin, &trust, &mut report)).await.is_err() {
            let finding = failed!("the checks are not done within {} s", time.as_secs() =>
                "The server answers very slowly: look at its load and at the network.");
            report.add("time", finding);
        }
    });
    // Does not wait for a look-up that hangs in the system's resolver.
    runtime.shutdown_background();
    Ok(report.finish(&target.to_string()))
}

/// Runs all checks, as far as they make sense. `None` if one of them ends the examination.
async fn examine(
    args: &Args,
    target: &Target,
    origin: Option<String>,
    trust: &Trust,
    report: &mut Report,
) -> Option<()> {
    let addresses = report.take("dns", reach::dns(target).await)?;
    let address = report.take("tcp", reach::tcp(target, &addresses).await)?;
    let mut server = Server { target: target.clone(), address, secure: false, origin };
    if args.quick {
        report.add("health", answers::health(&server).await);
        return Some(());
    }
    server.secure = examine_tls(&server, args.acme_http_port, trust, report).await?;
    let answer = report.take("http", first_answer(&server).await)?;
    report.add("clock", answers::clock(&answer));
    let relay_waits = answers::relay_waits(&answer);
    let (server, answer) = report.take("path", answers::path(server, answer).await)?;
    let told = answers::told(&server).await;
    if told.is_some() {
        report.name_docs_of(&server.target.url(server.secure));
    }
    let is_key_good = report.add("key", answers::key(&server, &answer, told.as_ref()));
    if is_key_good {
        report.add("cors", answers::cors(&server, answer).await);
    }
    report.add("proxy", answers::proxy(&server, told.as_ref()));
    if !is_key_good {
        return None;
    }
    let unanswered = examine_peers(&server, relay_waits, told.is_some(), report).await?;
    report.add_all(ice::ice(&server, trust, &unanswered).await);
    if let Some(seconds) = args.idle {
        report.say(&format!("Waiting for {seconds} s"));
        report.add("idle", peers::idle(&server, seconds).await);
    }
    Some(())
}

/// True if the server speaks TLS, whose certificate is judged then. `None` if nothing more can be checked.
async fn examine_tls(
    server: &Server,
    acme_http_port: u16,
    trust: &Trust,
    report: &mut Report,
) -> Option<bool> {
    const WITHOUT: &str = "Pages from https:// cannot use a broker without TLS";
    let target = &server.target;
    if target.secure == Some(false) {
        report.add("tls", skipped!("not with http://. {WITHOUT}"));
        return Some(false);
    }
    let (finding, chain) = match tls::examine(target, server.address).await {
        Ok(examined) => examined,
        Err(None) if target.secure.is_none() => {
            report.add("tls", skipped!("the server does not use TLS here. {WITHOUT}"));
            return Some(false);
        }
        Err(Some(failure)) => return report.take("tls", Err(failure)),
        Err(None) => return report.take("tls", Err(speaks_no_tls(server).await)),
    };
    report.add("tls", finding);
    if certificate::is_provisional(&chain) {
        report.add("acme", answers::acme(server, acme_http_port).await);
    } else {
        report.add_all(certificate::judge(&chain, &target.host, trust));
    }
    Some(true)
}

/// The finding for an `https://` URL whose port makes no handshake.
async fn speaks_no_tls(server: &Server) -> Finding {
    let Target { port, path, .. } = &server.target;
    let Ok(answer) = server.get(path).await else {
        return failed!("port {port} does not speak TLS" =>
            "Check that this is the port of the broker or of its proxy, and not that of another program.");
    };
    if let Some(finding) = answers::proxy_protocol(&answer) {
        return finding;
    }
    failed!("port {port} speaks plain HTTP, without TLS" =>
        "Give the broker a certificate (--acme, or --sslcert and --sslkey: docs/TLS.md), or put a proxy with one in front of it. Without \
         TLS it is {}, and only pages from http:// can use it.", server.target.url(false))
}

/// Asks for an id.
async fn first_answer(server: &Server) -> Result<(Finding, Response), Finding> {
    let answer = server.get(&server.path_of_key("id")).await;
    // Ports for TLS answer plain HTTP with 400, or close the connection.
    let may_be_for_tls = match &answer {
        Ok(answer) => answer.status() == StatusCode::BAD_REQUEST,
        Err(error) => !matches!(error, NoAnswer::Timeout),
    };
    let Server { target, address, secure, .. } = server;
    if may_be_for_tls && !secure && tls::examine(target, *address).await.is_ok() {
        return Err(failed!("port {} speaks TLS, not plain HTTP", target.port =>
            "Use {} here, and secure: true in the client's options.", target.url(true)));
    }
    let answer = answer.map_err(|error| match error {
        NoAnswer::Timeout => failed!("{error}" =>
            "The port is open, but the program behind it does not answer: look at its load and at its log, or restart it."),
        _ => failed!("{error}" => "Check that this is the port of the broker, and not that of another program."),
    })?;
    Ok((ok!("the server answers over HTTP"), answer))
}

/// Two clients, and the relay that their offers name. Returns the addresses at which the relay does not
/// answer the server's own machine. `None` if no client can open.
async fn examine_peers(
    server: &Server,
    relay_waits: bool,
    is_peerbroker: bool,
    report: &mut Report,
) -> Option<Vec<IpAddr>> {
    let mut unanswered = Vec::new();
    let opened = ok!("a WebSocket opens, and the server admits a client");
    let mut first = report.take("websocket", Socket::open(server).await.map(|socket| (opened, socket)))?;
    if let Ok(mut second) = Socket::open(server).await {
        let is_good = report.add("peers", peers::exchange(&mut first, &mut second).await);
        report.add("discovery", answers::discovery(server, [&first.id, &second.id]).await);
        if is_good && is_peerbroker {
            report.add("pipes", pipes::exchange(server).await);
        }
        if is_good {
            let relay = relay::relay(&mut first, &mut second, server.address.ip(), relay_waits).await;
            report.add_all(relay.findings);
            unanswered = relay.unanswered;
        }
        second.close().await;
    } else {
        let finding = failed!("a second client cannot open beside the first one" =>
            "Look at the limits of the key and of one address (docs/LIMITS.md), and at the log of the server.");
        report.add("peers", finding);
    }
    first.close().await;
    Some(unanswered)
}
