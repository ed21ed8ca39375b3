//! The relay for calls, beside a bare loop and a TURN server.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use socket2::Type;
use testkit::ports::{free_port, is_udp_bound};
use testkit::tools::find;
use testkit::turn_client::SECRET;
use testkit::wait::wait_until;

use crate::Pace;
use crate::calls::{Calls, Way};
use crate::figures::Record;
use crate::servers::{Places, Running, beside_us};

/// A program that passes datagrams on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    Peerbroker,
    Forwarder,
    /// The same without batches.
    OneByOne,
    /// Our TURN server, with virtual addresses. Both clients of a call use it.
    Turn,
    /// The distribution's. One client of a call uses it.
    Coturn,
    /// Both do.
    CoturnTwice,
    /// The coturn of `--coturn`, with [batches](BATCHES) if it has them.
    Newer,
    /// Without batches: clients that share a relayed address cannot be each other's peers.
    NewerTwice,
}

/// The coturn of `--coturn`, the names of [`Relay::Newer`] and [`Relay::NewerTwice`], and flags of the first.
static NEWER: OnceLock<(PathBuf, [String; 2], &str)> = OnceLock::new();

/// coturn 4.12 and later reads and sends UDP in batches with these: the first has it use `recvmmsg` and
/// `sendmmsg`.
const BATCHES: &str = "--multiplex-peer --udp-gso";

