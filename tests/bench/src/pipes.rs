//! A pipe between two clients, beside a TCP proxy and TURN over TCP.

use std::io::{Cursor, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use socket2::{Socket, Type};
use testkit::directory::Directory;
use testkit::http_client::TIMEOUT;
use testkit::ports::free_port;
use testkit::raw_client::RawClient;
use testkit::tools::find;
use testkit::wait::wait_until;
use tungstenite::protocol::frame::FrameHeader;

use crate::calls::{self, Way};
use crate::figures::{Record, micros};
use crate::relays::Relay;
use crate::servers::{Places, Running};
use crate::ws;

/// A program that carries bytes between two clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Peerbroker,
    /// nginx with `stream`: it looks at nothing. The bytes are those that a client of the broker sends.
    Nginx,
    /// TURN over TCP, on both sides or on the sender's only.
    Turn(Relay),
}

/// Bytes of a record.
const RECORD: usize = 16 << 10;
/// `webrtc.js` sends at most this many records that are not acknowledged.
const WINDOW: u64 = 64;
/// TURN needs datagrams, of multiples of four bytes that fit in a packet: these are one record.
const DATAGRAMS: usize = RECORD.div_ceil(DATAGRAM);
const DATAGRAM: usize = 1172;
/// As many records are in flight over TURN as a UDP socket holds.
const WINDOW_OF_TURN: u64 = 4;

/// Records that are written at once, at most.
const BLOCK: usize = 4;
/// Room for one read.
const BUFFER: usize = 256 << 10;

/// Time before a measurement starts.
const WARM_UP: Duration = Duration::from_millis(500);
const TIME: Duration = Duration::from_secs(2);
/// Wait for datagrams that may be lost.
const STALL: Duration = Duration::from_secs(1);
/// Timeout of everything else.
const PATIENCE: Duration = Duration::from_secs(10);

/// Pipes between two reads of memory: the first need more than later ones.
const SOME_PIPES: usize = 500;
const MANY_PIPES: usize = 2_500;

pub const CPU: &str = "CPU per record of 16 KiB";
pub const RATE: &str = "records through one pipe";
pub const MEMORY: &str = "memory per further pipe, 500 to 2,500";

impl Carrier {
    pub const ALL: [Carrier; 5] = [
        Carrier::Peerbroker,
        Carrier::Nginx,
        Carrier::Turn(Relay::Turn),
        Carrier::Turn(Relay::Coturn),
        Carrier::Turn(Relay::CoturnTwice),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Carrier::Peerbroker => "pipe",
            Carrier::Nginx => "nginx",
            Carrier::Turn(relay) => relay.name(),
        }
    }

    fn start(self, places: &Places) -> Result<Started> {
        match self {
            Carrier::Peerbroker => Started::broker(places),
            Carrier::Nginx => Started::nginx(),
            Carrier::Turn(relay) => {
                let (server, way) = relay.start(places, Type::STREAM)?;
                Ok(Started { server, route: Route::Turn(way), _files: None })
            }
        }
    }

    /// One direction of one pipe, as fast as it goes.
    pub fn records(self, places: &Places, record: &mut Record) -> Result<()> {
        let started = self.start(places)?;
        let [sender, receiver] = started.route.open(0..1)?.try_into().ok().context("a pipe has two ends")?;
        let mut flow = Flow::new(&started.route, sender, receiver)?;
        flow.run(WARM_UP)?;
        let cpu = started.server.process().cpu()?;
        let received = flow.run(TIME)?;
        let cpu = started.server.process().cpu()?.saturating_sub(cpu);
        record.add(CPU, micros(cpu) / received as f64);
        record.add(RATE, (received as usize * RECORD) as f64 / TIME.as_secs_f64());
        Ok(())
    }

    pub fn memory(self, places: &Places, record: &mut Record) -> Result<()> {
        let started = self.start(places)?;
        let _first = started.route.open(0..SOME_PIPES)?;
        let before = started.server.process().resident()?;
        let _more = started.route.open(SOME_PIPES..MANY_PIPES)?;
        let grown = started.server.process().resident()?.saturating_sub(before);
        record.add(MEMORY, grown as f64 / (MANY_PIPES - SOME_PIPES) as f64);
        Ok(())
    }
}

