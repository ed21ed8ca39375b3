//! The relay for calls, beside a bare loop and a TURN server.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::Places;
use super::child::{Running, SERVER_CORE, run_load};
use super::servers::free_address;
use crate::measured::CallsMeasured;

/// A program that passes datagrams on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relays {
    Peerbroker,
    Forwarder,
    /// The same without batches.
    OneByOne,
    /// Our TURN server, with virtual addresses. Both clients of a call use it.
    Turn,
    /// One client of a call uses it.
    Coturn,
    /// Both do.
    CoturnTwice,
}

/// Bytes of the datagrams: those of voice, and those of video.
pub const SIZES: [usize; 2] = [172, VIDEO];
pub const VIDEO: usize = 1200;
/// Datagrams in flight of each call.
pub const IN_FLIGHT: [usize; 2] = [1, 4];
/// Datagrams in a row, as video sends them.
pub const BURST: usize = 20;
/// Datagrams per second of all calls together: 50 in each direction of each call.
pub const STEADY: f64 = 20_000.0;

const CALLS: usize = 200;
/// Calls between two reads of memory: the first calls need more than later ones. Each needs two sockets of the load generator.
const SOME_CALLS: usize = 1_000;
const MANY_CALLS: usize = 5_000;
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);

impl Relays {
    pub const ALL: [Relays; 6] = [
        Relays::Peerbroker,
        Relays::Forwarder,
        Relays::OneByOne,
        Relays::Turn,
        Relays::Coturn,
        Relays::CoturnTwice,
    ];

    /// True for a program of this package, which only shows what the machine can do.
    fn is_bare(self) -> bool {
        matches!(self, Relays::Forwarder | Relays::OneByOne)
    }

    pub fn name(self) -> &'static str {
        match self {
            Relays::Peerbroker => "relay",
            Relays::Forwarder => "bare loop",
            Relays::OneByOne => "without batches",
            Relays::Turn => "TURN",
            Relays::Coturn => "coturn",
            Relays::CoturnTwice => "coturn, twice",
        }
    }

    /// Starts one, and gives what leads `calls` to it.
    fn start(self, places: &Places) -> Result<(Running, Vec<String>)> {
        let (tcp, udp) = (free_address()?, free_udp_address()?);
        let port = udp.port().to_string();
        let (program, args, way) = match self {
            Relays::Peerbroker => (
                places.server.clone(),
                format!(
                    "--port {} --relay {udp} --relay_private --relay_bytes_per_second 0 --messages_per_second 0",
                    tcp.port()
                ),
                format!("relay {tcp} {udp}"),
            ),
            Relays::Forwarder => {
                (beside_us("forwarder")?, format!("--port {port}"), format!("forwarder {udp}"))
            }
            Relays::OneByOne => {
                (beside_us("forwarder")?, format!("--port {port} --one-by-one"), format!("forwarder {udp}"))
            }
            Relays::Turn => (
                places.server.clone(),
                format!(
                    "--port {} --turn {udp} --turn_bytes_per_second 0 --turn_allocations 20000 \
                     --turn_allocations_per_key 20000",
                    tcp.port()
                ),
                format!("turn {udp} --both --broker {tcp}"),
            ),
            Relays::Coturn | Relays::CoturnTwice => (
                places.coturn.clone(),
                format!(
                    "-n --no-cli --no-auth --no-tls --no-dtls --no-tcp --no-tcp-relay --allow-loopback-peers \
                     --listening-ip 127.0.0.1 --relay-ip 127.0.0.1 --listening-port {port} --min-port 20000 \
                     --max-port 60000 --log-file /dev/null --pidfile /dev/null"
                ),
                format!("turn {udp}{}", if self == Relays::CoturnTwice { " --both" } else { "" }),
            ),
        };
        let args: Vec<String> = args.split_whitespace().map(str::to_owned).collect();
        let mut server = Running::start(SERVER_CORE, &program, &args)?;
        until_bound(udp, &mut server).with_context(|| format!("{} does not start", self.name()))?;
        if matches!(self, Relays::Peerbroker | Relays::Turn) {
            // The port of the relay is bound before the server listens.
            until(&mut server, || TcpStream::connect(tcp).is_ok()).context("the broker does not listen")?;
        }
        Ok((server, way.split_whitespace().map(str::to_owned).collect()))
    }

    fn measure(self, places: &Places, args: &str) -> Result<CallsMeasured> {
        let (server, way) = self.start(places)?;
        let args = format!("--pid {} {args}", server.pid());
        let args: Vec<String> = args.split_whitespace().map(str::to_owned).chain(way).collect();
        run_load(&beside_us("calls")?, &args, PATIENCE)
    }
}

/// The measurements of each, by its name.
pub(super) fn run(places: &Places, say: impl Fn(&str)) -> Result<BTreeMap<String, Vec<CallsMeasured>>> {
    ensure!(places.coturn.exists(), "{} is missing: `make setup` gets it", places.coturn.display());
    let mut measured: BTreeMap<String, Vec<CallsMeasured>> = BTreeMap::new();
    let mut add = |relay: Relays, args: &str| -> Result<()> {
        say(&format!("{}: {args}", relay.name()));
        measured.entry(relay.name().to_owned()).or_default().push(relay.measure(places, args)?);
        Ok(())
    };
    let in_flight = IN_FLIGHT.map(|count| count.to_string()).join(",");
    for _ in 0..ROUNDS {
        for size in SIZES {
            for relay in Relays::ALL.into_iter().filter(|relay| *relay != Relays::OneByOne) {
                let paces = format!("--in-flight {in_flight} --per-second {STEADY}");
                add(relay, &format!("--calls {CALLS} --size {size} {paces}"))?;
            }
        }
        for relay in Relays::ALL {
            add(relay, &format!("--calls {CALLS} --size {VIDEO} --burst {BURST} --per-second {STEADY}"))?;
        }
        for relay in Relays::ALL.into_iter().filter(|relay| !relay.is_bare()) {
            add(relay, &format!("--after {SOME_CALLS} --calls {}", MANY_CALLS - SOME_CALLS))?;
        }
    }
    Ok(measured)
}

/// A program of this package.
fn beside_us(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.parent().unwrap_or(Path::new(".")).join(name))
}

fn free_udp_address() -> Result<SocketAddr> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Waits until a process has bound a port.
fn until_bound(address: SocketAddr, server: &mut Running) -> Result<()> {
    until(server, || UdpSocket::bind(address).is_err())
}

fn until(server: &mut Running, is_so: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        server.check()?;
        ensure!(Instant::now() < deadline, "waited in vain");
        std::thread::sleep(Duration::from_millis(20));
    }
    server.check()
}
