//! The compared servers, and how to start them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustls::ClientConfig;

use super::Places;
use super::child::Running;
use crate::fleet::{Fleet, Target};
use crate::link;

/// A server and its setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// peerbroker with one worker.
    Peerbroker,
    /// The same broker in an actix-web app.
    ActixWs,
    /// npm's `peer`.
    PeerjsServer,
    /// The minimal work of any relay; not a real server.
    Yardstick,
    /// peerbroker over TLS.
    Tls,
    /// peerbroker with two workers on two cores.
    TwoWorkers,
}

impl Kind {
    pub const ALL: [Kind; 6] =
        [Kind::Peerbroker, Kind::ActixWs, Kind::PeerjsServer, Kind::Yardstick, Kind::Tls, Kind::TwoWorkers];

    /// The servers in tables and charts.
    pub const COMPARED: [Kind; 4] = [Kind::Peerbroker, Kind::ActixWs, Kind::PeerjsServer, Kind::Yardstick];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Peerbroker => "peerbroker",
            Kind::ActixWs => "actix-ws form",
            Kind::PeerjsServer => "peerjs-server",
            Kind::Yardstick => "yardstick",
            Kind::Tls => "peerbroker, TLS",
            Kind::TwoWorkers => "peerbroker, 2 workers",
        }
    }

    fn cores(self) -> &'static str {
        match self {
            Kind::TwoWorkers => "0,1",
            _ => "0",
        }
    }
}

/// Everything that is needed to start servers.
pub(super) struct Stage {
    server: PathBuf,
    peerjs: PathBuf,
    /// The directory of this package's programs.
    programs: PathBuf,
    tls: Option<Certificate>,
}

/// A server that is ready.
pub(super) struct Server {
    pub(super) process: Running,
    pub(super) address: SocketAddr,
    /// The certificate to trust, if it speaks TLS.
    pub(super) certificate: Option<PathBuf>,
    pub(super) started_in: Duration,
}

struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    client: Arc<ClientConfig>,
}

/// How long a server may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

impl Stage {
    /// Checks that everything is installed that these servers need.
    pub(super) fn set(places: &Places, kinds: &[Kind]) -> Result<Self> {
        let peerjs = places.package.join("node/node_modules/.bin/peerjs");
        let programs = std::env::current_exe()?.parent().context("no directory of programs")?.to_owned();
        ensure!(places.server.exists(), "{} is missing: run `make build`", places.server.display());
        if kinds.contains(&Kind::PeerjsServer) {
            ensure!(peerjs.exists(), "npm's peer is missing: run `npm ci` in bench/node, or `make bench`");
        }
        let tls = kinds.contains(&Kind::Tls).then(Certificate::make).transpose()?;
        Ok(Stage { server: places.server.clone(), peerjs, programs, tls })
    }

    pub(super) fn load(&self) -> PathBuf {
        self.programs.join("load")
    }

    /// The size of the program, if it is one file.
    pub(super) fn binary_bytes(&self, kind: Kind) -> Option<u64> {
        match kind {
            Kind::PeerjsServer => None,
            kind => Some(fs::metadata(self.program(kind)).ok()?.len()),
        }
    }

    fn program(&self, kind: Kind) -> PathBuf {
        match kind {
            Kind::Peerbroker | Kind::Tls | Kind::TwoWorkers => self.server.clone(),
            Kind::ActixWs => self.programs.join("actix_ws_server"),
            Kind::PeerjsServer => self.peerjs.clone(),
            Kind::Yardstick => self.programs.join("yardstick"),
        }
    }

    /// Starts a server and waits until it has admitted a peer.
    pub(super) fn start(&self, kind: Kind) -> Result<Server> {
        let address = free_address()?;
        let tls = if kind == Kind::Tls { self.tls.as_ref() } else { None };
        let args = arguments(kind, address.port(), tls);
        let start = Instant::now();
        let mut process = Running::start(kind.cores(), &self.program(kind), &args)?;
        let target = Target { address, tls: tls.map(|tls| Arc::clone(&tls.client)) };
        let welcome = || {
            let mut fleet = Fleet::new(target.clone())?;
            fleet.open(1)?;
            let opened_in = start.elapsed();
            fleet.leave(0)?;
            anyhow::Ok(opened_in)
        };
        loop {
            match welcome() {
                Ok(started_in) => {
                    let certificate = tls.map(|tls| tls.certificate.clone());
                    return Ok(Server { process, address, certificate, started_in });
                }
                Err(error) if start.elapsed() > PATIENCE => {
                    return Err(error.context(format!("{} does not start", kind.name())));
                }
                Err(_) => {
                    process.check().with_context(|| format!("{} does not start", kind.name()))?;
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }
}

fn arguments(kind: Kind, port: u16, tls: Option<&Certificate>) -> Vec<String> {
    // Pings, timeouts and rate limits must not affect the measurements.
    let mut args = match kind {
        Kind::Yardstick => String::new(),
        Kind::PeerjsServer => "--host 127.0.0.1 --concurrent_limit 100000 --alive_timeout 1800000".to_owned(),
        kind => {
            let workers = if kind == Kind::TwoWorkers { 2 } else { 1 };
            let own = if kind == Kind::ActixWs { "" } else { "--host 127.0.0.1 --messages_per_second 0" };
            format!(
                "{own} --concurrent_limit 100000 --workers {workers} --alive_timeout 1800000 \
                 --ping_interval 600000"
            )
        }
    }
    .split_whitespace()
    .map(str::to_owned)
    .collect::<Vec<_>>();
    args.extend(["--port".to_owned(), port.to_string()]);
    if let Some(Certificate { certificate, key, .. }) = tls {
        let path = |path: &Path| path.display().to_string();
        args.extend(["--sslcert".to_owned(), path(certificate), "--sslkey".to_owned(), path(key)]);
    }
    args
}

// Free now, and unlikely to be taken before the server binds it.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

impl Certificate {
    /// A new certificate for loopback, in a temporary directory that its drop removes.
    fn make() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let directory = std::env::temp_dir().join(format!("peerbroker-bench-{}", std::process::id()));
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
        fs::write(&certificate, made.cert.pem())?;
        fs::write(&key, made.signing_key.serialize_pem())?;
        let client = link::trust(&certificate)?;
        Ok(Certificate { certificate, key, client })
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        if let Some(directory) = self.key.parent() {
            let _ = fs::remove_dir_all(directory);
        }
    }
}
