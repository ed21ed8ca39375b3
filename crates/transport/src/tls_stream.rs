//! A server's TLS connection that keeps no buffers while it is idle. With rustls's buffered API each keeps 4
//! KB. A client that speaks plain HTTP gets a readable answer, instead of an alert of TLS. One that speaks
//! neither may be taken over before the handshake.
//!
//! All connections of a worker read into one buffer. Only what is left of it stays with the connection: part
//! of a record, or of a message. The same holds for records that the kernel does not take.

use std::cell::Cell;
use std::cmp;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, WriteTraffic,
};
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy, sink};

use super::TakeOver;
use peerbroker_core::vocabulary::expected;

/// Bytes per read: the largest record (RFC 8446, section 5.2).
const READ: usize = (16 << 10) + 261;

/// Most bytes that wait for the rest of a message. Those of a handshake may have 64 KB.
const MAX_INCOMPLETE: usize = 80 << 10;

/// Most bytes of data in a record (RFC 8446, section 5.1).
const MAX_RECORD: usize = 16 << 10;

/// Bytes of a record beside its data: the head, the nonce, the type and the tag.
const OVERHEAD: usize = 32;

/// The answer to plain HTTP.
const PLAIN_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Access-Control-Allow-Origin: *\r\nCache-Control: no-store\r\nConnection: close\r\nContent-Length: 122\r\n\r\n\
    400: this port speaks HTTPS, and the request came as plain HTTP.\n\
    Use https:// here, or wss://, or secure: true in PeerJS.\n";

thread_local! {
    /// Buffers that the connections of a thread share: for reading, for the data of a record, and for
    /// records.
    static READING: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static DATA: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static RECORDS: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A TLS connection of a client.
pub struct TlsStream<T> {
    io: T,
    tls: UnbufferedServerConnection,
    /// Gets the first bytes.
    take: Option<TakeOver<T>>,
    /// Bytes of the client that are no whole record or message yet.
    incomplete: Vec<u8>,
    /// Data of the client that nobody has read yet.
    unread: Vec<u8>,
    /// Records that the kernel has not taken yet.
    unsent: Vec<u8>,
    end: StreamEnd,
    /// `unsent` has tickets for the client's next connection, which go with the first data: a write of their
    /// own costs more than they do.
    has_tickets: bool,
    /// The last data goes with the end, in one write.
    is_ending: bool,
    /// The server has said that it sends no more.
    is_closed: bool,
}

/// The end of the client's data.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamEnd {
    Open,
    /// The client has said that it sends no more.
    Closed,
    /// The client is gone without a word.
    CutOff,
}

/// The reason why a connection has no handshake.
#[expect(missing_docs, reason = "the messages say it")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTls {
    #[error("the client speaks plain HTTP")]
    PlainHttp,
    #[error("the connection was taken over")]
    TakenOver,
}

impl NoTls {
    /// The reason in the error of [`TlsStream::accept`], if it is one.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// A method of HTTP begins with a letter; a record of TLS does not (RFC 8446, section 5.1).
pub fn is_http(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_uppercase)
}

/// The bytes that a record is likely to need, and a function that makes it in a buffer and returns its
/// length.
type Record<'a> = (
    usize,
    &'a mut dyn FnMut(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, EncryptError>,
);

impl<T: AsyncRead + AsyncWrite + Unpin> TlsStream<T> {
    /// Makes the handshake. If it fails, the client gets the alert that says why. If `take` is true for the
    /// first bytes, it has taken the connection over.
    ///
    /// The stream is boxed from the start: it passes through many hands until a session has it.
    pub async fn accept(
        io: T,
        config: Arc<ServerConfig>,
        take: impl FnOnce(&T, &[u8]) -> bool + 'static,
    ) -> io::Result<Box<Self>> {
        let tls = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let mut stream = Box::new(TlsStream {
            io,
            tls,
            take: Some(Box::new(take)),
            incomplete: Vec::new(),
            unread: Vec::new(),
            unsent: Vec::new(),
            end: StreamEnd::Open,
            has_tickets: false,
            is_ending: false,
            is_closed: false,
        });
        let done = poll_fn(|cx| stream.poll_handshake(cx)).await;
        if done.as_ref().err().and_then(NoTls::of) == Some(NoTls::PlainHttp) {
            stream.io.write_all(PLAIN_ANSWER).await?;
            stream.io.shutdown().await?;
            // Until the client has closed its side, because a close with unread input is a reset.
            copy(&mut stream.io, &mut sink()).await?;
        }
        done.map(|()| stream)
    }

