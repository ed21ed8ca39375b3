//! Calls through a program that relays datagrams: the relay, a TURN server, or a bare loop.

use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Socket, Type};
use testkit::http_client::TIMEOUT;
use testkit::messages::message;
use testkit::process::Process;
use testkit::raw_client::RawClient;
use testkit::relay_client::{self, sdp};
use testkit::turn_client::{Datagrams, Line, Stream, TurnClient};

use crate::Pace;
use crate::figures::micros;
use crate::scenario::exchange::Timetable;

/// Time before a measurement starts.
const WARM_UP: Duration = Duration::from_millis(500);
const TIME: Duration = Duration::from_secs(2);
/// Wait for datagrams that may be lost.
const STALL: Duration = Duration::from_millis(100);
const EVENTS: usize = 4096;
/// Room for one datagram, or for what has arrived over TCP.
const BUFFER: usize = 1 << 16;
/// The bounds of the search for a loss in datagrams a second, its precision, and the time of each rate.
const SEARCH: (f64, f64, f64, Duration) = (5_000.0, 1_000_000.0, 1.05, Duration::from_secs(1));
/// A broker takes 512 calls of a client, and fewer that have not begun.
const CALLS_OF_A_CLIENT: usize = 100;
/// coturn reads the time as an int.
const USERNAME: &str = "2000000000:peerjs";

/// The channel that `TurnClient` binds.
const CHANNEL: u16 = 0x4001;
/// Bytes in front of data in it.
pub const CHANNEL_HEADER: usize = 4;
/// The first byte of SRTP (RFC 7983).
const SRTP: u8 = 0x80;

/// The way that calls go.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// Through the relay of a broker, which both clients know from their descriptions.
    Relay { broker: SocketAddr },
    /// Through a TURN server that one of the clients uses, or both, over UDP (`DGRAM`) or TCP (`STREAM`).
    Turn { server: SocketAddr, both: bool, over: Type },
    /// Through `forwarder`.
    Forwarder { at: SocketAddr },
}

/// The two sides of many calls.
pub struct Calls {
    poll: Poll,
    events: Events,
    sides: Vec<Side>,
    /// Datagrams at fixed rates.
    sent: u64,
    received: u64,
    buffer: Vec<u8>,
    /// Index of the next side to send at a fixed rate.
    next: usize,
    /// Sends datagrams of a burst as one (UDP GSO), as network cards hand them to a server that takes them
    /// joined.
    offload: UdpSocketState,
}

/// One side of a call.
pub struct Side {
    pub socket: Socket,
    over: Type,
    /// The destination of its datagrams.
    to: SocketAddr,
    /// True if they are in a channel of TURN.
    in_channel: bool,
    /// Over TCP, the bytes of a datagram whose end has not arrived.
    partial: usize,
}

