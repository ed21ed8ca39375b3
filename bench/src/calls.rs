//! Calls through a program that relays datagrams: the relay, a TURN server, or a bare loop.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use testkit::messages::message;
use testkit::process::Process;
use testkit::raw_client::RawClient;
use testkit::relay_client::{self, sdp};
use testkit::turn_client::{Datagrams, TurnClient};

use crate::Pace;
use crate::figures::micros;
use crate::scenario::exchange::Timetable;

/// Time before a measurement starts.
const WARM_UP: Duration = Duration::from_millis(500);
const TIME: Duration = Duration::from_secs(2);
/// Wait for datagrams that may be lost.
const STALL: Duration = Duration::from_millis(100);
const EVENTS: usize = 4096;
/// Room for one datagram.
const DATAGRAM: usize = 2048;
/// A broker takes 512 calls of a client, and fewer that have not begun.
const CALLS_OF_A_CLIENT: usize = 100;
/// coturn reads the time as an int.
const USERNAME: &str = "2000000000:peerjs";

/// The channel that `TurnClient` binds.
const CHANNEL: u16 = 0x4001;
/// The first byte of SRTP (RFC 7983).
const SRTP: u8 = 0x80;

/// The way that calls go.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// Through the relay of a broker, which both clients know from their descriptions.
    Relay { broker: SocketAddr },
    /// Through a TURN server that one of the clients uses, or both.
    Turn { server: SocketAddr, both: bool },
    /// Through `forwarder`.
    Forwarder { at: SocketAddr },
}

/// The two sides of many calls.
pub struct Calls {
    poll: Poll,
    events: Events,
    sides: Vec<Side>,
    received: u64,
    /// Index of the next side to send at a fixed rate.
    next: usize,
    /// Sends datagrams of a burst as one (UDP GSO), as network cards hand them to a server that takes them joined.
    offload: UdpSocketState,
}

/// One side of a call.
struct Side {
    socket: mio::net::UdpSocket,
    /// The destination of its datagrams.
    to: SocketAddr,
    /// True if they are in a channel of TURN.
    in_channel: bool,
}

impl Way {
    /// The sides of calls that have begun, two of each. `numbers` are those of the calls.
    fn begin(self, numbers: Range<usize>) -> Result<Vec<Side>> {
        let mut sides = Vec::with_capacity(numbers.len() * 2);
        match self {
            Way::Relay { broker } => {
                for first in numbers.clone().step_by(CALLS_OF_A_CLIENT) {
                    let end = numbers.end.min(first + CALLS_OF_A_CLIENT);
                    sides.extend(relayed(broker, first..end)?);
                }
            }
            Way::Turn { server, both } => {
                for number in numbers {
                    let (one, mut client) = allocated(number, server)?;
                    let (other, peer) = if both {
                        let (other, mut peer) = allocated(number, server)?;
                        ensure!(peer.bind(client.relayed), "no channel");
                        (Side::new(other, server, true)?, peer.relayed)
                    } else {
                        let other = UdpSocket::bind(source(number))?;
                        let address = other.local_addr()?;
                        (Side::new(other, client.relayed, false)?, address)
                    };
                    ensure!(client.bind(peer), "no channel");
                    sides.extend([Side::new(one, server, true)?, other]);
                }
            }
            Way::Forwarder { at } => {
                for number in numbers.flat_map(|number| [number; 2]) {
                    let side = Side::new(UdpSocket::bind(source(number))?, at, false)?;
                    side.socket.send(number.to_string().as_bytes())?;
                    sides.push(side);
                }
            }
        }
        Ok(sides)
    }
}

/// Gives each call its own address, because servers limit the requests of one address.
fn source(number: usize) -> (Ipv4Addr, u16) {
    (Ipv4Addr::new(127, 1, (number / 250) as u8, (number % 250 + 1) as u8), 0)
}

