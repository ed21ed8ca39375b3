//! The compared servers, and how to start them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};
use rustls::client::Resumption;
use testkit::api::Api;
use testkit::ports::free_port;
use testkit::process::Process;
use testkit::redis_server::RedisServer;
use testkit::tools::fixture;
use testkit::wait::wait_until;

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
    /// peerbroker, a tracker too.
    WithTracker,
    /// y-webrtc's own server.
    YWebrtc,
    /// The tracker of WebTorrent's clients.
    BittorrentTracker,
    /// The minimal work of any message server; not a real one.
    Yardstick,
    /// The same, and `io_uring` sends its output.
    YardstickUring,
    /// peerbroker over TLS, with a P-256 certificate.
    Tls,
    /// The same with RSA of 2,048 bits.
    TlsRsa,
    /// peerbroker with two workers on two cores.
    TwoWorkers,
    /// Nodes with a Redis; the two peers of each pair are on different nodes.
    Nodes(usize),
}

impl Kind {
    /// The servers in the table of the comparison.
    pub const COMPARED: [Kind; 4] = [Kind::Peerbroker, Kind::ActixWs, Kind::PeerjsServer, Kind::Yardstick];

    /// A server by itself, and the nodes of clusters.
    pub const CLUSTER: [Kind; 4] = [Kind::Peerbroker, Kind::Nodes(1), Kind::Nodes(2), Kind::Nodes(3)];

    /// The servers whose protocols peerbroker has at the root, and the minimal work for these.
    pub const PROTOCOLS: [Kind; 5] =
        [Kind::WithTracker, Kind::YWebrtc, Kind::BittorrentTracker, Kind::Yardstick, Kind::YardstickUring];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Peerbroker | Kind::WithTracker => "peerbroker",
            Kind::ActixWs => "actix-ws form",
            Kind::PeerjsServer => "peerjs-server",
            Kind::YWebrtc => "y-webrtc",
            Kind::BittorrentTracker => "bittorrent-tracker",
            Kind::Yardstick => "yardstick",
            Kind::YardstickUring => "yardstick, io_uring",
            Kind::Tls => "peerbroker, TLS",
            Kind::TlsRsa => "peerbroker, TLS with RSA",
            Kind::TwoWorkers => "peerbroker, 2 workers",
            Kind::Nodes(1) => "1 node",
            Kind::Nodes(2) => "2 nodes",
            Kind::Nodes(_) => "3 nodes",
        }
    }

    /// Pings, timeouts and rate limits must not affect the measurements.
    fn arguments(self) -> String {
        let own = match self {
            Kind::Yardstick | Kind::ActixWs | Kind::YWebrtc | Kind::BittorrentTracker => {
                return String::new();
            }
            Kind::YardstickUring => return "--uring".to_owned(),
            Kind::PeerjsServer => String::new(),
            _ => format!(
                "--workers {} --alive_timeout 1800000 --messages_per_second 0 \
                 --room_deliveries_per_second 0",
                if self == Kind::TwoWorkers { 2 } else { 1 }
            ),
        };
        let dialects = if self == Kind::WithTracker { "--dialects peerjs,topics,tracker" } else { "" };
        format!("{own} {dialects} --host 127.0.0.1 --concurrent_limit 100000 --alive_timeout 1800000")
    }

    /// The certificate and the key of the tests.
    fn tls(self) -> Option<[PathBuf; 2]> {
        match self {
            Kind::Tls => Some(["ec-chain.pem", "ec-pkcs8.key"].map(fixture)),
            Kind::TlsRsa => Some(["rsa-chain.pem", "rsa-pkcs8.key"].map(fixture)),
            _ => None,
        }
    }
}

/// The programs that are not of this package.
#[derive(Clone)]
pub struct Places {
    pub server: PathBuf,
    pub peerjs: PathBuf,
    pub y_webrtc: PathBuf,
    pub tracker: PathBuf,
}

/// A server that is ready, or all nodes of a cluster with their Redis.
pub struct Server {
    nodes: Vec<Running>,
    pub target: Target,
    /// The operator's API of each node of a cluster.
    ops: Vec<SocketAddr>,
    pub redis: Option<RedisServer>,
    /// The first process of the Redis.
    redis_process: Option<Process>,
    /// For further servers.
    pub places: Places,
}

