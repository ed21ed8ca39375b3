//! A connection of a client, as the server's sockets give it: over TCP, or over a Unix socket. Another kind
//! is a variant here, and one of the listeners in `src/server/sockets.rs`.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::{TcpStream, tcp};

use peerbroker_router::Writer;
use peerbroker_system::descriptors;

/// A connection of a client.
pub enum ClientStream {
    /// From the network.
    Tcp(TcpStream),
    /// From a program of this machine, which is a proxy.
    #[cfg(unix)]
    Unix(UnixStream),
}

/// The reading direction of a connection.
pub enum ReadHalf {
    /// From the network.
    Tcp(tcp::OwnedReadHalf),
    /// From a program of this machine.
    #[cfg(unix)]
    Unix(tokio::net::unix::OwnedReadHalf),
}

/// The writing direction. Shuts it down when it is dropped. A type for each kind, because an enum would take
/// 16 bytes more per client.
struct WriteHalf<H>(H);

/// Does the same for each kind of connection.
macro_rules! each {
    ($kind:ident, $this:expr, $io:pat => $then:expr) => {
        match $this {
            $kind::Tcp($io) => $then,
            #[cfg(unix)]
            $kind::Unix($io) => $then,
        }
    };
}

impl ClientStream {
    /// The address by which limits, logs and `--trusted_proxy` know the client. Behind a Unix socket it is
    /// the loopback address, because its clients are on this machine. `None` if the client has ended the
    /// connection: it is nobody's.
    pub fn client(&self) -> Option<SocketAddr> {
        match self {
            ClientStream::Tcp(tcp) => tcp.peer_addr().ok(),
            #[cfg(unix)]
            ClientStream::Unix(_) => Some((Ipv4Addr::LOCALHOST, 0).into()),
        }
    }

    /// True if it has one of the last descriptors of this process.
    pub fn is_scarce(&self) -> bool {
        each!(ClientStream, self, io => descriptors::are_scarce(io))
    }

    /// The TCP connection, if it is one: the relay serves these at the same port.
    pub fn as_tcp(&self) -> Option<&TcpStream> {
        match self {
            ClientStream::Tcp(tcp) => Some(tcp),
            #[cfg(unix)]
            ClientStream::Unix(_) => None,
        }
    }

    /// Ready when there is something to read.
    pub async fn readable(&self) -> io::Result<()> {
        each!(ClientStream, self, io => io.readable().await)
    }

    /// The state of the connection, when something of `interest` is true.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        each!(ClientStream, self, io => io.ready(interest).await)
    }

    /// Sets the size of the kernel's send buffer.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        each!(ClientStream, self, io => SockRef::from(io).set_send_buffer_size(bytes))
    }

    /// The two directions.
    pub fn into_halves(self) -> (ReadHalf, Box<dyn Writer>) {
        match self {
            ClientStream::Tcp(tcp) => {
                let (read, write) = tcp.into_split();
                (ReadHalf::Tcp(read), Box::new(WriteHalf(write)))
            }
            #[cfg(unix)]
            ClientStream::Unix(unix) => {
                let (read, write) = unix.into_split();
                (ReadHalf::Unix(read), Box::new(WriteHalf(write)))
            }
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(ClientStream, self.get_mut(), io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(ClientStream, self.get_mut(), io => Pin::new(io).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(ClientStream, self.get_mut(), io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(ClientStream, self.get_mut(), io => Pin::new(io).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(ClientStream, self.get_mut(), io => Pin::new(io).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        each!(ClientStream, self, io => io.is_write_vectored())
    }
}

impl ReadHalf {
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(ReadHalf, self, io => Pin::new(io).poll_read(cx, buf))
    }

    /// Ready when there is something to read, or the client has left.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        each!(ReadHalf, self, io => pin!(io.ready(Interest::READABLE)).poll(cx))
    }

    /// Ready when the connection takes more bytes.
    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(ReadHalf, self, io => io.as_ref().poll_write_ready(cx))
    }
}

macro_rules! write_half {
    ($half:ty) => {
        impl Writer for WriteHalf<$half> {
            fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
                match bytes {
                    [one] => self.0.try_write(one),
                    many => self.0.try_write_vectored(many),
                }
            }
        }
    };
}

write_half!(tcp::OwnedWriteHalf);
#[cfg(unix)]
write_half!(tokio::net::unix::OwnedWriteHalf);
