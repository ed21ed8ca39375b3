//! Calls through a program that relays datagrams: the relay, a TURN server, or a bare loop.

mod signaling;
mod stun;
mod ways;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{Transmit, UdpSockRef, UdpSocketState};

use crate::measured::{Pace, Packets};
use crate::process::Process;
use crate::scenario::exchange::Timetable;
pub use ways::Way;

/// Time before a measurement starts.
const WARM_UP: Duration = Duration::from_millis(500);
/// Time limit for the start of all calls together.
const PATIENCE: Duration = Duration::from_secs(60);
/// Wait for datagrams that may be lost.
const STALL: Duration = Duration::from_millis(100);
const EVENTS: usize = 4096;
/// Room for one datagram.
const DATAGRAM: usize = 2048;

/// The first byte of SRTP (RFC 7983).
const SRTP: u8 = 0x80;

/// The two sides of many calls.
pub struct Calls {
    poll: Poll,
    events: Events,
    sides: Vec<Side>,
    /// Index of the next side to send at a fixed rate.
    next: usize,
    /// Sends datagrams of a burst as one (UDP GSO), as network cards hand them to a server that takes them joined.
    offload: UdpSocketState,
}

/// One side of a call.
struct Side {
    socket: UdpSocket,
    /// The destination of its datagrams.
    to: SocketAddr,
    /// Put in front of each datagram that it sends.
    header: Vec<u8>,
    sent: u64,
    received: u64,
}

impl Calls {
    /// Begins calls through a server. Each has its own number.
    pub fn begin(way: &Way, numbers: Range<usize>) -> Result<Self> {
        let (poll, mut sides) = (Poll::new()?, way.begin(numbers, PATIENCE)?);
        for (at, side) in sides.iter_mut().enumerate() {
            poll.registry().register(&mut side.socket, Token(at), Interest::READABLE)?;
        }
        // Of another socket, because it has the kernel join what its own receives: browsers read one by one.
        let offload =
            UdpSocketState::new(UdpSockRef::from(&std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?))?;
        Ok(Calls { poll, events: Events::with_capacity(EVENTS), sides, next: 0, offload })
    }

    /// Sends datagrams of `size` bytes in both directions of all calls for a given time. At a fixed rate, a side sends `burst` of
    /// them in a row.
    pub fn exchange(
        &mut self,
        server: Process,
        pace: Pace,
        burst: usize,
        size: usize,
        time: Duration,
    ) -> Result<Packets> {
        let payload = vec![SRTP; size];
        self.run(pace, burst, &payload, WARM_UP)?;
        let (sent, received) = self.counts();
        let (cpu, start) = (server.cpu()?, Instant::now());
        self.run(pace, burst, &payload, time)?;
        let (cpu, seconds) = (server.cpu()?.saturating_sub(cpu), start.elapsed().as_secs_f64());
        let now = self.counts();
        let (sent, received) = (now.0 - sent, now.1 - received);
        ensure!(received > 0, "no datagram arrived");
        Ok(Packets {
            pace,
            burst,
            size,
            packets: received,
            per_second: received as f64 / seconds,
            cpu_us: cpu.as_secs_f64() * 1e6 / received as f64,
            busy: cpu.as_secs_f64() / seconds,
            // Some are on their way at both ends.
            lost: 1.0 - (received as f64 / sent as f64).min(1.0),
        })
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
                        let at = self.next;
                        self.next = (at + 1) % self.sides.len();
                        self.sides[at].send_in_a_row(&self.offload, payload, burst);
                    }
                    self.turn(Duration::ZERO, None)?;
                }
            }
        }
        Ok(())
    }

    fn start_off(&mut self, count: usize, payload: &[u8]) {
        for side in self.sides.iter_mut().step_by(2) {
            (0..count).for_each(|_| side.send(payload));
        }
    }

    /// Reads received datagrams, and answers each if there is an answer.
    fn turn(&mut self, timeout: Duration, answer: Option<&[u8]>) -> Result<u64> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
            polled => polled?,
        }
        let (mut buffer, mut arrived) = ([0; DATAGRAM], 0);
        for event in &self.events {
            let Some(side) = self.sides.get_mut(event.token().0) else { continue };
            while side.socket.recv(&mut buffer).is_ok() {
                side.received += 1;
                arrived += 1;
                if let Some(answer) = answer {
                    side.send(answer);
                }
            }
        }
        Ok(arrived)
    }

    fn counts(&self) -> (u64, u64) {
        let sum = |count: fn(&Side) -> u64| self.sides.iter().map(count).sum();
        (sum(|side| side.sent), sum(|side| side.received))
    }
}

impl Side {
    fn bind(address: SocketAddr, to: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(address).with_context(|| format!("cannot bind {address}"))?;
        Ok(Side { socket, to, header: Vec::new(), sent: 0, received: 0 })
    }

    fn send(&mut self, payload: &[u8]) {
        let sent = if self.header.is_empty() {
            self.socket.send_to(payload, self.to)
        } else {
            self.socket.send_to(&[&self.header, payload].concat(), self.to)
        };
        // A full buffer loses it, as a network would.
        self.sent += u64::from(sent.is_ok());
    }

    fn send_in_a_row(&mut self, offload: &UdpSocketState, payload: &[u8], count: usize) {
        if count == 1 {
            return self.send(payload);
        }
        let datagram = [&self.header, payload].concat();
        let transmit = Transmit {
            destination: self.to,
            ecn: None,
            contents: &datagram.repeat(count),
            segment_size: Some(datagram.len()),
            src_ip: None,
        };
        let sent = offload.try_send(UdpSockRef::from(&self.socket), &transmit);
        self.sent += if sent.is_ok() { count as u64 } else { 0 };
    }

    fn address(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }
}
