//! A yardstick for relays: one thread that reads datagrams and sends each on to its sender's counterpart. It checks
//! nothing, counts nothing and forgets nothing. The first datagram of an address names its call.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use anyhow::Result;
use clap::Parser;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use std::os::fd::AsRawFd as _;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[arg(long)]
    port: u16,
    /// Read and send datagrams one by one
    #[arg(long)]
    one_by_one: bool,
}

/// As in the relay.
const BATCH: usize = 16;
const JOINED: usize = 1 << 16;
const BUFFER: usize = 1 << 21;

fn main() -> Result<()> {
    let Cli { port, one_by_one } = Cli::parse();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
    socket.set_nonblocking(true)?;
    let sized = socket2::SockRef::from(&socket);
    sized.set_recv_buffer_size(BUFFER).and(sized.set_send_buffer_size(BUFFER))?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), Token(0), Interest::READABLE)?;
    let (mut calls, mut ways) = (HashMap::new(), HashMap::new());
    let mut buffers = vec![[0; JOINED]; BATCH];
    // It has the kernel join datagrams.
    let state = (!one_by_one).then(|| UdpSocketState::new(UdpSockRef::from(&socket))).transpose()?;
    loop {
        match poll.poll(&mut Events::with_capacity(1), None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        let Some(state) = &state else {
            let buffer = &mut buffers[0];
            while let Ok((count, from)) = socket.recv_from(buffer) {
                match ways.get(&from) {
                    // A full buffer loses it.
                    Some(to) => drop(socket.send_to(&buffer[..count], to)),
                    None => join(&mut calls, &mut ways, from, &buffer[..count]),
                }
            }
            continue;
        };
        loop {
            let mut metas = [RecvMeta::default(); BATCH];
            let mut slices = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer));
            let mut slices: [IoSliceMut<'_>; BATCH] =
                std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
            let Ok(count) = state.recv(UdpSockRef::from(&socket), &mut slices, &mut metas) else { break };
            for (meta, buffer) in metas.iter().zip(&buffers).take(count) {
                let bytes = &buffer[..meta.len];
                match ways.get(&meta.addr) {
                    Some(to) => send(&socket, state, *to, bytes, meta.stride),
                    None => join(&mut calls, &mut ways, meta.addr, bytes),
                }
            }
        }
    }
}

fn send(socket: &UdpSocket, state: &UdpSocketState, to: SocketAddr, bytes: &[u8], size: usize) {
    let segment_size = (bytes.len() > size).then_some(size);
    let transmit = Transmit { destination: to, ecn: None, contents: bytes, segment_size, src_ip: None };
    // A full buffer loses it.
    let _ = state.try_send(UdpSockRef::from(socket), &transmit);
}

type Calls = HashMap<Vec<u8>, SocketAddr>;

fn join(calls: &mut Calls, ways: &mut HashMap<SocketAddr, SocketAddr>, from: SocketAddr, call: &[u8]) {
    match calls.remove(call) {
        Some(other) if other != from => {
            ways.insert(from, other);
            ways.insert(other, from);
        }
        _ => drop(calls.insert(call.to_vec(), from)),
    }
}
