//! Drives a server or a cluster on loopback and prints, as JSON, the CPU time and memory that this cost it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use peerbroker_bench::fleet::{Fleet, Target};
use peerbroker_bench::link;
use peerbroker_bench::measured::Pace;
use peerbroker_bench::process::Process;
use peerbroker_bench::redis::Redis;
use peerbroker_bench::scenario::crowd::Beats;
use peerbroker_bench::scenario::exchange::Pairs;
use peerbroker_bench::scenario::{churn, crowd, opens, returning, room, stalled, storm};
use peerbroker_bench::servers::Servers;
use serde::Serialize;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// All addresses of the server, or of all nodes of a cluster
    #[arg(long, value_delimiter = ',', required = true)]
    address: Vec<SocketAddr>,
    /// Process id of the server, whose CPU time and memory are measured; those of all nodes of a cluster
    #[arg(long, value_delimiter = ',', required = true)]
    pid: Vec<u32>,
    /// Port of the Redis of the cluster, which is measured too
    #[arg(long, value_name = "PORT")]
    redis: Option<u16>,
    /// Use TLS
    #[arg(long)]
    tls: bool,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand)]
enum Scenario {
    /// Pairs exchange offers and answers of 2 KB
    Messages {
        #[arg(long, default_value_t = 100)]
        pairs: usize,
        /// Messages in flight per pair, one step for each value
        #[arg(long, value_delimiter = ',')]
        in_flight: Vec<usize>,
        /// Messages per second of all pairs, one step for each value
        #[arg(long, value_delimiter = ',')]
        per_second: Vec<f64>,
        /// Seconds per step
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
    },
    /// Many idle peers
    Crowd {
        /// Numbers of peers at which memory is read
        #[arg(long, value_delimiter = ',', default_value = "1000,5000,10000")]
        steps: Vec<usize>,
        /// Numbers of peers at which the cost of an open is measured
        #[arg(long, value_delimiter = ',', default_value = "100,10000")]
        opens_at: Vec<usize>,
        /// Number of peers that send heartbeats
        #[arg(long, default_value_t = 10_000)]
        beating: usize,
        /// Heartbeats per second of all peers, and the number sent at once; one step for each value
        #[arg(long, value_delimiter = ',', value_name = "RATExCOUNT", default_value = "10000x10")]
        beats: Vec<Beats>,
        /// Seconds per step of heartbeats
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
    },
    /// All peers connect and leave
    Churn {
        #[arg(long, default_value_t = 10_000)]
        peers: usize,
        #[arg(long, default_value_t = 10)]
        rounds: usize,
    },
    /// Clients open and leave
    Opens {
        #[arg(long, default_value_t = 10_000)]
        peers: usize,
    },
    /// All peers connect at once, while other pairs exchange messages
    Storm {
        #[arg(long, default_value_t = 10_000)]
        peers: usize,
    },
    /// TLS clients come back with their sessions
    Returning {
        #[arg(long, default_value_t = 10_000)]
        peers: usize,
        /// Address of a server without TLS, for comparison
        #[arg(long, value_name = "ADDRESS")]
        plain: SocketAddr,
        /// Its process id
        #[arg(long, value_name = "PID")]
        plain_pid: u32,
    },
    /// All peers are in one room, and send to all in turn
    Room {
        #[arg(long, default_value_t = 500)]
        members: usize,
        /// Seconds for the room, and for pairs of its members
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
    },
    /// One reader stops reading
    Stalled {
        #[arg(long, default_value_t = 1_000_000_000)]
        bytes: u64,
    },
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of open files")?;
    let tls = cli.tls.then(link::tls).transpose()?;
    let target = Target { addresses: cli.address, tls };
    let mut fleet = Fleet::new(target.clone())?;
    let nodes = cli.pid.into_iter().map(Process).collect();
    let server = &Servers { nodes, redis: cli.redis.map(Redis::at).transpose()? };
    match cli.scenario {
        Scenario::Messages { pairs, in_flight, per_second, seconds } => {
            fleet.open(2 * pairs)?;
            let mut pairs = Pairs::new(0, pairs);
            let paces =
                in_flight.into_iter().map(Pace::InFlight).chain(per_second.into_iter().map(Pace::PerSecond));
            let time = Duration::from_secs_f64(seconds);
            let exchanges: Result<Vec<_>> =
                paces.map(|pace| pairs.exchange(&mut fleet, server, pace, time)).collect();
            print(&exchanges?)
        }
        Scenario::Crowd { steps, opens_at, beating, beats, seconds } => {
            let beat_time = Duration::from_secs_f64(seconds);
            let plan = crowd::Plan { steps, opens_at, beating, beats, beat_time };
            print(&crowd::run(&mut fleet, server, &plan)?)
        }
        Scenario::Churn { peers, rounds } => print(&churn::run(&mut fleet, server, peers, rounds)?),
        Scenario::Opens { peers } => print(&opens::run(&mut fleet, server, peers)?),
        Scenario::Storm { peers } => print(&storm::run(&mut fleet, server, target, peers)?),
        Scenario::Returning { peers, plain, plain_pid } => {
            let mut without_tls = Fleet::new(Target { addresses: vec![plain], tls: None })?;
            let plain = Servers { nodes: vec![Process(plain_pid)], redis: None };
            print(&returning::run(server, target, (&plain, &mut without_tls), peers)?)
        }
        Scenario::Room { members, seconds } => {
            print(&room::run(&mut fleet, server, members, Duration::from_secs_f64(seconds))?)
        }
        Scenario::Stalled { bytes } => print(&stalled::run(&mut fleet, server, bytes)?),
    }
}

fn print(measured: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(measured)?);
    Ok(())
}
