//! The connection below TLS. A client that speaks plain HTTP gets a readable answer, instead of an alert of TLS. One that speaks
//! neither may be taken over before TLS has read anything.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::rt::net::{ActixStream, Ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::TakeOver;

const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Access-Control-Allow-Origin: *\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: 122\r\n\r\n\
    400: this port speaks HTTPS, and the request came as plain HTTP.\n\
    Use https:// here, or wss://, or secure: true in PeerJS.\n";

/// A connection below TLS.
pub(crate) struct TlsPort<T> {
    io: T,
    state: State,
    on_first_bytes: Option<TakeOver<T>>,
}

enum State {
    /// Nothing was read yet.
    New,
    Tls,
    /// The client gets the rest of the answer.
    Answering(&'static [u8]),
    /// Reads until the client has closed its side, because a close with unread input is a reset.
    Draining,
}

impl<T> TlsPort<T> {
    /// Calls `take` with the first bytes that are read. If that is true, it has taken the connection over, and reading fails.
    pub(crate) fn new(io: T, take: impl FnOnce(&T, &[u8]) -> bool + 'static) -> Self {
        TlsPort { io, state: State::New, on_first_bytes: Some(Box::new(take)) }
    }

    pub(super) fn get_ref(&self) -> &T {
        &self.io
    }
}

/// The error that ends a connection after the answer to plain HTTP.
#[derive(Debug, thiserror::Error)]
#[error("the client speaks plain HTTP")]
struct PlainHttp;

/// The error that ends a connection here that was taken over.
#[derive(Debug, thiserror::Error)]
#[error("the connection was taken over")]
struct Taken;

/// True if there was no handshake, because the connection was taken over.
pub(crate) fn is_taken(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Taken>())
}

/// True if a handshake failed because the client speaks plain HTTP.
pub(crate) fn is_plain_http(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<PlainHttp>())
}

/// A method of HTTP begins with a letter; a record of TLS does not (RFC 8446, section 5.1).
pub(crate) fn is_http(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_uppercase)
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsPort<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        loop {
            match this.state {
                State::Tls => return Pin::new(&mut this.io).poll_read(cx, buf),
                State::New => {
                    ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
                    let first = buf.filled().get(before..).unwrap_or_default();
                    if this.on_first_bytes.take().is_some_and(|take| take(&this.io, first)) {
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, Taken)));
                    }
                    if !is_http(first) {
                        this.state = State::Tls;
                        return Poll::Ready(Ok(()));
                    }
                    buf.set_filled(before);
                    this.state = State::Answering(ANSWER);
                }
                State::Answering([]) => {
                    ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
                    this.state = State::Draining;
                }
                State::Answering(rest) => {
                    let written = ready!(Pin::new(&mut this.io).poll_write(cx, rest))?;
                    this.state = State::Answering(rest.get(written..).unwrap_or_default());
                }
                State::Draining => {
                    ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
                    if buf.filled().len() == before {
                        return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, PlainHttp)));
                    }
                    buf.set_filled(before);
                }
            }
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for TlsPort<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<T: ActixStream> ActixStream for TlsPort<T> {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.io.poll_read_ready(cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        self.io.poll_write_ready(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::join;

    use super::*;

    #[tokio::test]
    async fn the_answer_to_plain_http_is_whole_and_everything_is_read() {
        let (mut client, server) = duplex(64);
        let mut port = TlsPort::new(server, |_, _| false);
        let ask = async {
            client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            drop(client);
            answer
        };
        let serve = async {
            let mut buf = [0; 64];
            let error = port.read(&mut buf).await.unwrap_err();
            drop(port);
            error
        };
        let (answer, error) = join!(ask, serve);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
        assert!(is_plain_http(&error), "{error}");
    }
}
