//! The compared servers, and how to start them.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rcgen::{CertificateParams, KeyPair};

use super::Places;
use super::child::{LOAD_CORE, Running, SERVER_CORE};
use super::redis_server::RedisServer;
use super::settle;
use crate::fleet::{Fleet, Target};
use crate::link;
use crate::process::Process;
use crate::servers::Servers;

/// A server and its setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// peerbroker with one worker.
    Peerbroker,
    /// The same broker in an actix-web app.
    ActixWs,
    /// npm's `peer`.
    PeerjsServer,
    /// The minimal work of any message server; not a real one.
    Yardstick,
    /// peerbroker over TLS, with a P-256 certificate.
    Tls,
    /// The same with RSA of 2,048 bits.
    TlsRsa,
    /// peerbroker with two workers on two cores.
    TwoWorkers,
    /// peerbroker with Redis, without other nodes.
    OneNode,
    /// Two nodes with a Redis; the two peers of each pair are on different nodes.
    TwoNodes,
    /// The same with three.
    ThreeNodes,
}

impl Kind {
    /// The servers of the comparison.
    pub const ALL: [Kind; 7] = [
        Kind::Peerbroker,
        Kind::ActixWs,
        Kind::PeerjsServer,
        Kind::Yardstick,
        Kind::Tls,
        Kind::TlsRsa,
        Kind::TwoWorkers,
    ];

    /// The servers in tables.
    pub const COMPARED: [Kind; 4] = [Kind::Peerbroker, Kind::ActixWs, Kind::PeerjsServer, Kind::Yardstick];

    /// A server by itself, and the nodes of clusters.
    pub const CLUSTER: [Kind; 4] = [Kind::Peerbroker, Kind::OneNode, Kind::TwoNodes, Kind::ThreeNodes];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Peerbroker => "peerbroker",
            Kind::ActixWs => "actix-ws form",
            Kind::PeerjsServer => "peerjs-server",
            Kind::Yardstick => "yardstick",
            Kind::Tls => "peerbroker, TLS",
            Kind::TlsRsa => "peerbroker, TLS with RSA",
            Kind::TwoWorkers => "peerbroker, 2 workers",
            Kind::OneNode => "1 node",
            Kind::TwoNodes => "2 nodes",
            Kind::ThreeNodes => "3 nodes",
        }
    }

    fn cores(self) -> &'static str {
        match self {
            Kind::TwoWorkers => "0,1",
            _ => SERVER_CORE,
        }
    }

    /// The number of nodes that share a Redis; 0 without one.
    fn nodes(self) -> usize {
        match self {
            Kind::OneNode => 1,
            Kind::TwoNodes => 2,
            Kind::ThreeNodes => 3,
            _ => 0,
        }
    }
}

/// Everything that is needed to start servers.
pub(super) struct Stage {
    server: PathBuf,
    redis: PathBuf,
    peerjs: PathBuf,
    /// The directory of this package's programs.
    programs: PathBuf,
    tls: Option<Certificate>,
    tls_rsa: Option<Certificate>,
}

/// A server that is ready, or all nodes of a cluster.
pub(super) struct Server {
    processes: Vec<Running>,
    pub(super) addresses: Vec<SocketAddr>,
    /// Of the operator's API of each node of a cluster.
    pub(super) ops: Vec<SocketAddr>,
    pub(super) redis: Option<RedisServer>,
    pub(super) has_tls: bool,
    pub(super) started_in: Duration,
}

struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
}

/// Time limit for the start of a server.
const PATIENCE: Duration = Duration::from_secs(20);

