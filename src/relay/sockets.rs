//! Everything that a relay binds, and the threads that read it.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;

use tokio::runtime::Builder;
use tokio::sync::watch;

use super::calls::Calls;
use super::endpoint::Endpoint;
use super::outlet::{Outlet, Ports};
use super::port::{Joined, Port, bind_threads};
use super::streams::Streams;
use super::stun::Stun;
use super::tcp::{self, Server};
use super::turn_port::TurnPort;
use crate::threads::Threads;

/// All ports, bound and not yet read.
pub(super) struct Sockets {
    ports: Vec<Ports>,
    listeners: Vec<TcpListener>,
}

impl Sockets {
    /// Binds each address once for each thread, and for TCP if that is wanted.
    pub(super) fn bind(addresses: &[SocketAddr], tcp: bool) -> Result<Self, (SocketAddr, io::Error)> {
        let mut addresses = addresses.to_vec();
        let mut listeners = Vec::new();
        for address in addresses.iter_mut().filter(|_| tcp) {
            let listener = tcp::listen(*address).map_err(|error| (*address, error))?;
            // UDP takes the port that the system chose.
            *address = listener.local_addr().map_err(|error| (*address, error))?;
            listeners.push(listener);
        }
        let threads = bind_threads(&addresses)?.into_iter();
        let ports = threads.map(|ports| Ports(ports.into_iter().map(Arc::new).collect()));
        Ok(Sockets { ports: ports.collect(), listeners })
    }

    /// Threads that count: one for each of our ports, and one for all TCP.
    pub(super) fn threads(&self) -> usize {
        self.ports.len() + 1
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + Clone {
        self.ports.first().into_iter().flat_map(|ports| &ports.0).map(|port| port.bound())
    }

    /// Starts the threads. They end when `open` closes.
    pub(super) fn start(
        self,
        calls: &Arc<Calls>,
        turn: Option<&Arc<dyn TurnPort>>,
        streams: Streams,
        open: &watch::Receiver<()>,
        supervised: &Threads,
    ) -> io::Result<()> {
        let streams = Arc::new(streams);
        let threads = self.threads();
        let outlet = |ports| Outlet { ports, streams: Arc::clone(&streams) };
        let outlets: Vec<Outlet> = self.ports.into_iter().map(|ports| outlet(Arc::new(ports))).collect();
        for (number, outlet) in outlets.iter().enumerate() {
            for at in 0..outlet.ports.0.len() {
                let (outlet, calls, open) = (outlet.clone(), Arc::clone(calls), open.clone());
                let turn = turn.cloned();
                let runtime = Builder::new_current_thread().enable_all().build()?;
                let work = move || {
                    let reader =
                        Reader { outlet: &outlet, at, calls: &calls, turn: turn.as_deref(), thread: number };
                    if let Err(error) = runtime.block_on(reader.run(open.clone())) {
                        log::error!("the relay has stopped: {error}");
                    }
                };
                supervised.keep(&format!("relay-{number}"), work)?;
            }
        }
        let Some(outlet) = outlets.into_iter().next().filter(|_| !self.listeners.is_empty()) else {
            return Ok(());
        };
        let (calls, turn, listeners, open) = (Arc::clone(calls), turn.cloned(), self.listeners, open.clone());
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let work = move || {
            let server = Server { streams, outlet, calls, turn, thread: threads - 1 };
            runtime.block_on(server.run(listeners, open));
        };
        supervised.once("relay-tcp", work)?;
        Ok(())
    }
}

/// What reads one port.
struct Reader<'a> {
    outlet: &'a Outlet,
    at: usize,
    calls: &'a Calls,
    turn: Option<&'a dyn TurnPort>,
    thread: usize,
}

impl Reader<'_> {
    async fn run(&self, mut open: watch::Receiver<()>) -> io::Result<()> {
        let Some(port) = self.outlet.ports.0.get(self.at) else { return Ok(()) };
        let mut reader = port.reader()?;
        // One for many reads: a timer is not free.
        let mut due = pin!(self.calls.until_due());
        loop {
            tokio::select! {
                biased;
                // An error means that the relay is gone.
                _ = open.changed() => return Ok(()),
                () = &mut due, if self.is_first() => {
                    self.calls.on_time(self.thread, |to, bytes| self.send(to, bytes, bytes.len()));
                    due.set(self.calls.until_due());
                }
                readable = reader.readable() => readable?,
            }
            reader.read(|joined| self.handle(port, joined)).await;
        }
    }

    /// One reader has to look after the time.
    fn is_first(&self) -> bool {
        (self.thread, self.at) == (0, 0)
    }

    fn handle(&self, port: &Arc<Port>, Joined { from: address, bytes, size }: Joined<'_>) {
        let from = Endpoint::udp(address);
        let is_turn = |datagram: &[u8]| self.turn.is_some_and(|turn| turn.receive(port, address, datagram));
        let is_for_us =
            |datagram: &[u8]| Stun::is_stun(datagram) || self.turn.is_some() && is_channel_data(datagram);
        if !bytes.chunks(size).any(is_for_us) {
            return self.forward(from, bytes, size);
        }
        for datagram in bytes.chunks(size) {
            if is_turn(datagram) {
                continue;
            }
            if Stun::is_stun(datagram) {
                self.calls
                    .on_stun(self.thread, from, datagram, |to, bytes| self.send(to, bytes, bytes.len()));
            } else {
                self.forward(from, datagram, size);
            }
        }
    }

    fn forward(&self, from: Endpoint, bytes: &[u8], size: usize) {
        let packets = bytes.len().div_ceil(size) as u64;
        if let Some(to) = self.calls.forward(self.thread, from, packets, bytes.len()) {
            self.send(to, bytes, size);
        }
    }

    fn send(&self, to: Endpoint, bytes: &[u8], size: usize) {
        if !self.outlet.send(to, bytes, size) {
            self.calls.count_full(self.thread);
        }
    }
}

/// Whether the first byte is that of TURN's ChannelData. Neither DTLS nor RTP begins with it (RFC 7983, section 7).
fn is_channel_data(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| (64..128).contains(first))
}