    /// The first byte of the client's data, which stays unread. Nothing at the end.
    pub async fn first(&mut self) -> io::Result<Option<u8>> {
        poll_fn(|cx| {
            while self.unread.is_empty() && self.end == StreamEnd::Open {
                ready!(self.poll_receive(cx, &mut ReadBuf::new(&mut [])))?;
            }
            Poll::Ready(Ok(self.unread.first().copied()))
        })
        .await
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let is_done = !self.tls.is_handshaking();
            if is_done && self.tls.protocol_version() == Some(ProtocolVersion::TLSv1_3) {
                self.has_tickets = true;
                return Poll::Ready(Ok(()));
            }
            let sent = self.poll_send(cx)?;
            // The last message may still wait: the client need not have read it.
            if is_done {
                return Poll::Ready(Ok(()));
            }
            ready!(sent);
            if self.end != StreamEnd::Open {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            ready!(self.poll_receive(cx, &mut ReadBuf::new(&mut [])))?;
        }
    }

    /// Reads once. Data that has no room in `buf` stays unread.
    fn poll_receive(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut bytes = READING.take();
        let received = self.receive(cx, &mut bytes, buf);
        READING.set(bytes);
        if let Poll::Ready(Err(_)) = received {
            // The alert. It does not wait for a client that reads nothing.
            let _ = self.poll_send(cx);
        }
        received
    }

    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Vec<u8>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let kept = self.incomplete.len();
        bytes.resize(kept + READ, 0);
        // After a long message.
        bytes.shrink_to(kept + READ);
        let (before, free) = bytes.split_at_mut(kept);
        before.copy_from_slice(&self.incomplete);
        let mut read = ReadBuf::new(free);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
        let count = read.filled().len();
        if count == 0 {
            self.end = StreamEnd::CutOff;
            return Poll::Ready(Ok(()));
        }
        if let Some(take) = self.take.take() {
            if take(&self.io, read.filled()) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, NoTls::TakenOver)));
            }
            if is_http(read.filled()) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, NoTls::PlainHttp)));
            }
        }
        let bytes = bytes.get_mut(..kept + count).unwrap_or_default();
        let used = self.process(bytes, buf, None)?;
        let rest = expected(bytes.get(used..).ok_or(used), "bytes that are used");
        if rest.len() > MAX_INCOMPLETE {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        self.incomplete = rest.to_vec();
        Poll::Ready(Ok(()))
    }

    /// Processes bytes of the client until there is nothing left to do, and then makes a record. Returns the
    /// number of bytes that are not needed any more.
    fn process(
        &mut self,
        bytes: &mut [u8],
        buf: &mut ReadBuf<'_>,
        record: Option<Record<'_>>,
    ) -> io::Result<usize> {
        let mut used = 0;
        loop {
            let rest = expected(bytes.get_mut(used..).ok_or(used), "bytes that are used");
            let status = self.tls.process_tls_records(rest);
            used += status.discard;
            let failed = match status.state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(data)) = traffic.next_record() {
                        used += data.discard;
                        let room = if self.unread.is_empty() { buf.remaining() } else { 0 };
                        let (now, later) = data.payload.split_at(room.min(data.payload.len()));
                        buf.put_slice(now);
                        self.unread.extend_from_slice(later);
                    }
                    continue;
                }
                Ok(ConnectionState::EncodeTlsData(message)) => {
                    encode(message, &mut self.unsent)?;
                    continue;
                }
                // It waits in `unsent`.
                Ok(ConnectionState::TransmitTlsData(message)) => {
                    message.done();
                    continue;
                }
                Ok(ConnectionState::PeerClosed) => {
                    self.end = StreamEnd::Closed;
                    continue;
                }
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    if let Some((room, make)) = record {
                        append(&mut self.unsent, room, |out| match make(&mut traffic, out) {
                            Err(EncryptError::InsufficientSize(size)) => Err(size),
                            made => Ok(made.map_err(io::Error::other)),
                        })?;
                    }
                    return Ok(used);
                }
                Ok(_) if record.is_some() => return Err(io::ErrorKind::NotConnected.into()),
                Ok(_) => return Ok(used),
                Err(error) => error,
            };
            // rustls has an alert about it.
            let status = self.tls.process_tls_records(bytes.get_mut(used..).unwrap_or_default());
            if let Ok(ConnectionState::EncodeTlsData(alert)) = status.state {
                encode(alert, &mut self.unsent)?;
            }
            return Err(io::Error::new(io::ErrorKind::InvalidData, failed));
        }
    }

    /// Makes a record, and writes as much of it as the kernel takes.
    fn send_record(&mut self, cx: &mut Context<'_>, record: Record<'_>) -> io::Result<()> {
        let mut incomplete = mem::take(&mut self.incomplete);
        let mut records = RECORDS.take();
        records.extend_from_slice(&self.unsent);
        self.unsent = records;
        let made = self.process(&mut incomplete, &mut ReadBuf::new(&mut []), Some(record));
        if let Ok(used) = made {
            incomplete.drain(..used);
        }
        self.incomplete = incomplete;
        made?;
        if self.is_ending && !self.is_closed {
            return Ok(());
        }
        // The next record or a flush writes the rest.
        if let Poll::Ready(sent) = self.poll_send(cx) { sent } else { Ok(()) }
    }

    /// Writes what waits. Pending until the kernel has taken all.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unsent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut sent = 0;
        let outcome = loop {
            let rest = expected(self.unsent.get(sent..).ok_or(sent), "bytes that are sent");
            if rest.is_empty() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.io).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        let mut unsent = mem::take(&mut self.unsent);
        if sent == unsent.len() {
            unsent.clear();
            // Those of a handshake are small.
            RECORDS.set(cmp::max_by_key(RECORDS.take(), unsent, Vec::capacity));
        } else {
            // Not the large buffer for a few bytes.
            self.unsent = unsent.split_off(sent);
        }
        outcome
    }
}

