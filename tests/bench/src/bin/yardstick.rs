//! A yardstick for the other servers, not a real server: one thread and one epoll that copies frames to the
//! peer that they name, to all subscribers of the topic, or to members of a swarm. It parses no JSON, checks
//! nothing, stores nothing for absent peers, and has no limit for slow readers. A server that does more
//! cannot cost less. With `--uring`, one system call sends the output of a turn to all its recipients.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result};
use clap::Parser;
use io_uring::{IoUring, opcode, types};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use peerbroker_bench::ws::{self, Inbox};
use slab::Slab;
use socket2::{Domain, Socket, Type};

#[derive(Parser)]
struct Cli {
    #[arg(long)]
    port: u16,
    /// Send by io_uring
    #[arg(long)]
    uring: bool,
}

const LISTENER: Token = Token(usize::MAX);
const BACKLOG: i32 = 4096;
const EVENTS: usize = 4096;
const SCRATCH: usize = 256 << 10;
/// Sends of one system call.
const SENDS: u32 = 256;

struct Yardstick {
    poll: Poll,
    listener: TcpListener,
    conns: Slab<Conn>,
    ids: HashMap<String, usize>,
    subscribers: Vec<usize>,
    /// The members of each swarm, and the one that gets the next offer.
    swarms: HashMap<Vec<u8>, (Vec<usize>, usize)>,
    /// Connections with new output in this turn.
    unflushed: Vec<usize>,
    ring: Option<IoUring>,
}

struct Conn {
    stream: TcpStream,
    id: String,
    inbox: Inbox,
    outbox: Vec<u8>,
    /// True if it is among [`Yardstick::unflushed`].
    is_unflushed: bool,
}

fn main() -> Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let Cli { port, uring } = Cli::parse();
    // All is done by this thread, which waits for what it sends.
    let ring = || IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(SENDS);
    let ring = uring.then(ring).transpose().context("no io_uring")?;
    Yardstick::bind(port, ring)?.run()
}

