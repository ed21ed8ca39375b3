//! A peer of str0m. See signalling.mjs.

use std::collections::HashMap;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc::{self, Sender};
use std::time::Instant;
use std::{env, thread};

use serde_json::{Value, json};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::channel::{ChannelData, ChannelId};
use str0m::net::{Protocol, Receive, TcpType, Transmit};
use str0m::{Candidate, Event, Input, Output, Rtc};

/// Any address to which there is a route: nothing is sent there.
const ELSEWHERE: &str = "203.0.113.1:9";

/// An event of a thread that waits for it.
enum News {
    Line(String),
    Connected(TcpStream),
    Datagram { proto: Protocol, source: SocketAddr, destination: SocketAddr, bytes: Vec<u8> },
}

struct Peer {
    rtc: Rtc,
    udp: UdpSocket,
    /// Connections by both of their ends.
    connections: HashMap<(SocketAddr, SocketAddr), TcpStream>,
    news: Sender<News>,
    offer: Option<SdpPendingOffer>,
    is_caller: bool,
    over_tcp: bool,
    messages: u64,
    number: u64,
}

fn say(message: &Value) {
    println!("{message}");
}

fn text(number: u64) -> String {
    let width = usize::try_from(number).unwrap();
    format!("{:x<width$}", format!("{number} "))
}

impl Peer {
    fn call(&mut self) {
        let mut changes = self.rtc.sdp_api();
        changes.add_channel("data".to_owned());
        let (offer, pending) = changes.apply().unwrap();
        self.offer = Some(pending);
        say(&json!({ "type": "offer", "sdp": offer.to_sdp_string() }));
    }

    fn take(&mut self, message: &Value) {
        if let Some(candidate) = message["candidate"].as_str() {
            let candidate = Candidate::from_sdp_string(candidate).unwrap();
            self.connect(&candidate);
            self.rtc.add_remote_candidate(candidate);
            return;
        }
        let sdp = message["sdp"].as_str().unwrap();
        for candidate in sdp.lines().filter_map(|line| line.strip_prefix("a=")) {
            if let Ok(candidate) = Candidate::from_sdp_string(candidate) {
                self.connect(&candidate);
            }
        }
        if let Some(pending) = self.offer.take() {
            self.rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(sdp).unwrap()).unwrap();
        } else {
            let answer = self.rtc.sdp_api().accept_offer(SdpOffer::from_sdp_string(sdp).unwrap()).unwrap();
            say(&json!({ "type": "answer", "sdp": answer.to_sdp_string() }));
        }
    }

    /// Connects to a candidate over TCP. str0m leaves that, and the frames there, to its app.
    fn connect(&self, to: &Candidate) {
        if !self.over_tcp || to.tcptype() != Some(TcpType::Passive) {
            return;
        }
        let to = to.addr();
        let news = self.news.clone();
        thread::spawn(move || {
            if let Ok(connection) = TcpStream::connect(to) {
                news.send(News::Connected(connection.try_clone().unwrap())).unwrap();
                read_frames(connection, &news);
            }
        });
    }

    fn connected(&mut self, connection: TcpStream) {
        // Each message waits for the last one's echo.
        connection.set_nodelay(true).unwrap();
        let here = connection.local_addr().unwrap();
        let there = connection.peer_addr().unwrap();
        self.connections.insert((here, there), connection);
        let active = Candidate::builder().tcp().host(here).tcptype(TcpType::Active).build().unwrap();
        self.rtc.add_local_candidate(active);
    }

    /// Sends all that is due. Returns the time at which more is.
    fn advance(&mut self) -> Instant {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) => return at,
                Output::Transmit(datagram) => self.transmit(&datagram),
                Output::Event(Event::ChannelOpen(channel, _)) if self.is_caller => {
                    self.send(channel, &text(self.number))
                }
                Output::Event(Event::ChannelData(data)) => self.received(&data),
                Output::Event(_) => {}
            }
        }
    }

    fn transmit(&mut self, datagram: &Transmit) {
        if datagram.proto == Protocol::Udp {
            // A network without UDP, or without a path, refuses some.
            let _ = self.udp.send_to(&datagram.contents, datagram.destination);
        } else if let Some(connection) = self.connections.get_mut(&(datagram.source, datagram.destination)) {
            // RFC 4571, section 2.
            let length = u16::try_from(datagram.contents.len()).unwrap().to_be_bytes();
            connection.write_all(&[&length, &*datagram.contents].concat()).unwrap();
        }
    }

    fn received(&mut self, ChannelData { id, data, .. }: &ChannelData) {
        let got = std::str::from_utf8(data).unwrap();
        if !self.is_caller {
            self.send(*id, got);
            return;
        }
        assert_eq!(got, text(self.number));
        self.number += 1;
        if self.number == self.messages {
            say(&json!({ "done": self.number }));
        } else {
            self.send(*id, &text(self.number));
        }
    }

    fn send(&mut self, channel: ChannelId, text: &str) {
        assert!(self.rtc.channel(channel).unwrap().write(false, text.as_bytes()).unwrap());
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Line(line) => self.take(&serde_json::from_str(&line).unwrap()),
            News::Connected(connection) => self.connected(connection),
            News::Datagram { proto, source, destination, bytes } => {
                if let Ok(receive) = Receive::new(proto, source, destination, &bytes) {
                    self.rtc.handle_input(Input::Receive(Instant::now(), receive)).unwrap();
                }
            }
        }
    }
}

