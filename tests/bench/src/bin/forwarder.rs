//! A yardstick for relays: one thread that reads datagrams and sends each on to its sender's counterpart. It
//! checks nothing, counts nothing and forgets nothing. The first datagram of an address names its call.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;

use anyhow::Result;
use clap::Parser;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};

#[derive(Parser)]
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
    // It has the kernel join datagrams.
    let state = (!one_by_one).then(|| UdpSocketState::new(UdpSockRef::from(&socket))).transpose()?;
    let mut calls = HashMap::new();
    let mut ways = HashMap::new();
    let mut buffers = vec![[0; JOINED]; BATCH];
    let mut metas = [RecvMeta::default(); BATCH];
    loop {
        match poll.poll(&mut Events::with_capacity(1), None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        while let Ok(count) = receive(&socket, state.as_ref(), &mut buffers, &mut metas) {
            for (meta, buffer) in metas.iter().zip(&buffers).take(count) {
                let bytes = &buffer[..meta.len];
                match (ways.get(&meta.addr), &state) {
                    // A full buffer loses it.
                    (Some(to), Some(state)) => {
                        let segment_size = (meta.len > meta.stride).then_some(meta.stride);
                        let destination = *to;
                        let transmit =
                            Transmit { destination, ecn: None, contents: bytes, segment_size, src_ip: None };
                        let _ = state.try_send(UdpSockRef::from(&socket), &transmit);
                    }
                    (Some(to), None) => drop(socket.send_to(bytes, to)),
                    (None, _) => join(&mut calls, &mut ways, meta.addr, bytes),
                }
            }
        }
    }
}

/// The number of datagrams, or of joined ones. Only one without a state.
fn receive(
    socket: &UdpSocket,
    state: Option<&UdpSocketState>,
    buffers: &mut [[u8; JOINED]],
    metas: &mut [RecvMeta; BATCH],
) -> io::Result<usize> {
    let Some(state) = state else {
        let (len, addr) = socket.recv_from(&mut buffers[0])?;
        metas[0].len = len;
        metas[0].addr = addr;
        return Ok(1);
    };
    let mut slices = buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer));
    let mut slices: [IoSliceMut<'_>; BATCH] =
        std::array::from_fn(|_| slices.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
    state.recv(UdpSockRef::from(socket), &mut slices, metas)
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