/// Two clients describe calls to each other, and both sides of each check its path.
fn relayed(broker: SocketAddr, numbers: Range<usize>) -> Result<Vec<Side>> {
    let [mut caller, mut callee] = ["caller", "callee"].map(|side| {
        let id = format!("{side}{}", numbers.start);
        let mut client = RawClient::connect(broker, &id);
        client.send_raw(RawClient::handshake(&format!("/peerjs?key=peerjs&id={id}&token=t")));
        client.expect_accepted();
        client.expect_open();
        client
    });
    // The names are needed for as long as this program runs.
    let name = |side: &str, number: usize| -> &'static str { format!("{side}{number:06}").leak() };
    let payload = |kind: &str, at: usize| {
        let sdp = sdp(name(&kind[..1], at), &["a=mid:0"]);
        format!(r#"{{"sdp":{{"type":"{kind}","sdp":"{sdp}"}},"type":"data","connectionId":"dc_{at}"}}"#)
    };
    let payloads = |kind: &str| numbers.clone().map(|at| payload(kind, at)).collect();
    let relay = describe(&mut caller, &mut callee, "OFFER", payloads("offer"));
    describe(&mut callee, &mut caller, "ANSWER", payloads("answer"));
    let mut sides = Vec::new();
    for (number, [own, other]) in numbers.flat_map(|at| [(at, ["o", "a"]), (at, ["a", "o"])]) {
        let mut side = relay_client::Side::new(relay, name(own, number), name(other, number));
        let socket = UdpSocket::bind(source(number))?;
        socket.connect(relay)?;
        socket.set_read_timeout(side.socket.read_timeout()?)?;
        side.socket = socket;
        side.check();
        sides.push(side);
    }
    sides.iter().for_each(relay_client::Side::prove);
    sides.chunks(2).for_each(|call| call[0].talk_to(&call[1]));
    sides.into_iter().map(|side| Side::new(side.socket, relay, false)).collect()
}

/// Sends descriptions of calls. Returns the relay in them, as the other client gets them.
fn describe(from: &mut RawClient, to: &mut RawClient, kind: &str, payloads: Vec<String>) -> SocketAddr {
    payloads.iter().for_each(|payload| from.send(message(kind, &to.name, payload)));
    let relays: Vec<_> = payloads.iter().map(|_| relay_client::relay_in(&to.expect_text())).collect();
    relays[0]
}

/// A socket that is a client's with an allocation.
fn allocated(number: usize, server: SocketAddr) -> Result<(UdpSocket, TurnClient)> {
    let socket = UdpSocket::bind(source(number))?;
    socket.connect(server)?;
    let client = TurnClient::allocate_as(USERNAME, Box::new(Datagrams::over(socket.try_clone()?)));
    Ok((socket, client.map_err(|code| anyhow!("no allocation: {code}"))?))
}

impl Calls {
    /// Begins calls through a server. Each has its own number.
    pub fn begin(way: Way, numbers: Range<usize>) -> Result<Self> {
        let (poll, mut sides) = (Poll::new()?, way.begin(numbers)?);
        for (at, side) in sides.iter_mut().enumerate() {
            poll.registry().register(&mut side.socket, Token(at), Interest::READABLE)?;
        }
        // Of another socket, because it has the kernel join what its own receives: browsers read one by one.
        let offload = UdpSocketState::new(UdpSockRef::from(&UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?))?;
        let events = Events::with_capacity(EVENTS);
        let mut calls = Calls { poll, events, sides, received: 0, next: 0, offload };
        // Datagrams that came while they began are no answers.
        calls.drain()?;
        Ok(calls)
    }

    /// Sends datagrams of `size` bytes in both directions of all calls. At a fixed rate, a side sends `burst` of
    /// them in a row. Returns the CPU time of the server for each that arrived, in microseconds.
    pub fn cpu_us(&mut self, server: Process, pace: Pace, burst: usize, size: usize) -> Result<f64> {
        let payload = vec![SRTP; size];
        self.run(pace, burst, &payload, WARM_UP)?;
        let (cpu, before) = (server.cpu()?, self.received);
        self.run(pace, burst, &payload, TIME)?;
        let (cpu, received) = (server.cpu()?.saturating_sub(cpu), self.received - before);
        ensure!(received > 0, "no datagram arrived");
        Ok(micros(cpu) / received as f64)
    }

    fn run(&mut self, pace: Pace, burst: usize, payload: &[u8], time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        match pace {
            Pace::InFlight(count) => {
                let mut heard = Instant::now();
                self.start_off(count, payload);
                while Instant::now() < end {
                    if self.turn(Duration::from_millis(10), Some(payload))? > 0 {
                        heard = Instant::now();
                    } else if heard.elapsed() > STALL {
                        // All of them were lost.
                        self.start_off(count, payload);
                    }
                }
            }
            Pace::PerSecond(rate) => {
                let mut timetable = Timetable::new(rate / burst as f64);
                while Instant::now() < end {
                    // A machine that is too slow for the rate never catches up.
                    while timetable.next_due().is_some() && Instant::now() < end {
                        self.sides[self.next].send(&self.offload, payload, burst);
                        self.next = (self.next + 1) % self.sides.len();
                    }
                    self.turn(Duration::ZERO, None)?;
                }
            }
        }
        self.drain()
    }

    /// Receives what is in flight, so that it is not in flight beside the next datagrams.
    fn drain(&mut self) -> Result<()> {
        while self.turn(Duration::from_millis(50), None)? > 0 {}
        Ok(())
    }

    fn start_off(&self, count: usize, payload: &[u8]) {
        for side in self.sides.iter().step_by(2) {
            (0..count).for_each(|_| side.send(&self.offload, payload, 1));
        }
    }

    /// Reads received datagrams, and answers each if there is an answer.
    fn turn(&mut self, timeout: Duration, answer: Option<&[u8]>) -> Result<u64> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            polled => polled?,
        }
        let (mut buffer, before) = ([0; DATAGRAM], self.received);
        for event in &self.events {
            let side = &self.sides[event.token().0];
            while side.socket.recv(&mut buffer).is_ok() {
                self.received += 1;
                if let Some(answer) = answer {
                    side.send(&self.offload, answer, 1);
                }
            }
        }
        Ok(self.received - before)
    }
}

impl Side {
    fn new(socket: UdpSocket, to: SocketAddr, in_channel: bool) -> Result<Self> {
        socket.connect(to)?;
        socket.set_nonblocking(true)?;
        Ok(Side { socket: mio::net::UdpSocket::from_std(socket), to, in_channel })
    }

    /// Sends datagrams in a row. A full buffer loses them, as a network would.
    fn send(&self, offload: &UdpSocketState, payload: &[u8], count: usize) {
        let header = [CHANNEL.to_be_bytes(), (payload.len() as u16).to_be_bytes()].concat();
        let datagram = if self.in_channel { &*[&header, payload].concat() } else { payload };
        if count == 1 {
            let _ = self.socket.send(datagram);
            return;
        }
        let transmit = Transmit {
            destination: self.to,
            ecn: None,
            contents: &datagram.repeat(count),
            segment_size: Some(datagram.len()),
            src_ip: None,
        };
        let _ = offload.try_send(UdpSockRef::from(&self.socket), &transmit);
    }
}
