//! The ports of a relay, and the threads that read them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use tokio::runtime::Builder;
use tokio::sync::watch;

use super::calls::Calls;
use super::port::{Joined, Port, bind_threads};
use super::stun::Stun;
use super::turn_port::TurnPort;

/// The ports of one thread.
struct Ports(Vec<Arc<Port>>);

/// All ports, bound and not yet read.
pub(super) struct Sockets(Vec<Ports>);

impl Sockets {
    /// Binds each address once for each thread.
    pub(super) fn bind(addresses: &[SocketAddr]) -> Result<Self, (SocketAddr, io::Error)> {
        let threads = bind_threads(addresses)?.into_iter();
        Ok(Sockets(threads.map(|ports| Ports(ports.into_iter().map(Arc::new).collect())).collect()))
    }

    pub(super) fn threads(&self) -> usize {
        self.0.len()
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + Clone {
        self.0.first().into_iter().flat_map(|ports| &ports.0).map(|port| port.bound())
    }

    /// Starts the threads. They end when `open` closes.
    pub(super) fn start(
        self,
        calls: &Arc<Calls>,
        turn: Option<&Arc<dyn TurnPort>>,
        open: &watch::Receiver<()>,
    ) -> io::Result<()> {
        for (number, ports) in self.0.into_iter().enumerate() {
            let ports = Arc::new(ports);
            for at in 0..ports.0.len() {
                let (ports, calls, open) = (Arc::clone(&ports), Arc::clone(calls), open.clone());
                let turn = turn.cloned();
                let runtime = Builder::new_current_thread().enable_all().build()?;
                let work = move || {
                    let reader =
                        Reader { ports: &ports, at, calls: &calls, turn: turn.as_deref(), thread: number };
                    if let Err(error) = runtime.block_on(reader.run(open)) {
                        log::error!("the relay has stopped: {error}");
                    }
                };
                thread::Builder::new().name(format!("relay-{number}")).spawn(work)?;
            }
        }
        Ok(())
    }
}

/// What reads one port.
struct Reader<'a> {
    ports: &'a Ports,
    at: usize,
    calls: &'a Calls,
    turn: Option<&'a dyn TurnPort>,
    thread: usize,
}

impl Reader<'_> {
    async fn run(&self, mut open: watch::Receiver<()>) -> io::Result<()> {
        let Some(port) = self.ports.0.get(self.at) else { return Ok(()) };
        let mut reader = port.reader()?;
        loop {
            tokio::select! {
                biased;
                // An error means that the relay is gone.
                _ = open.changed() => return Ok(()),
                () = self.calls.until_head_start_ends(), if self.is_first() => {
                    self.calls.end_head_starts(self.thread, |to, bytes| self.send(to, bytes, bytes.len()));
                    continue;
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

    fn handle(&self, port: &Arc<Port>, Joined { from, bytes, size }: Joined<'_>) {
        let is_turn = |datagram: &[u8]| self.turn.is_some_and(|turn| turn.receive(port, from, datagram));
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

    fn forward(&self, from: SocketAddr, bytes: &[u8], size: usize) {
        let packets = bytes.len().div_ceil(size) as u64;
        if let Some(to) = self.calls.forward(self.thread, from, packets, bytes.len()) {
            self.send(to, bytes, size);
        }
    }

    /// Sends from the port of the recipient's family.
    fn send(&self, to: SocketAddr, bytes: &[u8], size: usize) {
        let port = self.ports.0.iter().find(|port| port.bound().is_ipv4() == to.is_ipv4());
        if !port.is_some_and(|port| port.send(to, bytes, size)) {
            self.calls.count_full(self.thread);
        }
    }
}

/// Whether the first byte is that of TURN's ChannelData. Neither DTLS nor RTP begins with it (RFC 7983, section 7).
fn is_channel_data(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| (64..128).contains(first))
}
