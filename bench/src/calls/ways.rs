//! How calls begin through each server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::signaling::Signaling;
use super::stun::{self, Credentials, Incoming};
use super::{DATAGRAM, Side};

/// Calls that begin together.
const TOGETHER: usize = 500;
/// How often a client asks again.
const AGAIN: Duration = Duration::from_millis(200);

/// The way that calls go.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// Through the relay of a broker, which both clients know from their descriptions.
    Relay { broker: SocketAddr, relay: SocketAddr },
    /// Through a TURN server that one of the clients uses. Datagrams have this size.
    Turn { server: SocketAddr, size: usize },
    /// Through `forwarder`.
    Forwarder { at: SocketAddr },
}

/// Both sides of a call that begins.
struct Beginning {
    sides: [Side; 2],
    credentials: [Credentials; 2],
    connected: [bool; 2],
}

impl Way {
    /// The sides of calls that have begun, two of each.
    pub(super) fn begin(&self, count: usize, within: Duration) -> Result<Vec<Side>> {
        let deadline = Instant::now() + within;
        let mut sides = Vec::with_capacity(count * 2);
        let mut signaling = match self {
            Way::Relay { broker, .. } => Some(Signaling::open(*broker)?),
            _ => None,
        };
        for first in (0..count).step_by(TOGETHER) {
            let numbers = first..count.min(first + TOGETHER);
            match *self {
                Way::Relay { relay, .. } => {
                    let mut calls = Vec::new();
                    for number in numbers {
                        let call = Beginning::new(number, relay)?;
                        if let Some(signaling) = &mut signaling {
                            signaling.describe(number, &call.credentials[0], &call.credentials[1])?;
                        }
                        calls.push(call);
                    }
                    connect(&mut calls, deadline)?;
                    sides.extend(calls.into_iter().flat_map(|call| call.sides));
                }
                Way::Turn { server, size } => {
                    for number in numbers {
                        sides.extend(allocate(number, server, size, deadline)?);
                    }
                }
                Way::Forwarder { at } => {
                    for number in numbers {
                        let both = [Side::bind(source(number), at)?, Side::bind(source(number), at)?];
                        for side in &both {
                            side.socket.send_to(number.to_string().as_bytes(), at)?;
                        }
                        sides.extend(both);
                    }
                }
            }
        }
        Ok(sides)
    }
}

/// An address of its own for each call, because servers limit what one address may ask.
fn source(number: usize) -> SocketAddr {
    let [high, low] = [number / 250, number % 250 + 1];
    (Ipv4Addr::new(127, 1, high as u8, low as u8), 0).into()
}

impl Beginning {
    fn new(number: usize, relay: SocketAddr) -> Result<Self> {
        let credentials = |side: &str| Credentials {
            ufrag: format!("{side}{number:06}"),
            pwd: format!("0123456789abcdef{side}{number:06}"),
        };
        Ok(Beginning {
            sides: [Side::bind(source(number), relay)?, Side::bind(source(number), relay)?],
            credentials: [credentials("o"), credentials("a")],
            connected: [false; 2],
        })
    }

    fn check(&self) -> Result<()> {
        for at in [0, 1] {
            let check = stun::check(&self.credentials[at], &self.credentials[1 - at], at == 0)?;
            self.sides[at].socket.send_to(&check, self.sides[at].to)?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; DATAGRAM];
        for at in [0, 1] {
            while let Ok((count, from)) = self.sides[at].socket.recv_from(&mut buffer) {
                match stun::read(&buffer[..count], &self.credentials[at], from)? {
                    Incoming::Check(answer) => drop(self.sides[at].socket.send_to(&answer, from)?),
                    Incoming::Success(_) => self.connected[at] = true,
                    Incoming::Other => {}
                }
            }
        }
        Ok(())
    }
}

/// Checks the way of each call until both sides have an answer.
fn connect(calls: &mut [Beginning], deadline: Instant) -> Result<()> {
    let mut asked: Option<Instant> = None;
    while calls.iter().any(|call| call.connected != [true; 2]) {
        if asked.is_none_or(|asked| asked.elapsed() > AGAIN) {
            asked = Some(Instant::now());
            let mut waiting = calls.iter().filter(|call| call.connected != [true; 2]);
            waiting.try_for_each(Beginning::check)?;
        }
        calls.iter_mut().try_for_each(Beginning::read)?;
        std::thread::sleep(Duration::from_millis(5));
        let waiting = calls.iter().filter(|call| call.connected != [true; 2]).count();
        ensure!(Instant::now() < deadline, "{waiting} of {} calls did not begin in time", calls.len());
    }
    Ok(())
}

/// One side has an allocation, with a channel to the other.
fn allocate(number: usize, server: SocketAddr, size: usize, deadline: Instant) -> Result<[Side; 2]> {
    let mut ours = Side::bind(source(number), server)?;
    let relayed = ask(&ours, &stun::allocate()?, deadline)?;
    let Some(relayed) = relayed else { anyhow::bail!("an allocation has no address") };
    let theirs = Side::bind(source(number), relayed)?;
    ask(&ours, &stun::bind_channel(theirs.address()?)?, deadline)?;
    ours.header = stun::channel_header(size)?;
    Ok([ours, theirs])
}

fn ask(side: &Side, question: &[u8], deadline: Instant) -> Result<Option<SocketAddr>> {
    let nobody = Credentials { ufrag: String::new(), pwd: String::new() };
    let mut buffer = [0; DATAGRAM];
    loop {
        side.socket.send_to(question, side.to)?;
        let asked = Instant::now();
        while asked.elapsed() < AGAIN {
            if let Ok((count, from)) = side.socket.recv_from(&mut buffer)
                && let Incoming::Success(relayed) = stun::read(&buffer[..count], &nobody, from)?
            {
                return Ok(relayed);
            }
        }
        ensure!(Instant::now() < deadline, "the TURN server does not answer");
    }
}