/// Adds a coturn to the compared relays.
pub fn add_coturn(program: PathBuf) -> Result<()> {
    let said = |flag| {
        let output = Command::new(&program).arg(flag).output();
        let output = output.with_context(|| format!("cannot start {}", program.display()))?;
        Ok::<_, anyhow::Error>(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let name = format!("coturn {}", said("--version")?.trim());
    let help = said("-h")?;
    let batches = if help.contains("--multiplex-peer") { BATCHES } else { "" };
    NEWER.set((program, [name.clone(), format!("{name}, twice")], batches)).ok().context("there are two")
}

/// Bytes of the datagrams.
pub const VOICE: usize = 172;
pub const VIDEO: usize = 1200;
/// 50 datagrams per second in each direction of each call.
pub const STEADY: Pace = Pace::PerSecond(20_000.0);
/// Datagrams in flight of each call, or a steady rate.
pub const PACES: [Pace; 4] = [Pace::InFlight(1), Pace::InFlight(4), Pace::InFlight(32), STEADY];
/// Datagrams in a row, as video sends them.
pub const BURST: usize = 20;

const CALLS: usize = 200;
/// Calls between two reads of memory: the first calls need more than later ones. Each needs two sockets of
/// the load generator.
const SOME_CALLS: usize = 1_000;
const MANY_CALLS: usize = 5_000;

impl Relay {
    const ALL: [Relay; 8] = [
        Relay::Peerbroker,
        Relay::Forwarder,
        Relay::OneByOne,
        Relay::Turn,
        Relay::Coturn,
        Relay::CoturnTwice,
        Relay::Newer,
        Relay::NewerTwice,
    ];

    pub fn all() -> Vec<Relay> {
        let count = if NEWER.get().is_some() { 8 } else { 6 };
        Relay::ALL[..count].to_vec()
    }

    /// The allocations of a call; `None` without TURN.
    pub fn allocations(self) -> Option<f64> {
        match self {
            Relay::Peerbroker | Relay::Forwarder | Relay::OneByOne => None,
            Relay::Coturn | Relay::Newer => Some(1.0),
            Relay::Turn | Relay::CoturnTwice | Relay::NewerTwice => Some(2.0),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Relay::Peerbroker => "relay",
            Relay::Forwarder => "bare loop",
            Relay::OneByOne => "without batches",
            Relay::Turn => "TURN",
            Relay::Coturn => "coturn",
            Relay::CoturnTwice => "coturn, twice",
            Relay::Newer => NEWER.get().map_or("", |newer| &newer.1[0]),
            Relay::NewerTwice => NEWER.get().map_or("", |newer| &newer.1[1]),
        }
    }

    /// Starts one, and says how calls go through it.
    pub fn start(self, places: &Places, over: Type) -> Result<(Running, Way)> {
        let broker = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let port = free_port();
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let ours = format!("--port {} --messages_per_second 0", broker.port());
        let (program, args, way) = match self {
            Relay::Peerbroker => (
                places.server.clone(),
                format!("{ours} --relay {at} --relay_private --relay_bytes_per_second 0"),
                Way::Relay { broker },
            ),
            Relay::Turn => (
                places.server.clone(),
                format!(
                    "{ours} --turn {at} --turn_secret {SECRET} --relay_bytes_per_second 0 \
                     --relay_calls 40000"
                ),
                Way::Turn { server: at, both: true, over },
            ),
            Relay::Forwarder | Relay::OneByOne => (
                beside_us("forwarder")?,
                format!("--port {port}{}", if self == Relay::OneByOne { " --one-by-one" } else { "" }),
                Way::Forwarder { at },
            ),
            Relay::Coturn | Relay::CoturnTwice | Relay::Newer | Relay::NewerTwice => {
                let newer = NEWER.get().filter(|_| matches!(self, Relay::Newer | Relay::NewerTwice));
                let program = newer.map(|newer| newer.0.clone()).or_else(|| find("turnserver"));
                let batches = newer.filter(|_| self == Relay::Newer).map_or("", |newer| newer.2);
                let args = format!(
                    "-n --no-cli --use-auth-secret --static-auth-secret {SECRET} --realm turn --no-tls --no-dtls \
                     --no-tcp-relay --allow-loopback-peers --listening-ip 127.0.0.1 \
                     --relay-ip 127.0.0.1 --listening-port {port} --min-port 20000 --max-port 60000 \
                     --log-file /dev/null --pidfile /dev/null {batches}{}",
                    if over == Type::STREAM { "" } else { " --no-tcp" }
                );
                let both = self.allocations() == Some(2.0);
                let program = program.context("turnserver is missing: `make setup` gets it")?;
                (program, args, Way::Turn { server: at, both, over })
            }
        };
        let server = Running::start("0", &program, &args)?;
        wait_until("the port is bound", || is_udp_bound(port));
        if matches!(way, Way::Relay { .. }) {
            // The port of the relay is bound before the server listens.
            wait_until("the broker listens", || TcpStream::connect(broker).is_ok());
        }
        if over == Type::STREAM {
            wait_until("TURN listens", || TcpStream::connect(at).is_ok());
        }
        Ok((server, way))
    }

    pub fn datagrams<const SIZE: usize, const TCP: bool>(
        self,
        places: &Places,
        record: &mut Record,
    ) -> Result<()> {
        let (over, named) = if TCP { (Type::STREAM, OVER_TCP) } else { (Type::DGRAM, "") };
        let (server, way) = self.start(places, over)?;
        let mut calls = Calls::begin(way, 0..CALLS)?;
        for pace in PACES.into_iter().filter(|pace| !TCP || *pace != STEADY) {
            record.add(cpu(SIZE, pace) + named, calls.cpu_us(server.process(), pace, 1, SIZE)?);
        }
        Ok(())
    }

    pub fn losses(self, places: &Places, record: &mut Record) -> Result<()> {
        let (_server, way) = self.start(places, Type::DGRAM)?;
        record.add(LOSSLESS, Calls::begin(way, 0..CALLS)?.lossless_rate(VOICE)?);
        Ok(())
    }

    pub fn bursts(self, places: &Places, record: &mut Record) -> Result<()> {
        let (server, way) = self.start(places, Type::DGRAM)?;
        let mut calls = Calls::begin(way, 0..CALLS)?;
        record.add(IN_A_ROW, calls.cpu_us(server.process(), STEADY, BURST, VIDEO)?);
        Ok(())
    }

    pub fn memory(self, places: &Places, record: &mut Record) -> Result<()> {
        let (server, way) = self.start(places, Type::DGRAM)?;
        let _first = Calls::begin(way, 0..SOME_CALLS)?;
        let before = server.process().resident()?;
        let _more = Calls::begin(way, SOME_CALLS..MANY_CALLS)?;
        let grown = server.process().resident()?.saturating_sub(before);
        record.add(MEMORY, grown as f64 / (MANY_CALLS - SOME_CALLS) as f64);
        Ok(())
    }
}

pub const IN_A_ROW: &str = "CPU per video datagram, 20 in a row";
pub const OVER_TCP: &str = ", over TCP";
pub const LOSSLESS: &str = "voice datagrams a second, none lost";
pub const MEMORY: &str = "memory per further call, from 1,000 to 5,000 calls";

/// The name of a figure.
pub fn cpu(size: usize, pace: Pace) -> String {
    let pace = if pace == STEADY { "50 a second and direction".to_owned() } else { pace.to_string() };
    let media = if size == VOICE { "voice" } else { "video" };
    format!("CPU per {media} datagram, {pace}")
}
