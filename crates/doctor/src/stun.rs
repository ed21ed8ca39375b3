//! Questions to STUN and TURN servers, over UDP, TCP and TLS (RFC 8489, RFC 8656).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use stun_proto::auth::{LongTermClientAuth, LongTermClientValidation};
use stun_types::attribute::{ErrorCode, XorMappedAddress};
use stun_types::message::{
    BINDING, LongTermCredentials, Message, MessageClass, MessageWrite as _, MessageWriteExt as _,
    MessageWriteVec, Method,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use turn_types::attribute::{Lifetime, RequestedTransport, XorRelayedAddress};
use turn_types::message::{ALLOCATE, REFRESH};

use super::http::Stream;
use super::reach::has_no_route;
use super::tls;

/// Wait of each copy of a datagram for its answer (RFC 8489, section 6.2.1, with fewer copies).
const WAITS: &[Duration] = &[Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// The timeout of a connection, and of an answer on it.
const STREAM_TIMEOUT: Duration = Duration::from_secs(5);
const HEADER: usize = 20;
/// Bytes of the length in front of a framed message.
const LENGTH: usize = 2;
/// Most bytes of an answer.
const MAX_BYTES: usize = 2048;
/// UDP, as the number of a protocol (RFC 8656, section 18.8): the one that browsers request.
const UDP: u8 = 17;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
    Tls,
    /// TCP, with the length of each message in front (RFC 4571), as in ICE.
    FramedTcp,
}

impl Transport {
    /// The protocol that firewalls see.
    pub(super) fn protocol(self) -> &'static str {
        if self == Transport::Udp { "UDP" } else { "TCP" }
    }
}

/// The reason why a server gives no answer that helps.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No route: this machine has no network of that address family.
    NoRoute,
    /// No answer comes.
    Silent,
    /// Nothing listens there.
    Closed,
    /// The connection fails, or the answer makes no sense.
    Broken(String),
    /// The server refuses.
    Error { code: u16, reason: String },
}

/// A way to a server.
pub(super) enum Connection {
    Datagrams(UdpSocket),
    Stream { stream: Box<dyn Stream>, is_framed: bool },
}

impl Connection {
    /// Opens a way to a server. Also returns the certificates that the server has shown over TLS.
    pub(super) async fn open(
        address: SocketAddr,
        host: &str,
        transport: Transport,
    ) -> Result<(Self, Vec<CertificateDer<'static>>), Trouble> {
        let opening = async {
            let mut chain = Vec::new();
            let stream: Box<dyn Stream> = match transport {
                Transport::Udp => {
                    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                    let socket = UdpSocket::bind(any).await?;
                    socket.connect(address).await?;
                    return Ok::<_, io::Error>((Connection::Datagrams(socket), chain));
                }
                Transport::Tcp | Transport::FramedTcp => Box::new(TcpStream::connect(address).await?),
                Transport::Tls => {
                    let stream = tls::connect(address, host, &[]).await?;
                    chain = tls::chain(&stream);
                    Box::new(stream)
                }
            };
            Ok((Connection::Stream { stream, is_framed: transport == Transport::FramedTcp }, chain))
        };
        Ok(timeout(STREAM_TIMEOUT, opening).await.map_err(io::Error::from)??)
    }

    /// Asks for the address of this machine as the server sees it.
    pub(super) async fn bind(&mut self) -> Result<SocketAddr, Trouble> {
        let answer = self.ask(begin(BINDING).finish()).await?;
        let answer = Message::from_bytes(&answer).map_err(nonsense)?;
        accepted(&answer)?;
        let mapped: XorMappedAddress = answer.attribute().map_err(nonsense)?;
        Ok(mapped.addr(answer.transaction_id()))
    }