struct Started {
    server: Running,
    route: Route,
    _files: Option<Directory>,
}

/// The way through a program.
enum Route {
    Broker(SocketAddr),
    /// A proxy, and where it connects to.
    Proxy(SocketAddr, TcpListener),
    Turn(Way),
}

impl Started {
    fn broker(places: &Places) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let args = format!(
            "--host 127.0.0.1 --port {} --workers 1 --alive_timeout 1800000 \
             --pipes {} --pipe_total_bytes_per_second 0",
            address.port(),
            2 * MANY_PIPES
        );
        let server = Running::start("0", &places.server, &args)?;
        wait_until("the broker listens", || TcpStream::connect(address).is_ok());
        Ok(Started { server, route: Route::Broker(address), _files: None })
    }

    /// With its defaults, and one process.
    fn nginx() -> Result<Self> {
        let program = find("nginx").context("nginx is missing: `make setup` gets it")?;
        let files = Directory::new();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let module = stream_module(&program);
        let config = format!(
            "daemon off; master_process off; pid {}; error_log /dev/null; {module}\n\
             events {{ worker_connections 19000; }}\n\
             stream {{ server {{ listen {address}; proxy_pass {}; }} }}\n",
            files.arg("pid"),
            upstream.local_addr()?,
        );
        let args = format!("-e /dev/null -p {} -c {}", files.arg("."), files.file("nginx.conf", &config));
        let server = Running::start("0", &program, &args)?;
        wait_until("nginx listens", || TcpStream::connect(address).is_ok());
        // The other ends of connections that found that it listens.
        upstream.set_nonblocking(true)?;
        wait_until("nginx connects", || upstream.accept().is_ok());
        upstream.set_nonblocking(false)?;
        Ok(Started { server, route: Route::Proxy(address, upstream), _files: Some(files) })
    }
}

/// The line for nginx of a distribution that has `stream` in a file of its own.
fn stream_module(nginx: &Path) -> String {
    let beside = nginx.parent().map(|folder| folder.join("../lib/nginx/modules"));
    let places = beside.into_iter().chain(["/usr/lib/nginx/modules".into()]);
    let module = places.map(|place| place.join("ngx_stream_module.so")).find(|path| path.is_file());
    module.map_or_else(String::new, |path| format!("load_module {};", path.display()))
}

impl Route {
    /// The ends of pipes, two of each. The first is the sender.
    fn open(&self, numbers: Range<usize>) -> Result<Vec<Socket>> {
        match self {
            Route::Broker(broker) => {
                let ends = numbers.map(|number| pipe(*broker, number)).collect::<Result<Vec<_>>>()?;
                Ok(ends.into_iter().flatten().collect())
            }
            Route::Proxy(proxy, upstream) => {
                let mut ends = Vec::new();
                for _ in numbers {
                    let sender = connected(*proxy)?;
                    let (receiver, _) = upstream.accept()?;
                    ends.extend([sender.into(), receiver.into()]);
                }
                Ok(ends)
            }
            Route::Turn(way) => {
                let sides = way.begin(numbers)?;
                Ok(sides.into_iter().map(|side| side.socket).collect())
            }
        }
    }

    /// The bytes of a record.
    fn record(&self) -> Vec<u8> {
        match self {
            Route::Broker(_) | Route::Proxy(..) => ws::client_frame(ws::BINARY, &[0x5A; RECORD]),
            Route::Turn(_) => calls::in_channel(&[0x5A; DATAGRAM]).repeat(DATAGRAMS),
        }
    }
}

