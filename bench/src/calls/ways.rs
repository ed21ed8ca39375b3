//! Starts calls through each server.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::signaling::Signaling;
use super::stun::{self, Credentials, Incoming, Login};
use super::{DATAGRAM, Side};

/// Calls that begin together.
const TOGETHER: usize = 500;
/// Interval at which a client repeats a request.
const AGAIN: Duration = Duration::from_millis(200);

/// The way that calls go.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// Through the relay of a broker, which both clients know from their descriptions.
    Relay { broker: SocketAddr, relay: SocketAddr },
    /// Through a TURN server that one of the clients uses, or both. Datagrams have this size. A broker gives the credentials.
    Turn { server: SocketAddr, size: usize, both: bool, broker: Option<SocketAddr> },
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
    /// The sides of calls that have begun, two of each. `all` are their numbers.
    pub(super) fn begin(&self, all: Range<usize>, within: Duration) -> Result<Vec<Side>> {
        let deadline = Instant::now() + within;
        let mut sides = Vec::with_capacity(all.len() * 2);
        let login = match self {
            Way::Turn { broker: Some(broker), .. } => credentials_of(*broker)?,
            _ => Login::default(),
        };
        for first in all.clone().step_by(TOGETHER) {
            let numbers = first..all.end.min(first + TOGETHER);
            match *self {
                Way::Relay { broker, relay } => {
                    // A broker takes 512 calls of a client.
                    let mut signaling = Signaling::open(broker, first)?;
                    let mut calls = Vec::new();
                    for number in numbers {
                        let call = Beginning::new(number, relay)?;
                        signaling.describe(number, &call.credentials[0], &call.credentials[1])?;
                        calls.push(call);
                    }
                    connect(&mut calls, deadline)?;
                    sides.extend(calls.into_iter().flat_map(|call| call.sides));
                }
                Way::Turn { server, size, both, .. } => {
                    let header = stun::channel_header(size)?;
                    for number in numbers {
                        let mut one = Allocated::open(number, server, &login, deadline)?;
                        let other = if both {
                            let mut other = Allocated::open(number, server, &login, deadline)?;
                            other.bind(one.relayed, &header, deadline)?;
                            one.bind(other.relayed, &header, deadline)?;
                            other.side
                        } else {
                            let other = Side::bind(source(number), one.relayed)?;
                            one.bind(other.address()?, &header, deadline)?;
                            other
                        };
                        sides.extend([one.side, other]);
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

/// Gives each call its own address, because servers limit the requests of one address.
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

/// Checks the path of each call until both sides have an answer.
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

/// A side with an allocation.
struct Allocated {
    side: Side,
    relayed: SocketAddr,
    login: Login,
}

impl Allocated {
    fn open(number: usize, server: SocketAddr, login: &Login, deadline: Instant) -> Result<Self> {
        let mut login = login.clone();
        let side = Side::bind(source(number), server)?;
        let relayed = ask(&side, &mut login, stun::allocate, deadline)?;
        Ok(Allocated { side, relayed: relayed.context("an allocation has no address")?, login })
    }

    /// Sends to a peer in a channel from now on.
    fn bind(&mut self, peer: SocketAddr, header: &[u8], deadline: Instant) -> Result<()> {
        ask(&self.side, &mut self.login, |login| stun::bind_channel(peer, login), deadline)?;
        self.side.header = header.to_vec();
        Ok(())
    }
}

fn ask(
    side: &Side,
    login: &mut Login,
    question: impl Fn(&Login) -> Result<Vec<u8>>,
    deadline: Instant,
) -> Result<Option<SocketAddr>> {
    let nobody = Credentials { ufrag: String::new(), pwd: String::new() };
    let mut buffer = [0; DATAGRAM];
    loop {
        side.socket.send_to(&question(login)?, side.to)?;
        let asked = Instant::now();
        while asked.elapsed() < AGAIN {
            let Ok((count, from)) = side.socket.recv_from(&mut buffer) else { continue };
            if let Incoming::Success(relayed) = stun::read(&buffer[..count], &nobody, from)? {
                return Ok(relayed);
            }
            if login.challenged(&buffer[..count]) {
                break;
            }
        }
        ensure!(Instant::now() < deadline, "the TURN server does not answer");
    }
}

/// The TURN server of a broker, as its clients are told.
fn credentials_of(broker: SocketAddr) -> Result<Login> {
    let mut stream = TcpStream::connect(broker).context("cannot connect to the broker")?;
    write!(stream, "GET /peerjs/ice HTTP/1.1\r\nHost: {broker}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("an answer without an end")?;
    let told: Value = serde_json::from_str(body)?;
    let entries = told["iceServers"].as_array().context("the broker tells no servers")?;
    let login = entries.iter().find_map(|entry| {
        let text = |name: &str| Some(entry.get(name)?.as_str()?.to_owned());
        Some(Login::new(text("username")?, text("credential")?))
    });
    login.context("the broker has no TURN server")
}
