//! Sends datagrams through a relay, a TURN server or the yardstick, and prints, as JSON, what that cost the server.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use peerbroker_bench::calls::{Calls, Way};
use peerbroker_bench::measured::{CallsMeasured, Pace};
use peerbroker_bench::process::Process;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// Process id of the server
    #[arg(long)]
    pid: u32,
    #[arg(long, default_value_t = 100)]
    calls: usize,
    /// Calls that begin before the measured ones; their memory is not counted
    #[arg(long, default_value_t = 0)]
    after: usize,
    /// Bytes of a datagram
    #[arg(long, default_value_t = 1200)]
    size: usize,
    /// Datagrams in flight of each call, one step for each value
    #[arg(long, value_delimiter = ',')]
    in_flight: Vec<usize>,
    /// Datagrams that a side sends in a row, in steps with a number per second
    #[arg(long, default_value_t = 1)]
    burst: usize,
    /// Datagrams per second of all calls, one step for each value
    #[arg(long, value_delimiter = ',')]
    per_second: Vec<f64>,
    /// Seconds per step
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    #[command(subcommand)]
    way: By,
}

#[derive(Subcommand)]
enum By {
    /// The relay of a broker
    Relay { broker: SocketAddr, relay: SocketAddr },
    /// A TURN server
    Turn {
        server: SocketAddr,
        /// Both clients of each call use it
        #[arg(long)]
        both: bool,
        /// The broker that tells credentials for it
        #[arg(long)]
        broker: Option<SocketAddr>,
    },
    /// The yardstick
    Forwarder { at: SocketAddr },
}

fn main() -> Result<()> {
    let Cli { pid, calls, after, size, in_flight, burst, per_second, seconds, way } = Cli::parse();
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of open files")?;
    let way = match way {
        By::Relay { broker, relay } => Way::Relay { broker, relay },
        By::Turn { server, both, broker } => Way::Turn { server, size, both, broker },
        By::Forwarder { at } => Way::Forwarder { at },
    };
    let server = Process(pid);
    let _first = Calls::begin(&way, 0..after)?;
    let before = server.resident()?;
    let mut begun = Calls::begin(&way, after..after + calls)?;
    let bytes_per_call = server.resident()?.saturating_sub(before) as f64 / calls as f64;
    let paces = in_flight.into_iter().map(Pace::InFlight).chain(per_second.into_iter().map(Pace::PerSecond));
    let time = Duration::from_secs_f64(seconds);
    let packets = paces.map(|pace| begun.exchange(server, pace, burst, size, time)).collect::<Result<_>>()?;
    println!("{}", serde_json::to_string(&CallsMeasured { calls, bytes_per_call, packets })?);
    Ok(())
}