impl Way {
    /// The sides of calls that have begun, two of each. `numbers` are those of the calls.
    pub fn begin(self, numbers: Range<usize>) -> Result<Vec<Side>> {
        let mut sides = Vec::with_capacity(numbers.len() * 2);
        match self {
            Way::Relay { broker } => {
                for first in numbers.clone().step_by(CALLS_OF_A_CLIENT) {
                    let end = numbers.end.min(first + CALLS_OF_A_CLIENT);
                    sides.extend(relayed(broker, first..end)?);
                }
            }
            Way::Turn { server, both, over } => {
                for number in numbers {
                    let (one, mut client) = allocated(number, server, over)?;
                    let (other, peer) = if both {
                        let (other, mut peer) = allocated(number, server, over)?;
                        ensure!(peer.bind(client.relayed), "no channel");
                        (Side::new(other, server, true)?, peer.relayed)
                    } else {
                        let other = UdpSocket::bind(source(number))?;
                        let address = other.local_addr()?;
                        (Side::new(other.into(), client.relayed, false)?, address)
                    };
                    ensure!(client.bind(peer), "no channel");
                    sides.extend([Side::new(one, server, true)?, other]);
                }
            }
            Way::Forwarder { at } => {
                for number in numbers.flat_map(|number| [number; 2]) {
                    let side = Side::new(UdpSocket::bind(source(number))?.into(), at, false)?;
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
    sides.into_iter().map(|side| Side::new(side.socket.into(), relay, false)).collect()
}

/// Sends descriptions of calls. Returns the relay in them, as the other client gets them.
fn describe(from: &mut RawClient, to: &mut RawClient, kind: &str, payloads: Vec<String>) -> SocketAddr {
    payloads.iter().for_each(|payload| from.send(message(kind, &to.name, payload)));
    let relays: Vec<_> = payloads.iter().map(|_| relay_client::relay_in(&to.expect_text())).collect();
    relays[0]
}

/// A socket that is a client's with an allocation.
fn allocated(number: usize, server: SocketAddr, over: Type) -> Result<(Socket, TurnClient)> {
    let socket = Socket::new(Domain::IPV4, over, None)?;
    socket.bind(&SocketAddr::from(source(number)).into())?;
    socket.connect(&server.into())?;
    let line: Box<dyn Line> = if over == Type::STREAM {
        socket.set_tcp_nodelay(true)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        Box::new(Stream { stream: TcpStream::from(socket.try_clone()?), piece: usize::MAX })
    } else {
        Box::new(Datagrams::over(socket.try_clone()?.into()))
    };
    let client = TurnClient::allocate_as(USERNAME, line);
    Ok((socket, client.map_err(|code| anyhow!("no allocation: {code}"))?))
}

/// Data as clients of TURN send it.
pub fn in_channel(payload: &[u8]) -> Vec<u8> {
    [&CHANNEL.to_be_bytes()[..], &(payload.len() as u16).to_be_bytes(), payload].concat()
}

impl Calls {
    /// Begins calls through a server. Each has its own number.
    pub fn begin(way: Way, numbers: Range<usize>) -> Result<Self> {
        let poll = Poll::new()?;
        let sides = way.begin(numbers)?;
        for (at, side) in sides.iter().enumerate() {
            let mut source = SourceFd(&side.socket.as_raw_fd());
            poll.registry().register(&mut source, Token(at), Interest::READABLE)?;
        }
        // Of another socket, because it has the kernel join what its own receives: browsers read one by one.
        let offload = UdpSocketState::new(UdpSockRef::from(&UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?))?;
        let events = Events::with_capacity(EVENTS);
        let buffer = vec![0; BUFFER];
        let sent = 0;
        let received = 0;
        let next = 0;
        let mut calls = Calls { poll, events, sides, sent, received, buffer, next, offload };
        // Datagrams that came while they began are no answers.
        calls.drain(&[])?;
        Ok(calls)
    }

    /// Sends datagrams of `size` bytes in both directions of all calls. At a fixed rate, a side sends `burst`
    /// of them in a row. Returns the CPU time of the server for each that arrived, in microseconds.
    pub fn cpu_us(&mut self, server: Process, pace: Pace, burst: usize, size: usize) -> Result<f64> {
        let payload = vec![SRTP; size];
        self.run(pace, burst, &payload, WARM_UP)?;
        let cpu = server.cpu()?;
        let before = self.received;
        self.run(pace, burst, &payload, TIME)?;
        let cpu = server.cpu()?.saturating_sub(cpu);
        let received = self.received - before;
        ensure!(received > 0, "no datagram arrived");
        Ok(micros(cpu) / received as f64)
    }

    /// The highest steady rate of datagrams of `size` bytes, in datagrams a second, at which none is lost. A
    /// rate has one more try, because a machine that others share pauses at times. A load generator that is
    /// too slow for a rate ends the search, too.
    pub fn lossless_rate(&mut self, size: usize) -> Result<f64> {
        let (mut whole, mut lossy, precision, time) = SEARCH;
        while lossy / whole > precision {
            let rate = (whole * lossy).sqrt();
            if self.is_lossless(rate, size, time)? || self.is_lossless(rate, size, time)? {
                whole = rate;
            } else {
                lossy = rate;
            }
        }
        Ok(whole)
    }

    fn is_lossless(&mut self, rate: f64, size: usize, time: Duration) -> Result<bool> {
        let before = (self.sent, self.received);
        self.run(Pace::PerSecond(rate), 1, &vec![SRTP; size], time)?;
        let sent = self.sent - before.0;
        let received = self.received - before.1;
        Ok(received >= sent && sent as f64 > rate * time.as_secs_f64() * 0.99)
    }

    fn run(&mut self, pace: Pace, burst: usize, payload: &[u8], time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        match pace {
            Pace::InFlight(count) => {
                let mut heard = Instant::now();
                self.start_off(count, payload);
                while Instant::now() < end {
                    if self.turn(Duration::from_millis(10), payload, true)? > 0 {
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
                        self.sent += burst as u64;
                        self.next = (self.next + 1) % self.sides.len();
                    }
                    self.turn(Duration::ZERO, payload, false)?;
                }
            }
        }
        self.drain(payload)
    }

    /// Receives what is in flight, so that it is not in flight beside the next datagrams.
    fn drain(&mut self, payload: &[u8]) -> Result<()> {
        while self.turn(Duration::from_millis(50), payload, false)? > 0 {}
        Ok(())
    }

    fn start_off(&self, count: usize, payload: &[u8]) {
        for side in self.sides.iter().step_by(2) {
            (0..count).for_each(|_| side.send(&self.offload, payload, 1));
        }
    }

    /// Reads received datagrams, and may answer each.
    fn turn(&mut self, timeout: Duration, payload: &[u8], answers: bool) -> Result<u64> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            polled => polled?,
        }
        let before = self.received;
        for event in &self.events {
            let side = &mut self.sides[event.token().0];
            while let Some(count) = side.receive(&mut self.buffer, payload.len()) {
                self.received += count;
                (0..count).filter(|_| answers).for_each(|_| side.send(&self.offload, payload, 1));
            }
        }
        Ok(self.received - before)
    }
}

impl Side {
    fn new(socket: Socket, to: SocketAddr, in_channel: bool) -> Result<Self> {
        let over = socket.r#type()?;
        if over == Type::DGRAM {
            socket.connect(&to.into())?;
        }
        socket.set_nonblocking(true)?;
        Ok(Side { socket, over, to, in_channel, partial: 0 })
    }

    /// The number of datagrams of one read; `None` if there is nothing to read.
    fn receive(&mut self, buffer: &mut [u8], size: usize) -> Option<u64> {
        let read = self.socket.read(buffer).ok()?;
        if self.over == Type::DGRAM {
            return Some(1);
        }
        // ChannelData needs no padding over TCP, because all sizes are multiples of four.
        let bytes = self.partial + read;
        let datagram = size + CHANNEL_HEADER;
        self.partial = bytes % datagram;
        (read > 0).then_some((bytes / datagram) as u64)
    }

    /// Sends datagrams in a row. A full buffer loses them, as a network would.
    fn send(&self, offload: &UdpSocketState, payload: &[u8], count: usize) {
        let datagram = if self.in_channel { &*in_channel(payload) } else { payload };
        if count == 1 {
            let sent = self.socket.send(datagram).ok();
            assert!(self.over == Type::DGRAM || sent == Some(datagram.len()), "a stream has a full buffer");
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