fn connected(to: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Both ends of a pipe that is open.
fn pipe(broker: SocketAddr, number: usize) -> Result<[Socket; 2]> {
    let join = |end: usize| {
        let mut stream = connected(broker)?;
        let target = format!("/pipe/{}?key=peerjs&end={}", id(number), id(end));
        stream.write_all(RawClient::handshake(&target).as_bytes())?;
        anyhow::Ok(stream)
    };
    let mut ends = [join(1)?, join(2)?];
    for end in &mut ends {
        await_open(end)?;
    }
    Ok(ends.map(Socket::from))
}

/// 128 bits in base64url.
fn id(number: usize) -> String {
    format!("{number:021}A")
}

/// Reads the response to a handshake, and OPEN.
fn await_open(end: &mut TcpStream) -> Result<()> {
    let mut input = Vec::new();
    loop {
        let mut some = [0; 1024];
        let read = end.read(&mut some).context("no OPEN")?;
        ensure!(read > 0, "the broker closed an end: {}", String::from_utf8_lossy(&input));
        input.extend_from_slice(&some[..read]);
        let frame = ws::end_of_head(&input).and_then(|head| Some((head, ws::whole_frame(&input[head..])?)));
        if let Some((head, (_, payload))) = frame {
            let text = &input[head..][payload];
            ensure!(text.starts_with(br#"{"type":"OPEN""#), "not OPEN: {}", String::from_utf8_lossy(text));
            return Ok(());
        }
    }
}

/// Records from one end to the other.
struct Flow {
    poll: Poll,
    events: Events,
    sender: Socket,
    receiver: Socket,
    /// Some records, of `size` bytes each.
    block: Vec<u8>,
    size: u64,
    window: u64,
    may_lose: bool,
    /// Records that were in flight when nothing arrived any more.
    lost: u64,
    /// Bytes since the start.
    sent: u64,
    arrived: Arrived,
    buffer: Vec<u8>,
}

/// The input of a receiver.
enum Arrived {
    Frames(Frames),
    /// Datagrams, in a stream or one by one.
    Stream {
        bytes: usize,
    },
    Datagrams {
        count: usize,
    },
}

impl Flow {
    fn new(route: &Route, sender: Socket, receiver: Socket) -> Result<Self> {
        let poll = Poll::new()?;
        for (at, socket, interest) in [(0, &sender, Interest::WRITABLE), (1, &receiver, Interest::READABLE)] {
            socket.set_nonblocking(true)?;
            poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), Token(at), interest)?;
        }
        let (window, arrived) = match route {
            Route::Turn(_) if receiver.r#type()? == Type::DGRAM => {
                (WINDOW_OF_TURN, Arrived::Datagrams { count: 0 })
            }
            Route::Turn(_) => (WINDOW_OF_TURN, Arrived::Stream { bytes: 0 }),
            _ => (WINDOW, Arrived::Frames(Frames::default())),
        };
        let record = route.record();
        let may_lose = matches!(route, Route::Turn(_));
        Ok(Flow {
            poll,
            events: Events::with_capacity(16),
            sender,
            receiver,
            block: record.repeat(BLOCK),
            size: record.len() as u64,
            window,
            may_lose,
            lost: 0,
            sent: 0,
            arrived,
            buffer: vec![0; BUFFER],
        })
    }

    /// Sends for some time. Returns the records that arrived.
    fn run(&mut self, time: Duration) -> Result<u64> {
        let end = Instant::now() + time;
        let before = self.arrived.records();
        let lost = self.lost;
        let mut heard = Instant::now();
        while Instant::now() < end {
            self.write()?;
            if self.read()? {
                heard = Instant::now();
            } else {
                ensure!(heard.elapsed() < PATIENCE, "nothing arrives any more");
                if self.may_lose && heard.elapsed() > STALL {
                    self.lost = self.sent.div_ceil(self.size) - self.arrived.records();
                }
                match self.poll.poll(&mut self.events, Some(Duration::from_millis(10))) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    polled => polled?,
                }
            }
        }
        let received = self.arrived.records() - before;
        ensure!(received > 100 * (self.lost - lost), "of {received} records, {} were lost", self.lost - lost);
        Ok(received)
    }

    /// Writes what the window and the socket allow.
    fn write(&mut self) -> Result<()> {
        loop {
            let allowed = (self.arrived.records() + self.lost + self.window) * self.size - self.sent;
            let rest = &self.block[(self.sent % self.block.len() as u64) as usize..];
            let some = &rest[..rest.len().min(allowed as usize)];
            if some.is_empty() {
                return Ok(());
            }
            match self.sender.send(some) {
                Ok(count) => self.sent += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads all that has come. False if that is nothing.
    fn read(&mut self) -> Result<bool> {
        let mut has_read = false;
        loop {
            match self.receiver.read(&mut self.buffer) {
                Ok(0) => anyhow::bail!("the receiver was closed"),
                Ok(count) => self.arrived.take(&self.buffer[..count])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(has_read),
                Err(error) => return Err(error.into()),
            }
            has_read = true;
        }
    }
}

impl Arrived {
    fn take(&mut self, input: &[u8]) -> Result<()> {
        match self {
            Arrived::Frames(frames) => frames.take(input)?,
            Arrived::Stream { bytes } => *bytes += input.len(),
            Arrived::Datagrams { count } => {
                ensure!(input.len() == DATAGRAM, "a datagram of {} bytes", input.len());
                *count += 1;
            }
        }
        Ok(())
    }

    fn records(&self) -> u64 {
        let records = match self {
            Arrived::Frames(frames) => frames.records,
            Arrived::Stream { bytes } => bytes / (DATAGRAM + calls::CHANNEL_HEADER) / DATAGRAMS,
            Arrived::Datagrams { count } => count / DATAGRAMS,
        };
        records as u64
    }
}

/// Reads binary messages, each a record, which may come in fragments.
#[derive(Default)]
struct Frames {
    records: usize,
    /// The start of a header.
    head: Vec<u8>,
    /// Bytes of the payload that have not come.
    rest: usize,
    is_final: bool,
    /// Bytes of this message.
    length: usize,
}

/// The longest header of a frame.
const HEADER: usize = 14;

impl Frames {
    fn take(&mut self, mut input: &[u8]) -> Result<()> {
        while !input.is_empty() {
            if self.rest == 0 {
                let had = self.head.len();
                self.head.extend_from_slice(&input[..input.len().min(HEADER - had)]);
                let mut cursor = Cursor::new(&self.head);
                let Some((header, length)) = FrameHeader::parse(&mut cursor)? else {
                    return Ok(());
                };
                input = &input[cursor.position() as usize - had..];
                self.head.clear();
                self.rest = length as usize;
                self.is_final = header.is_final;
            }
            let some = self.rest.min(input.len());
            input = &input[some..];
            self.rest -= some;
            self.length += some;
            if self.rest == 0 && self.is_final {
                ensure!(self.length == RECORD, "a message of {} bytes", self.length);
                self.records += 1;
                self.length = 0;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_however_they_come() -> Result<()> {
        let whole = ws::client_frame(ws::BINARY, &[7; RECORD]);
        let mut fragments = vec![0x02, 126, 0x3F, 0xFF];
        fragments.extend([7; RECORD - 1]);
        fragments.extend([0x80, 1, 7]);
        for bytes in [whole, fragments] {
            for piece in [1, 3, 1000, bytes.len() * 2] {
                let mut frames = Frames::default();
                bytes.repeat(2).chunks(piece).try_for_each(|some| frames.take(some))?;
                assert_eq!(frames.records, 2, "in pieces of {piece}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_message_of_another_length_is_no_record() {
        let short = ws::client_frame(ws::BINARY, &[7; RECORD - 1]);
        assert!(Frames::default().take(&short).is_err());
    }
}