impl<T> TlsStream<T> {
    /// The connection below TLS.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// Keeps the last data back for the shutdown, which follows at once.
    pub fn end(&mut self) {
        self.is_ending = true;
    }

    /// The kind of the handshake, once it is done.
    pub fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.tls.handshake_kind()
    }
}

/// Appends a message of rustls.
fn encode(mut message: EncodeTlsData<'_, ServerConnectionData>, bytes: &mut Vec<u8>) -> io::Result<()> {
    append(bytes, 0, |out| match message.encode(out) {
        Err(EncodeError::InsufficientSize(size)) => Err(size),
        encoded => Ok(encoded.map_err(io::Error::other)),
    })
}

/// Calls `write` with this much room behind the bytes, or with as much as it asks for, and keeps what it has
/// written.
fn append(
    bytes: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<io::Result<usize>, InsufficientSizeError>,
) -> io::Result<()> {
    let before = bytes.len();
    loop {
        bytes.resize(before + room, 0);
        match write(bytes.get_mut(before..).unwrap_or_default()) {
            Ok(Ok(count)) => {
                bytes.truncate(before + count);
                return Ok(());
            }
            Ok(Err(error)) => {
                bytes.truncate(before);
                return Err(error);
            }
            Err(InsufficientSizeError { required_size }) => room = required_size,
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        loop {
            if !this.unread.is_empty() {
                let count = buf.remaining().min(this.unread.len());
                buf.put_slice(this.unread.get(..count).unwrap_or_default());
                this.unread = this.unread.split_off(count);
            }
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            match this.end {
                StreamEnd::Open => {
                    // Answers of rustls go before its client is waited for.
                    if !this.has_tickets {
                        let _ = this.poll_send(cx)?;
                    }
                    ready!(this.poll_receive(cx, buf))?;
                }
                StreamEnd::Closed => return Poll::Ready(Ok(())),
                StreamEnd::CutOff => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // One record waits at most.
        if !mem::take(&mut self.has_tickets) {
            ready!(self.poll_send(cx))?;
        }
        let data = buf.get(..buf.len().min(MAX_RECORD)).unwrap_or_default();
        self.send_record(cx, (data.len() + OVERHEAD, &mut |traffic, out| traffic.encrypt(data, out)))?;
        Poll::Ready(Ok(data.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [one] = bufs {
            return self.poll_write(cx, one);
        }
        let mut data = DATA.take();
        data.clear();
        for buf in bufs {
            let room = MAX_RECORD - data.len();
            data.extend_from_slice(buf.get(..buf.len().min(room)).unwrap_or_default());
        }
        let written = self.as_mut().poll_write(cx, &data);
        DATA.set(data);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_ending {
            ready!(self.poll_send(cx))?;
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !mem::replace(&mut self.is_closed, true) {
            self.send_record(cx, (OVERHEAD, &mut |traffic, out| traffic.queue_close_notify(out)))?;
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::ring::default_provider;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    use rustls::version::{TLS12, TLS13};
    use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::join;
    use tokio_rustls::{TlsConnector, client};

    use super::*;

    fn fixture(name: &str) -> String {
        format!("{}/../../tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))
    }

    fn server() -> Arc<ServerConfig> {
        let chain = CertificateDer::pem_file_iter(fixture("ec-chain.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(fixture("ec-pkcs8.key")).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(builder.with_single_cert(chain.map(Result::unwrap).collect(), key).unwrap())
    }

    async fn accept(io: DuplexStream) -> io::Result<Box<TlsStream<DuplexStream>>> {
        TlsStream::accept(io, server(), |_, _| false).await
    }

    async fn connect(
        io: DuplexStream,
        version: &'static SupportedProtocolVersion,
    ) -> io::Result<client::TlsStream<DuplexStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(fixture("root.pem")).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(&[version]).unwrap().with_root_certificates(roots);
        let connector = TlsConnector::from(Arc::new(builder.with_no_client_auth()));
        connector.connect("localhost".try_into().unwrap(), io).await
    }

    /// Both sides of a connection through a pipe that takes this many bytes at a time.
    async fn pair(
        pipe: usize,
        version: &'static SupportedProtocolVersion,
    ) -> (client::TlsStream<DuplexStream>, Box<TlsStream<DuplexStream>>) {
        let (ours, theirs) = duplex(pipe);
        let (client, server) = join!(connect(theirs, version), accept(ours));
        (client.unwrap(), server.unwrap())
    }

    fn kept(stream: &TlsStream<DuplexStream>) -> usize {
        stream.incomplete.capacity() + stream.unread.capacity() + stream.unsent.capacity()
    }

    async fn nothing_has_come(client: &mut client::TlsStream<DuplexStream>) -> bool {
        let mut wire = [0; 1];
        poll_fn(|cx| {
            let mut buf = ReadBuf::new(&mut wire);
            Poll::Ready(Pin::new(&mut client.get_mut().0).poll_read(cx, &mut buf).is_pending())
        })
        .await
    }

    #[tokio::test]
    async fn data_of_every_size_comes_whole_and_an_idle_connection_keeps_no_buffer() {
        let sizes = [1, 100, MAX_RECORD - 1, MAX_RECORD, MAX_RECORD + 1, 100_000];
        for (pipe, version) in [(7, &TLS13), (3000, &TLS12), (3000, &TLS13), (1 << 20, &TLS13)] {
            let (mut client, mut server) = pair(pipe, version).await;
            for size in sizes {
                let sent: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
                let ask = async {
                    client.write_all(&sent).await.unwrap();
                    client.flush().await.unwrap();
                    let mut echo = vec![0; size];
                    client.read_exact(&mut echo).await.unwrap();
                    assert!(echo == sent, "{size} bytes");
                };
                let serve = async {
                    let mut got = vec![0; size];
                    // With a little room for the first, the rest of the record waits.
                    server.read_exact(&mut got[..1]).await.unwrap();
                    assert_eq!(got[0], 0);
                    server.read_exact(&mut got[1..]).await.unwrap();
                    server.write_all(&got).await.unwrap();
                    server.flush().await.unwrap();
                };
                join!(ask, serve);
                assert_eq!(kept(&server), 0, "after {size} bytes through {pipe}");
            }
        }
    }

    #[tokio::test]
    async fn many_slices_are_one_record() {
        let (mut client, mut server) = pair(1 << 20, &TLS13).await;
        let slices = [&b"a"[..], b"", b"bc", b"d"].map(IoSlice::new);
        assert_eq!(server.write_vectored(&slices).await.unwrap(), 4);
        server.flush().await.unwrap();
        let mut got = [0; 8];
        assert_eq!(client.read(&mut got).await.unwrap(), 4);
        assert_eq!(&got[..4], b"abcd");
    }

    #[tokio::test]
    async fn the_first_byte_stays_unread() {
        let (mut client, mut server) = pair(1 << 20, &TLS13).await;
        client.write_all(b"xy").await.unwrap();
        assert_eq!(server.first().await.unwrap(), Some(b'x'));
        let mut got = [0; 2];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"xy");
        client.shutdown().await.unwrap();
        assert_eq!(server.first().await.unwrap(), None);
    }

    #[tokio::test]
    async fn tickets_go_with_the_first_data() {
        let (mut client, mut server) = pair(1 << 20, &TLS13).await;
        client.write_all(b"ask").await.unwrap();
        server.read_exact(&mut [0; 3]).await.unwrap();
        assert!(nothing_has_come(&mut client).await);
        server.write_all(b"answer").await.unwrap();
        let mut got = [0; 6];
        client.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"answer");
        assert_eq!(client.get_ref().1.tls13_tickets_received(), 2);
        assert_eq!(kept(&server), 0);
    }

    #[tokio::test]
    async fn the_last_data_goes_with_the_end() {
        for size in [3, 2 * MAX_RECORD + 5] {
            let (mut client, mut server) = pair(1 << 20, &TLS13).await;
            server.end();
            server.write_all(&vec![7; size]).await.unwrap();
            server.flush().await.unwrap();
            assert!(size > MAX_RECORD || nothing_has_come(&mut client).await);
            server.shutdown().await.unwrap();
            let mut got = Vec::new();
            client.read_to_end(&mut got).await.unwrap();
            assert_eq!(got, vec![7; size]);
        }
    }

    #[tokio::test]
    async fn an_end_is_told_from_a_break() {
        let (mut client, mut server) = pair(1 << 20, &TLS13).await;
        client.write_all(b"last").await.unwrap();
        client.shutdown().await.unwrap();
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"last");
        // Its other direction is still open.
        server.write_all(b"answer").await.unwrap();
        server.shutdown().await.unwrap();
        got.clear();
        client.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"answer");

        let (client, mut server) = pair(1 << 20, &TLS13).await;
        drop(client);
        assert_eq!(server.read(&mut [0]).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[tokio::test]
    async fn garbage_is_answered_with_an_alert() {
        let (ours, mut theirs) = duplex(1 << 16);
        theirs.write_all(&[22, 3, 1, 0, 5, 1, 0, 0, 1, 9]).await.unwrap();
        let error = accept(ours).await.err().unwrap();
        assert!(error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()), "{error}");
        let mut alert = Vec::new();
        theirs.read_to_end(&mut alert).await.unwrap();
        // An alert (21) that is fatal (2).
        assert_eq!((alert[0], alert[5], alert.len()), (21, 2, 7));
    }

    #[tokio::test]
    async fn the_answer_to_plain_http_is_whole_and_everything_is_read() {
        let (mut client, server) = duplex(64);
        let ask = async {
            client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            drop(client);
            answer
        };
        let (answer, accepted) = join!(ask, accept(server));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{answer}");
        assert_eq!(NoTls::of(&accepted.err().unwrap()), Some(NoTls::PlainHttp));
    }

    #[tokio::test]
    async fn a_record_with_a_wrong_tag_is_answered_with_an_alert() {
        let (mut client, mut server) = pair(1 << 20, &TLS13).await;
        client.get_mut().0.write_all(&[&[23, 3, 3, 0, 32][..], &[7; 32]].concat()).await.unwrap();
        let error = server.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        drop(server);
        let refused = client.read(&mut [0]).await.unwrap_err();
        assert!(refused.to_string().contains("BadRecordMac"), "{refused}");
    }

    #[tokio::test]
    async fn a_message_of_the_handshake_has_a_limit() {
        let (ours, mut theirs) = duplex(1 << 20);
        // Records of a ClientHello that has 16 MB.
        let record = |first: &[u8]| {
            let body = [first, &vec![0; MAX_RECORD - first.len()]].concat();
            [&[22, 3, 1, 0x40, 0], &body[..]].concat()
        };
        let flood = async {
            let _ = theirs.write_all(&record(&[1, 0xff, 0xff, 0xff])).await;
            while theirs.write_all(&record(&[])).await.is_ok() {}
        };
        let (accepted, ()) = join!(accept(ours), flood);
        assert!(accepted.is_err());
    }
}