impl Stage {
    /// Checks that everything is installed that these servers need.
    pub(super) fn set(places: &Places, kinds: &[Kind]) -> Result<Self> {
        let peerjs = places.package.join("node/node_modules/.bin/peerjs");
        let programs = std::env::current_exe()?.parent().context("no directory of programs")?.to_owned();
        ensure!(places.server.exists(), "{} is missing: run `make dist`", places.server.display());
        if kinds.contains(&Kind::PeerjsServer) {
            ensure!(peerjs.exists(), "npm's peer is missing: run `npm ci` in bench/node, or `make bench`");
        }
        let tls = kinds.contains(&Kind::Tls).then(Certificate::p256).transpose()?;
        let tls_rsa = kinds.contains(&Kind::TlsRsa).then(Certificate::rsa).transpose()?;
        Ok(Stage {
            server: places.server.clone(),
            redis: places.redis.clone(),
            peerjs,
            programs,
            tls,
            tls_rsa,
        })
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
            Kind::ActixWs => self.programs.join("actix_ws_server"),
            Kind::PeerjsServer => self.peerjs.clone(),
            Kind::Yardstick => self.programs.join("yardstick"),
            _ => self.server.clone(),
        }
    }

    /// Starts a server and waits until it has admitted a peer; or a Redis with its nodes, until all are ready.
    pub(super) fn start(&self, kind: Kind) -> Result<Server> {
        let start = Instant::now();
        let certificate = match kind {
            Kind::Tls => self.tls.as_ref(),
            Kind::TlsRsa => self.tls_rsa.as_ref(),
            _ => None,
        };
        let mut server = Server {
            processes: Vec::new(),
            addresses: Vec::new(),
            ops: Vec::new(),
            redis: None,
            has_tls: certificate.is_some(),
            started_in: Duration::ZERO,
        };
        if kind.nodes() > 0 {
            // The nodes need a whole core; the load sleeps whenever it waits.
            server.redis = Some(RedisServer::start(&self.redis, LOAD_CORE)?);
        }
        for _ in 0..kind.nodes().max(1) {
            let address = free_address()?;
            let mut args = arguments(kind, address.port(), certificate);
            if let Some(redis) = &server.redis {
                let ops = free_address()?;
                args.extend([
                    "--redis".to_owned(),
                    redis.url(),
                    "--ops_port".to_owned(),
                    ops.port().to_string(),
                ]);
                server.ops.push(ops);
            }
            let process = Running::start(kind.cores(), &self.program(kind), &args)?;
            let client = certificate.map(|_| link::tls()).transpose()?;
            server.processes.push(process);
            server.addresses.push(address);
            server
                .welcome(&Target { addresses: vec![address], tls: client })
                .with_context(|| format!("{} does not start", kind.name()))?;
        }
        settle::until_ready(&server.ops)?;
        server.started_in = start.elapsed();
        Ok(server)
    }
}

impl Server {
    pub(super) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Running::pid).collect()
    }

    /// The processes and the Redis to measure.
    pub(super) fn measured(&self) -> Result<Servers> {
        let redis = self.redis.as_ref().map(RedisServer::redis).transpose()?;
        Ok(Servers { nodes: self.pids().into_iter().map(Process).collect(), redis })
    }

    /// Waits until a peer was admitted.
    fn welcome(&mut self, target: &Target) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let welcome = || {
            let mut fleet = Fleet::new(target.clone())?;
            fleet.open(1)?;
            fleet.leave(0)
        };
        while let Err(error) = welcome() {
            if Instant::now() > deadline {
                return Err(error);
            }
            self.processes.iter_mut().try_for_each(Running::check)?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

fn arguments(kind: Kind, port: u16, tls: Option<&Certificate>) -> Vec<String> {
    // Pings, timeouts and rate limits must not affect the measurements.
    let mut args = match kind {
        Kind::Yardstick => String::new(),
        Kind::PeerjsServer => "--host 127.0.0.1 --concurrent_limit 100000 --alive_timeout 1800000".to_owned(),
        kind => {
            let workers = if kind == Kind::TwoWorkers { 2 } else { 1 };
            let own = if kind == Kind::ActixWs {
                ""
            } else {
                "--host 127.0.0.1 --messages_per_second 0 --room_deliveries_per_second 0 \
                 --room_key_deliveries_per_second 0"
            };
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
    if let Some(Certificate { certificate, key }) = tls {
        let path = |path: &Path| path.display().to_string();
        args.extend(["--sslcert".to_owned(), path(certificate), "--sslkey".to_owned(), path(key)]);
    }
    args
}

// Free now, and unlikely to be taken before the server binds it.
pub(super) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

impl Certificate {
    fn p256() -> Result<Self> {
        Certificate::make("p256", &KeyPair::generate()?)
    }

    /// With a key of the tests, because ring makes none.
    fn rsa() -> Result<Self> {
        let key = include_str!("../../../tests/fixtures/tls/rsa-pkcs8.key");
        Certificate::make("rsa", &KeyPair::from_pem(key)?)
    }

    /// A new certificate for loopback, in a temporary directory that its drop removes.
    fn make(name: &str, key_pair: &KeyPair) -> Result<Self> {
        let made = CertificateParams::new(["127.0.0.1".to_owned()])?.self_signed(key_pair)?;
        let directory = std::env::temp_dir().join(format!("peerbroker-bench-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
        fs::write(&certificate, made.pem())?;
        fs::write(&key, key_pair.serialize_pem())?;
        Ok(Certificate { certificate, key })
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        if let Some(directory) = self.key.parent() {
            let _ = fs::remove_dir_all(directory);
        }
    }
}