impl Yardstick {
    fn bind(port: u16, ring: Option<IoUring>) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).context("cannot bind the port")?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Yardstick {
            poll,
            listener,
            conns: Slab::new(),
            ids: HashMap::new(),
            subscribers: Vec::new(),
            swarms: HashMap::new(),
            unflushed: Vec::new(),
            ring,
        })
    }

    fn run(mut self) -> Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut scratch = vec![0; SCRATCH];
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(index) => {
                        if event.is_writable() {
                            self.mark(index);
                        }
                        self.receive(index, &mut scratch);
                    }
                }
            }
            self.flush()?;
        }
    }

    /// One write per connection for the output of this turn, or one system call for all of it.
    fn flush(&mut self) -> Result<()> {
        let unflushed = std::mem::take(&mut self.unflushed);
        let Some(ring) = &mut self.ring else {
            for index in unflushed {
                if let Some(conn) = self.conns.get_mut(index) {
                    conn.is_unflushed = false;
                    conn.flush();
                }
            }
            return Ok(());
        };
        for part in unflushed.chunks(SENDS as usize) {
            let mut sends = 0;
            for &index in part {
                let Some(conn) = self.conns.get_mut(index) else { continue };
                conn.is_unflushed = false;
                if conn.outbox.is_empty() {
                    continue;
                }
                let fd = types::Fd(conn.stream.as_raw_fd());
                let send = opcode::Send::new(fd, conn.outbox.as_ptr(), conn.outbox.len() as u32);
                let send = send.flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL).build();
                // SAFETY: nothing touches the outbox before the kernel has done all sends, which is awaited
                // below.
                unsafe { ring.submission().push(&send.user_data(index as u64)) }?;
                sends += 1;
            }
            ring.submit_and_wait(sends)?;
            for done in ring.completion() {
                let sent = usize::try_from(done.result()).unwrap_or_default();
                self.conns[done.user_data() as usize].forget(sent);
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<()> {
        while let Ok((mut stream, _)) = self.listener.accept() {
            stream.set_nodelay(true)?;
            let entry = self.conns.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            entry.insert(Conn {
                stream,
                id: String::new(),
                inbox: Inbox::default(),
                outbox: Vec::new(),
                is_unflushed: false,
            });
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, scratch: &mut [u8]) {
        while let Some(conn) = self.conns.get_mut(index) {
            let alive = match conn.stream.read(scratch) {
                Ok(0) => false,
                Ok(count) => {
                    let mut inbox = std::mem::take(&mut conn.inbox);
                    let alive = inbox.take(&mut scratch[..count], |input| self.understand(index, input));
                    self.conns[index].inbox = inbox;
                    if alive && count == scratch.len() {
                        continue;
                    }
                    alive
                }
                Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            };
            if !alive {
                self.ids.remove(&self.conns.remove(index).id);
            }
            return;
        }
    }

    /// Returns how much of the input it has handled; false if the client closes.
    fn understand(&mut self, index: usize, input: &mut [u8]) -> (usize, bool) {
        let conn = &mut self.conns[index];
        let mut used = 0;
        if conn.id.is_empty() {
            let Some(end) = ws::end_of_head(input) else { return (0, true) };
            let id = id(&input[..end]);
            conn.greet(id.is_some());
            conn.id = id.unwrap_or_else(|| "a guest".to_owned());
            self.ids.insert(conn.id.clone(), index);
            used = end;
        }
        while let Some((header, at)) = ws::whole_frame(&input[used..]) {
            let payload = &mut input[used..][at.clone()];
            used += at.end;
            if header.opcode == ws::TEXT {
                ws::unmask(payload, header.mask.unwrap_or_default());
                self.relay(index, payload);
            } else if header.opcode == ws::CLOSE {
                return (used, false);
            }
        }
        (used, true)
    }

    /// The load generator has few kinds of messages, and their first bytes tell which.
    fn relay(&mut self, from: usize, payload: &[u8]) {
        if payload.starts_with(b"{\"numwant\"") {
            self.announce(from, payload);
        } else if payload.starts_with(b"{\"type\":\"publish\"") {
            for index in 0..self.subscribers.len() {
                self.push(self.subscribers[index], &[payload]);
            }
        } else if payload.starts_with(b"{\"type\":\"subscribe\"") {
            self.subscribers.push(from);
        } else if payload.starts_with(b"{\"type\":\"ping\"") {
            self.push(from, &[br#"{"type":"pong"}"#]);
        } else if let Some(&to) = dst(payload).and_then(|dst| self.ids.get(dst))
            && let [members @ .., _] = payload
        {
            let id = std::mem::take(&mut self.conns[from].id);
            self.push(to, &[members, b",\"src\":\"", id.as_bytes(), b"\"}"]);
            self.conns[from].id = id;
        }
    }

    /// Sends an answer, and each offer to another member of the swarm. All offers have one length.
    fn announce(&mut self, from: usize, payload: &[u8]) {
        let Some((hash, offers)) = swarm(payload) else { return };
        let count = usize::from(payload[b"{\"numwant\":".len()] - b'0');
        let (members, next) = self.swarms.entry(hash.to_vec()).or_default();
        let others = members.iter().copied().cycle().skip(*next % members.len().max(1)).take(count + 1);
        let recipients: Vec<usize> = others.filter(|member| *member != from).take(count).collect();
        *next += count;
        if count == 0 {
            members.push(from);
        }
        self.push(from, &[br#"{"action":"announce","interval":120,"info_hash":"#, hash, b"}"]);
        for (to, offer) in recipients.into_iter().zip(offers.chunks(offers.len() / count.max(1) + 1)) {
            self.push(to, &[br#"{"action":"announce","info_hash":"#, hash, b",", offer]);
        }
    }

    fn push(&mut self, to: usize, payload: &[&[u8]]) {
        let Some(recipient) = self.conns.get_mut(to) else { return };
        ws::push_server_frame(&mut recipient.outbox, ws::TEXT, payload);
        self.mark(to);
    }

    /// From now on, the end of the turn flushes it.
    fn mark(&mut self, index: usize) {
        if let Some(conn) = self.conns.get_mut(index)
            && !conn.is_unflushed
        {
            conn.is_unflushed = true;
            self.unflushed.push(index);
        }
    }
}

impl Conn {
    /// Guests get no OPEN.
    fn greet(&mut self, is_peer: bool) {
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            ws::ACCEPT
        );
        self.outbox.extend_from_slice(answer.as_bytes());
        if is_peer {
            ws::push_server_frame(&mut self.outbox, ws::TEXT, &[br#"{"type":"OPEN"}"#]);
        }
        self.flush();
    }

    fn flush(&mut self) {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(count) => self.forget(count),
                Err(_) => return,
            }
        }
    }

    /// Drops output that was sent. An idle connection owns no buffer.
    fn forget(&mut self, sent: usize) {
        if sent == self.outbox.len() {
            self.outbox = Vec::new();
        } else {
            self.outbox.drain(..sent);
        }
    }
}

/// The id in the query of a request. Guests have none.
fn id(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    Some(head.split_once("id=")?.1.split(['&', ' ']).next()?.to_owned())
}

/// The hash in an announce, as JSON, and all its offers.
fn swarm(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let after = |bytes: &[u8], name: &[u8]| {
        Some(bytes.windows(name.len()).position(|window| window == name)? + name.len())
    };
    let rest = &payload[after(payload, b"\"info_hash\":")?..];
    let end = after(rest, b",\"peer_id\"")? - b",\"peer_id\"".len();
    let offers = &rest[after(rest, b"\"offers\":[")?..rest.len() - 2];
    Some((&rest[..end], offers))
}

/// The recipient. The load generator writes it at the end, so this searches backwards.
fn dst(payload: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b"\"dst\":\"";
    let at = payload.windows(NAME.len()).rposition(|window| window == NAME)?;
    let rest = &payload[at + NAME.len()..];
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}