impl Server {
    /// Starts a server and waits until it has admitted a peer; or a Redis with its nodes, until all are
    /// ready.
    pub fn start(places: &Places, kind: Kind) -> Result<Self> {
        let program = match kind {
            Kind::ActixWs => beside_us("actix_ws_server")?,
            Kind::PeerjsServer => places.peerjs.clone(),
            Kind::YWebrtc => places.y_webrtc.clone(),
            Kind::BittorrentTracker => places.tracker.clone(),
            Kind::Yardstick | Kind::YardstickUring => beside_us("yardstick")?,
            _ => places.server.clone(),
        };
        ensure!(
            program.exists(),
            "{} is missing: run `make bench` or `make bench-protocols`",
            program.display()
        );
        let mut args = kind.arguments();
        if let Some([certificate, key]) = kind.tls() {
            args += &format!(" --sslcert {} --sslkey {}", certificate.display(), key.display());
        }
        let (nodes, redis) = match kind {
            // The nodes need a whole core; Redis has that of the load, which sleeps whenever it waits.
            Kind::Nodes(count) => (count, Some(RedisServer::start())),
            _ => (1, None),
        };
        let redis_process = redis.as_ref().map(|redis| {
            let pid = ask_redis(redis, "server", "process_id:")?.parse();
            anyhow::Ok(Process(pid?))
        });
        let tls = kind.tls().map(|_| link::tls(Resumption::disabled()));
        let mut server = Server {
            nodes: Vec::new(),
            target: Target { addresses: Vec::new(), tls: tls.clone() },
            ops: Vec::new(),
            redis,
            redis_process: redis_process.transpose()?,
            places: places.clone(),
        };
        for _ in 0..nodes {
            let port = free_port();
            let ops = free_port();
            let mut args = format!("{args} --port {port}");
            if let Some(redis) = &server.redis {
                args += &format!(" --redis {} --ops_port {ops}", redis.url());
                server.ops.push((Ipv4Addr::LOCALHOST, ops).into());
            }
            let cores = if kind == Kind::TwoWorkers { "0,1" } else { "0" };
            let (program, args) = match kind {
                // It reads its port from the environment only.
                Kind::YWebrtc => (Path::new("env"), format!("PORT={port} {}", program.display())),
                _ => (program.as_path(), args),
            };
            server.nodes.push(Running::start(cores, program, &args)?);
            let target = Target { addresses: vec![(Ipv4Addr::LOCALHOST, port).into()], tls: tls.clone() };
            let welcomes = || {
                let mut fleet = match kind {
                    Kind::YWebrtc | Kind::BittorrentTracker => Fleet::guests(target.clone())?,
                    _ => Fleet::new(target.clone())?,
                };
                fleet.open(1)?;
                fleet.leave(0)
            };
            wait_until(&format!("{} admits a peer", kind.name()), || welcomes().is_ok());
            server.target.addresses.extend(target.addresses);
        }
        wait_until("all nodes are ready", || server.is_ready());
        // So that the work of its start is over.
        std::thread::sleep(Duration::from_millis(200));
        Ok(server)
    }

    /// Peers of this server, none of which is connected yet.
    pub fn fleet(&self) -> Result<Fleet> {
        Fleet::new(self.target.clone())
    }

    /// Clients at the root of this server, none of which is connected yet.
    pub fn guests(&self) -> Result<Fleet> {
        Fleet::guests(self.target.clone())
    }

    fn processes(&self) -> impl Iterator<Item = Process> {
        self.nodes.iter().map(Running::process)
    }

    /// Kills all nodes, and starts them again at once: no client hears of it before its connection ends.
    pub fn crash(&mut self) -> Result<()> {
        self.nodes.iter_mut().try_for_each(Running::crash)
    }

    /// CPU time of all nodes, without Redis.
    pub fn cpu(&self) -> Result<Duration> {
        self.processes().map(Process::cpu).sum()
    }

    /// CPU time of the Redis of a cluster.
    pub fn redis_cpu(&self) -> Result<Option<Duration>> {
        self.redis_process.map(Process::cpu).transpose()
    }

    /// Bytes that Redis uses for data and connections, without memory that its allocator has kept.
    pub fn redis_bytes(&self) -> Result<f64> {
        let redis = self.redis.as_ref().context("there is no Redis")?;
        Ok(ask_redis(redis, "memory", "used_memory:")?.parse()?)
    }

    /// Resident memory of all nodes.
    pub fn resident(&self) -> Result<u64> {
        self.processes().map(Process::resident).sum()
    }

    /// The sum of the nodes' maxima since [`forget_peak`](Self::forget_peak).
    pub fn peak_resident(&self) -> Result<u64> {
        self.processes().map(Process::peak_resident).sum()
    }

    pub fn forget_peak(&self) -> Result<()> {
        self.processes().try_for_each(Process::forget_peak)
    }

    /// True if all nodes of the cluster are ready.
    pub fn is_ready(&self) -> bool {
        self.ops.iter().all(|&address| Api { address, headers: String::new() }.get("/readyz").status == 200)
    }
}

fn ask_redis(redis: &RedisServer, section: &str, field: &str) -> Result<String> {
    let info: String = redis::cmd("INFO").arg(section).query(&mut redis.client())?;
    let value = info.lines().find_map(|line| line.strip_prefix(field));
    Ok(value.with_context(|| format!("Redis has no {field}"))?.trim().to_owned())
}

/// The core of the measured servers.
pub const SERVER_CORE: usize = 0;
/// The core of the load generator, and of the Redis of a cluster.
pub const LOAD_CORE: usize = 1;

/// A child process, and how it was started.
pub struct Running(Child, Command);

impl Running {
    /// Starts a program on some cores.
    pub fn start(cores: &str, program: &Path, args: &str) -> Result<Self> {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "taskset", "--cpu-list", cores])
            .arg(program)
            .args(args.split_whitespace())
            // A node that loses Redis says so, and here that is intended.
            .env("RUST_LOG", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child = command.spawn().context("cannot start setpriv: install util-linux")?;
        Ok(Running(child, command))
    }

    fn crash(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        self.0 = self.1.spawn()?;
        Ok(())
    }

    pub fn process(&self) -> Process {
        Process(self.0.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Lets this thread, and threads and processes that it starts, run on one core only.
pub fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores)
        .with_context(|| format!("core {core} is missing: the server needs one, and the load another"))
}

/// A program of this package.
pub fn beside_us(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(name))
}
