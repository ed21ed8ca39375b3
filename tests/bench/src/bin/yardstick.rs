//! A yardstick for the other servers, not a real server: one thread and one epoll that copies
//! frames to the peer that they name. It parses no JSON, checks nothing, stores nothing for absent
//! peers, and has no limit for slow readers. A server that does more cannot cost less.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::Parser;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use peerbroker_bench::ws::{self, Inbox};
use slab::Slab;
use socket2::{Domain, Socket, Type};

#[derive(Parser)]
struct Cli {
    #[arg(long)]
    port: u16,
}

const LISTENER: Token = Token(usize::MAX);
const BACKLOG: i32 = 4096;
const EVENTS: usize = 4096;
const SCRATCH: usize = 256 << 10;

struct Yardstick {
    poll: Poll,
    listener: TcpListener,
    conns: Slab<Conn>,
    ids: HashMap<String, usize>,
    /// Connections with new output in this turn.
    unflushed: Vec<usize>,
}

struct Conn {
    stream: TcpStream,
    id: String,
    inbox: Inbox,
    outbox: Vec<u8>,
}

fn main() -> Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    Yardstick::bind(Cli::parse().port)?.run()
}

impl Yardstick {
    fn bind(port: u16) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], port)).into()).context("cannot bind the port")?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Yardstick { poll, listener, conns: Slab::new(), ids: HashMap::new(), unflushed: Vec::new() })
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
                            self.unflushed.push(index);
                        }
                        self.receive(index, &mut scratch);
                    }
                }
            }
            // One write per connection for the output of this turn.
            for index in std::mem::take(&mut self.unflushed) {
                if let Some(conn) = self.conns.get_mut(index) {
                    conn.flush();
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        while let Ok((mut stream, _)) = self.listener.accept() {
            stream.set_nodelay(true)?;
            let entry = self.conns.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            entry.insert(Conn { stream, id: String::new(), inbox: Inbox::default(), outbox: Vec::new() });
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
            conn.id = id(&input[..end]);
            self.ids.insert(conn.id.clone(), index);
            conn.greet();
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

    fn relay(&mut self, from: usize, payload: &[u8]) {
        let Some(&to) = dst(payload).and_then(|dst| self.ids.get(dst)) else { return };
        let Some((sender, recipient)) = self.conns.get2_mut(from, to) else { return };
        let [members @ .., _] = payload else { return };
        if recipient.outbox.is_empty() {
            self.unflushed.push(to);
        }
        let parts = [members, b",\"src\":\"", sender.id.as_bytes(), b"\"}"];
        ws::push_server_frame(&mut recipient.outbox, ws::TEXT, &parts);
    }
}

impl Conn {
    fn greet(&mut self) {
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n\r\n",
            ws::ACCEPT
        );
        self.outbox.extend_from_slice(answer.as_bytes());
        ws::push_server_frame(&mut self.outbox, ws::TEXT, &[br#"{"type":"OPEN"}"#]);
        self.flush();
    }

    fn flush(&mut self) {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                // An idle connection owns no buffer.
                Ok(count) if count == self.outbox.len() => self.outbox = Vec::new(),
                Ok(count) => drop(self.outbox.drain(..count)),
                Err(_) => return,
            }
        }
    }
}

/// The id in the query of a request, which the load generator always has.
fn id(head: &[u8]) -> String {
    let head = String::from_utf8_lossy(head);
    let id = head.split_once("id=").and_then(|(_, rest)| rest.split(['&', ' ']).next());
    id.unwrap_or("nobody").to_owned()
}

/// The recipient. The load generator writes it at the end, so this searches backwards.
fn dst(payload: &[u8]) -> Option<&str> {
    const NAME: &[u8] = b"\"dst\":\"";
    let at = payload.windows(NAME.len()).rposition(|window| window == NAME)?;
    let rest = &payload[at + NAME.len()..];
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}