fn read_frames(mut connection: TcpStream, news: &Sender<News>) {
    let destination = connection.local_addr().unwrap();
    let source = connection.peer_addr().unwrap();
    let mut length = [0; 2];
    while connection.read_exact(&mut length).is_ok() {
        let mut bytes = vec![0; u16::from_be_bytes(length).into()];
        connection.read_exact(&mut bytes).unwrap();
        news.send(News::Datagram { proto: Protocol::Tcp, source, destination, bytes }).unwrap();
    }
}

fn read_datagrams(socket: &UdpSocket, news: &Sender<News>) {
    let destination = socket.local_addr().unwrap();
    let mut buffer = [0; 2048];
    loop {
        // An error is an earlier datagram's that nobody took.
        if let Ok((length, source)) = socket.recv_from(&mut buffer) {
            let bytes = buffer[..length].to_vec();
            news.send(News::Datagram { proto: Protocol::Udp, source, destination, bytes }).unwrap();
        }
    }
}

/// A socket at the address of this machine's way out, because str0m looks for no addresses.
fn socket() -> UdpSocket {
    let probe = UdpSocket::bind("0.0.0.0:0").unwrap();
    probe.connect(ELSEWHERE).unwrap();
    UdpSocket::bind((probe.local_addr().unwrap().ip(), 0)).unwrap()
}

fn main() {
    str0m::crypto::from_feature_flags().install_process_default();
    let options: Value = serde_json::from_str(&env::args().nth(1).unwrap()).unwrap();
    let (news, heard) = mpsc::channel();
    let udp = socket();
    let mut rtc = Rtc::builder().build(Instant::now());
    rtc.add_local_candidate(Candidate::host(udp.local_addr().unwrap(), "udp").unwrap());
    {
        let udp = udp.try_clone().unwrap();
        let news = news.clone();
        thread::spawn(move || read_datagrams(&udp, &news));
    }
    {
        let news = news.clone();
        thread::spawn(move || {
            io::stdin().lock().lines().try_for_each(|line| news.send(News::Line(line.unwrap())))
        });
    }
    let mut peer = Peer {
        rtc,
        udp,
        connections: HashMap::new(),
        news,
        offer: None,
        is_caller: options["isCaller"] == true,
        over_tcp: options["overTcp"] == true,
        messages: options["messages"].as_u64().unwrap(),
        number: 0,
    };
    if peer.is_caller {
        peer.call();
    }
    loop {
        let until = peer.advance();
        if let Ok(news) = heard.recv_timeout(until.saturating_duration_since(Instant::now())) {
            peer.hear(news);
        }
        peer.rtc.handle_input(Input::Timeout(Instant::now())).unwrap();
    }
}
