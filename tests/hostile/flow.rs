//! Writes to a server that may stop reading, and reads from one that may close.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// Connects as over a real network: with small segments and a small window, so that the kernels buffer
/// about 100 KB of unread data, instead of megabytes as on loopback.
pub fn connect_with_small_segments(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(16 << 10).expect("a buffer");
    socket.set_tcp_mss(1400).expect("a size of segments");
    socket.connect(&address.into()).expect("a connection");
    socket.into()
}

/// Sends as much as the server takes until `deadline`, and returns how much.
pub fn push(mut stream: &TcpStream, bytes: &[u8], deadline: Instant) -> usize {
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty())
        && let Some(left) = time_until(deadline)
    {
        stream.set_write_timeout(Some(left)).expect("a timeout");
        match stream.write(rest) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    sent
}

/// Reads until the server ends the connection or `deadline`, and returns whether the server ended it.
pub fn ended(stream: &TcpStream, deadline: Instant) -> bool {
    pull(stream, deadline, |_| {})
}

/// The same, and passes on its input.
pub fn pull(mut stream: &TcpStream, deadline: Instant, mut got: impl FnMut(&[u8])) -> bool {
    let mut chunk = [0; 64 << 10];
    while let Some(left) = time_until(deadline) {
        stream.set_read_timeout(Some(left)).expect("a timeout");
        match stream.read(&mut chunk) {
            Ok(0) => return true,
            Ok(count) => got(&chunk[..count]),
            Err(error) => match error.kind() {
                ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
                _ => return true,
            },
        }
    }
    false
}

/// Sends everything repeatedly until `deadline`, while it reads and passes on its input.
pub fn exchange(stream: &TcpStream, bytes: &[u8], deadline: Instant, got: impl FnMut(&[u8])) {
    std::thread::scope(|scope| {
        scope.spawn(
            || while time_until(deadline).is_some() && push(stream, bytes, deadline) == bytes.len() {},
        );
        pull(stream, deadline, got);
    });
}

/// Waits until the server has ended all these connections; panics if some are open after `most`.
pub fn expect_all_ended(connections: &[TcpStream], most: Duration) {
    let deadline = Instant::now() + most;
    let open = connections.iter().filter(|connection| !ended(connection, deadline)).count();
    assert_eq!(open, 0, "connections that are open after {most:?}");
}

fn time_until(deadline: Instant) -> Option<Duration> {
    deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

/// Shuts a connection down when dropped.
pub struct ShutDown<'a>(pub &'a TcpStream);

impl Drop for ShutDown<'_> {
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}
