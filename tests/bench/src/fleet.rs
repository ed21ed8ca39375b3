//! Many clients in one thread.

mod peer;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use rustls::ClientConfig;

use crate::link::Link;
pub use peer::Peer;
use peer::Phase;

/// The servers to which the peers connect.
#[derive(Clone)]
pub struct Target {
    /// The server, or the nodes of a cluster. The two peers of each pair are on different nodes.
    pub addresses: Vec<SocketAddr>,
    pub tls: Option<Arc<ClientConfig>>,
}

/// Peers `p0`, `p1`, … of one server.
pub struct Fleet {
    target: Target,
    prefix: char,
    are_guests: bool,
    poll: Poll,
    events: Events,
    peers: Vec<Peer>,
    arrivals: Vec<Arrival>,
    /// A timer that ends waits.
    alarm: Option<OwnedFd>,
    scratch: Box<[u8]>,
    /// Peers that have got their OPEN, or guests that have connected.
    pub opened: usize,
    /// Peers whose connection the server has closed unexpectedly.
    pub lost: usize,
    /// Those of the last turn.
    pub just_lost: Vec<usize>,
    /// When peers have opened in the last turn.
    pub just_opened: Vec<Instant>,
}

/// Messages that one peer received at once.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub peer: usize,
    pub messages: usize,
    pub at: Instant,
}

/// Maximum concurrent handshakes.
const OPENING: usize = 32;
/// Time limit for all peers together to open or to leave.
const PATIENCE: Duration = Duration::from_secs(120);
/// Loopback addresses of the clients; several, so that there are enough ports for all rounds.
const SOURCES: usize = 16;
const SCRATCH: usize = 256 << 10;
const EVENTS: usize = 4096;
const PREFIX: char = 'p';
/// The event of the alarm, which is no peer's.
const ALARM: Token = Token(usize::MAX);

impl Fleet {
    pub fn new(target: Target) -> Result<Self> {
        Ok(Fleet {
            target,
            prefix: PREFIX,
            are_guests: false,
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            peers: Vec::new(),
            arrivals: Vec::new(),
            alarm: None,
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            opened: 0,
            lost: 0,
            just_lost: Vec::new(),
            just_opened: Vec::new(),
        })
    }

    /// Peers `s0`, `s1`, … that come beside those of another fleet.
    pub fn storm(target: Target) -> Result<Self> {
        Ok(Fleet { prefix: 's', ..Fleet::new(target)? })
    }

    /// Clients at the root, whom no server greets.
    pub fn guests(target: Target) -> Result<Self> {
        Ok(Fleet { are_guests: true, ..Fleet::new(target)? })
    }

    pub fn count(&self) -> usize {
        self.peers.len()
    }

    /// Peers that have resumed a TLS session.
    pub fn resumed(&self) -> usize {
        self.peers.iter().filter(|peer| peer.link.is_resumed()).count()
    }

    /// The id of a peer.
    pub fn id(peer: usize) -> String {
        format!("{PREFIX}{peer}")
    }

    /// Connects peers until `count` of them are open.
    pub fn open(&mut self, count: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.opened < count {
            while self.peers.len() < count && self.peers.len() - self.opened < OPENING {
                self.connect()?;
            }
            self.turn(Duration::from_millis(100))?;
            let open = self.opened;
            ensure!(self.lost == 0, "the server did not welcome {} of {count} peers", self.lost);
            ensure!(Instant::now() < deadline, "only {open} of {count} peers opened within {PATIENCE:?}");
        }
        Ok(())
    }

    /// Connects one more peer.
    pub fn connect(&mut self) -> Result<()> {
        let peer = self.connecting(self.peers.len())?;
        self.peers.push(peer);
        Ok(())
    }

    /// Connects a peer again that the server has lost: with its id and token.
    pub fn connect_again(&mut self, index: usize) -> Result<()> {
        self.peers[index] = self.connecting(index)?;
        Ok(())
    }

    fn connecting(&self, index: usize) -> Result<Peer> {
        let source = Ipv4Addr::new(127, 0, 0, 2 + (index % SOURCES) as u8);
        let addresses = &self.target.addresses;
        let address = addresses[(index / 2 + index % 2) % addresses.len()];
        let id = format!("{}{index}", self.prefix);
        let mut link = Link::connect(address, (source, 0).into(), &id, self.target.tls.as_ref())?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut link.stream, Token(index), interest)?;
        Ok(if self.are_guests { Peer::guest(link, address) } else { Peer::new(link, &id, address) })
    }

    /// Lets all peers from `first` on leave: every second one with a close frame, the others without, as
    /// after a crash. Waits until the server has closed all connections.
    pub fn leave(&mut self, first: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for (index, peer) in self.peers.iter_mut().enumerate().skip(first) {
            peer.leave(index.is_multiple_of(2));
        }
        let mut next = first;
        while next < self.peers.len() {
            if self.peers[next].phase == Phase::Gone {
                next += 1;
                continue;
            }
            self.turn(Duration::from_millis(100))?;
            let left = self.peers.len() - next;
            ensure!(
                Instant::now() < deadline,
                "the server has not closed {left} connections in {PATIENCE:?}"
            );
        }
        self.peers.truncate(first);
        Ok(())
    }

    pub fn peer(&mut self, index: usize) -> &mut Peer {
        &mut self.peers[index]
    }

    /// From now on, waits end at every `interval` too. A timeout has milliseconds only.
    pub fn set_alarm(&mut self, interval: Duration) -> Result<()> {
        let alarm = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK)?;
        let interval = interval.try_into()?;
        let times = Itimerspec { it_interval: interval, it_value: interval };
        timerfd_settime(&alarm, TimerfdTimerFlags::empty(), &times)?;
        self.poll.registry().register(&mut SourceFd(&alarm.as_raw_fd()), ALARM, Interest::READABLE)?;
        self.alarm = Some(alarm);
        Ok(())
    }

    /// Waits for events for at most `timeout`, and handles them. Returns the messages that arrived.
    pub fn turn(&mut self, timeout: Duration) -> Result<&[Arrival]> {
        self.arrivals.clear();
        self.just_lost.clear();
        self.just_opened.clear();
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(&[]),
            polled => polled?,
        }
        for event in &self.events {
            if let Some(alarm) = self.alarm.as_ref().filter(|_| event.token() == ALARM) {
                // It goes off again once it was read. An event may be older than the last read.
                let _ = rustix::io::read(alarm, &mut [0; 8]);
                continue;
            }
            let Some(peer) = self.peers.get_mut(event.token().0) else { continue };
            if peer.phase == Phase::Gone || !peer.reads {
                continue;
            }
            if event.is_writable() {
                peer.flush();
            }
            let was_open = peer.phase == Phase::Open;
            let messages = peer.receive(&mut self.scratch);
            if messages > 0 {
                self.arrivals.push(Arrival { peer: event.token().0, messages, at: Instant::now() });
            }
            let is_open = peer.phase == Phase::Open;
            self.opened = self.opened + usize::from(is_open) - usize::from(was_open);
            if is_open && !was_open {
                self.just_opened.push(Instant::now());
            }
            if peer.phase == Phase::Gone && !peer.leaving {
                self.lost += 1;
                self.just_lost.push(event.token().0);
            }
        }
        Ok(&self.arrivals)
    }

    /// True if the last turn had nothing to handle.
    pub fn is_calm(&self) -> bool {
        self.events.is_empty()
    }

    /// Waits, and answers pings.
    pub fn idle(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.turn(left)?;
        }
    }
}