    /// Takes an address at a TURN server, and gives it back.
    pub(super) async fn allocate(&mut self, credentials: LongTermCredentials) -> Result<SocketAddr, Trouble> {
        let mut auth = LongTermClientAuth::new();
        auth.set_credentials(credentials);
        let mut refusal = Trouble::Silent;
        // The first answer demands credentials. Its nonce may be stale at once, if the server was restarted.
        for _ in 0..3 {
            let mut request = begin(ALLOCATE);
            add(request.add_attribute(&RequestedTransport::new(UDP)))?;
            let answer = self.ask(add(auth.sign_outgoing_message(request))?.finish()).await?;
            let answer = Message::from_bytes(&answer).map_err(nonsense)?;
            let validated = auth.validate_incoming_message(&answer);
            refusal = match accepted(&answer) {
                Err(refusal) => refusal,
                Ok(()) => {
                    validated.map_err(nonsense)?;
                    let relayed: XorRelayedAddress = answer.attribute().map_err(nonsense)?;
                    let mut goodbye = begin(REFRESH);
                    add(goodbye.add_attribute(&Lifetime::new(0)))?;
                    // If that is lost, the allocation expires.
                    let _ = self.ask(add(auth.sign_outgoing_message(goodbye))?.finish()).await;
                    return Ok(relayed.addr(answer.transaction_id()));
                }
            };
            if !matches!(validated, Ok(LongTermClientValidation::ResendRequest(_))) {
                break;
            }
        }
        Err(refusal)
    }

    /// Sends a request, and waits for its answer.
    async fn ask(&mut self, request: Vec<u8>) -> Result<Vec<u8>, Trouble> {
        let waits = if matches!(self, Connection::Datagrams(_)) { WAITS } else { &[STREAM_TIMEOUT] };
        for wait in waits {
            if let Ok(answer) = timeout(*wait, self.exchange(&request)).await {
                return Ok(answer?);
            }
        }
        Err(Trouble::Silent)
    }

    async fn exchange(&mut self, request: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Connection::Datagrams(socket) => {
                socket.send(request).await?;
                loop {
                    let mut answer = Vec::with_capacity(MAX_BYTES);
                    socket.recv_buf(&mut answer).await?;
                    if is_answer(request, &answer) {
                        return Ok(answer);
                    }
                }
            }
            Connection::Stream { stream, is_framed } => {
                let length = u16::try_from(request.len()).map_err(io::Error::other)?.to_be_bytes();
                let front: &[u8] = if *is_framed { &length } else { &[] };
                stream.write_all(&[front, request].concat()).await?;
                stream.flush().await?;
                if *is_framed {
                    stream.read_exact(&mut [0; LENGTH]).await?;
                }
                let mut header = [0; HEADER];
                stream.read_exact(&mut header).await?;
                let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
                if !is_answer(request, &header) || length > MAX_BYTES {
                    return Err(io::Error::other("the answer is not STUN"));
                }
                let mut answer = header.to_vec();
                answer.resize(HEADER.saturating_add(length), 0);
                stream.read_exact(answer.get_mut(HEADER..).unwrap_or_default()).await?;
                Ok(answer)
            }
        }
    }
}

/// True if these bytes begin with the header of an answer to a request: they have its cookie and its
/// transaction.
fn is_answer(request: &[u8], answer: &[u8]) -> bool {
    answer.len() >= HEADER && answer.get(4..HEADER) == request.get(4..HEADER)
}

fn begin(method: Method) -> MessageWriteVec {
    Message::builder_request(method, MessageWriteVec::new())
}

/// Only names that are too long cannot be added.
fn add<T, E: std::fmt::Display>(added: Result<T, E>) -> Result<T, Trouble> {
    added.map_err(|error| Trouble::Broken(error.to_string()))
}

/// The error of an answer, if it has one.
fn accepted(answer: &Message<'_>) -> Result<(), Trouble> {
    if answer.has_class(MessageClass::Success) {
        return Ok(());
    }
    let error: ErrorCode = answer.attribute().map_err(nonsense)?;
    Err(Trouble::Error { code: error.code(), reason: error.reason().to_owned() })
}

fn nonsense<E>(_: E) -> Trouble {
    Trouble::Broken("the answer makes no sense".to_owned())
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Trouble::Closed,
            // Some firewalls say of a host that it cannot be reached.
            io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => Trouble::Silent,
            _ if has_no_route(&error) => Trouble::NoRoute,
            _ => Trouble::Broken(error.to_string()),
        }
    }
}
