//! The PROXY protocol, versions 1 and 2: a TCP proxy sends a header with its client's address in front of the
//! client's data (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>).
//!
//! The crate `ppp` parses whole headers only. That is the smaller part: most of this reads a header and
//! nothing behind it.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;

use super::client_stream::ClientStream;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Longest line of version 1 (section 2.1).
const MAX_LINE: usize = 107;

/// Bytes of version 2 in front of its fields, the signature included (section 2.2).
const HEAD: usize = 16;

/// Most bytes of the fields of version 2: addresses, and what a proxy knows of its client's TLS.
const MAX_FIELDS: usize = 4096;

/// True if a connection begins with a header.
pub fn is_header(first: &[u8]) -> bool {
    first.starts_with(V1) || first.starts_with(V2)
}

/// Reads the header of a connection, if it has one. `None` if no client is named, as in a health check of the
/// proxy itself.
pub async fn read_client(io: &mut ClientStream) -> io::Result<Option<SocketAddr>> {
    let mut first = [0; V2.len()];
    let Some(tcp) = io.as_tcp() else { return Ok(None) };
    let count = tcp.peek(&mut first).await?;
    let seen = first.get(..count).unwrap_or_default();
    // A proxy sends a header at once, but the network may split it.
    let may_be = |signature: &[u8]| count > 0 && seen.iter().zip(signature).all(|(a, b)| a == b);
    if !may_be(V1) && !may_be(V2) {
        return Ok(None);
    }
    let mut header = vec![0; V2.len()];
    io.read_exact(&mut header).await?;
    if header == V2 {
        extend(io, &mut header, HEAD - V2.len()).await?;
        let fields = fields_len(&header);
        extend(io, &mut header, fields).await?;
    } else {
        while !header.ends_with(b"\n") && header.len() < MAX_LINE {
            let count = line_rest(io.as_tcp(), MAX_LINE - header.len()).await?;
            extend(io, &mut header, count).await?;
        }
    }
    parse(&header).ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Reads this many bytes more.
async fn extend(io: &mut (impl AsyncRead + Unpin), header: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let had = header.len();
    header.resize(had + count, 0);
    io.read_exact(header.get_mut(had..).unwrap_or_default()).await.map(drop)
}

/// The bytes that are here up to the end of the line; at most `most`.
async fn line_rest(tcp: Option<&TcpStream>, most: usize) -> io::Result<usize> {
    let mut here = [0; MAX_LINE];
    let here = here.get_mut(..most).unwrap_or_default();
    let count = match tcp {
        Some(tcp) => tcp.peek(here).await?,
        None => 0,
    };
    let line = here.iter().take(count).position(|byte| *byte == b'\n');
    if count == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(line.map_or(count, |end| end + 1)) }
}

/// The length of the fields, as the head says. Longer ones make the header invalid.
fn fields_len(head: &[u8]) -> usize {
    let len = head.last_chunk().map_or(0, |len| usize::from(u16::from_be_bytes(*len)));
    if len <= MAX_FIELDS { len } else { 0 }
}

/// The client that a whole header names. The outer `None` means that the header is invalid.
pub fn parse(header: &[u8]) -> Option<Option<SocketAddr>> {
    if header.starts_with(V2) { parse_v2(header) } else { parse_v1(header) }
}

fn parse_v1(line: &[u8]) -> Option<Option<SocketAddr>> {
    let line = str::from_utf8(line).ok()?.strip_prefix("PROXY ")?.strip_suffix("\r\n")?;
    let mut words = line.split(' ');
    let is_ipv4 = match words.next()? {
        "UNKNOWN" => return Some(None),
        "TCP4" => true,
        "TCP6" => false,
        _ => return None,
    };
    let mut address = || words.next()?.parse().ok().filter(|ip: &IpAddr| ip.is_ipv4() == is_ipv4);
    let client = address()?;
    address()?;
    let mut port = || words.next()?.parse().ok();
    let of_client: u16 = port()?;
    port()?;
    words.next().is_none().then_some(Some((client, of_client).into()))
}

fn parse_v2(header: &[u8]) -> Option<Option<SocketAddr>> {
    let (head, fields) = header.split_at_checked(HEAD)?;
    let kind = [*head.get(12)?, *head.get(13)?];
    if fields.len() != usize::from(u16::from_be_bytes(*head.last_chunk()?)) {
        return None;
    }
    let port = |at: usize| Some(u16::from_be_bytes(*fields.get(at..)?.first_chunk()?));
    match kind {
        // LOCAL: the proxy itself.
        [0x20, _] => Some(None),
        // TCP over IPv4, and over IPv6: two addresses, then two ports.
        [0x21, 0x11] => {
            let client: Ipv4Addr = (*fields.first_chunk::<4>()?).into();
            port(10).and(Some(Some((client, port(8)?).into())))
        }
        [0x21, 0x21] => {
            let client: IpAddr = (*fields.first_chunk::<16>()?).into();
            port(34).and(Some(Some((client, port(32)?).into())))
        }
        // Other kinds, as of a Unix socket, name nobody.
        [0x21, _] => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn v2(command: u8, family: u8, fields: &[u8]) -> Vec<u8> {
        [V2, &[command, family], &(fields.len() as u16).to_be_bytes(), fields].concat()
    }

    #[test]
    fn headers_name_the_client_of_the_proxy() {
        let four = [192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0, 80];
        let six = "2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets();
        let six = [&six[..], &six, &[0x30, 0x39, 0, 80]].concat();
        let with_tlv = [&four[..], &[4, 0, 1, 9]].concat();
        let client = Some("192.0.2.7:12345".parse().unwrap());
        for (header, named) in [
            (b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 80\r\n".to_vec(), client),
            (
                b"PROXY TCP6 2001:db8::7 2001:db8::1 12345 80\r\n".to_vec(),
                Some("[2001:db8::7]:12345".parse().unwrap()),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::1 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &four), client),
            (v2(0x21, 0x11, &with_tlv), client),
            (v2(0x21, 0x21, &six), Some("[2001:db8::7]:12345".parse().unwrap())),
            (v2(0x20, 0, &[]), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            assert_eq!(parse(&header), Some(named), "{header:?}");
        }
        for wrong in [
            &b"PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n"[..],
            b"PROXY TCP4 192.0.2.7 198.51.100.1 65536 80\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n",
            b"PROXY SCTP 192.0.2.7 198.51.100.1 1 2\r\n",
            &v2(0x21, 0x11, &four[..11]),
            &v2(0x31, 0x11, &four),
            &v2(0x22, 0x11, &four),
            &v2(0x21, 0x11, &four)[..27],
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn every_address_is_read_as_it_was_written(client: SocketAddr, proxy: IpAddr) {
            prop_assume!(client.is_ipv4() == proxy.is_ipv4());
            let client = SocketAddr::new(client.ip(), client.port());
            let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
            let line = format!("PROXY {family} {} {proxy} {} 443\r\n", client.ip(), client.port());
            prop_assert_eq!(parse(line.as_bytes()), Some(Some(client)));
            let bytes = |ip| match ip {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            let ports = [client.port().to_be_bytes(), [1, 187]].concat();
            let fields = [bytes(client.ip()), bytes(proxy), ports].concat();
            let header = v2(0x21, if client.is_ipv4() { 0x11 } else { 0x21 }, &fields);
            prop_assert_eq!(parse(&header), Some(Some(client)));
        }
    }

    /// The connection of a client that sends these parts one after the other, and what is read of it.
    async fn read(parts: &[&[u8]]) -> (io::Result<Option<SocketAddr>>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let mut io = ClientStream::Tcp(listener.accept().await.unwrap().0);
        let send = async {
            for part in parts {
                client.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
        };
        let (named, ()) = tokio::join!(read_client(&mut io), send);
        let mut rest = Vec::new();
        io.read_to_end(&mut rest).await.unwrap();
        (named, rest)
    }

    #[tokio::test]
    async fn only_the_header_is_read() {
        let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 12345 80\r\n";
        let binary = v2(0x21, 0x11, &[192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0, 80]);
        let client = Some("192.0.2.7:12345".parse().unwrap());
        let second = b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n";
        for header in [&line[..], &binary] {
            for parts in [
                vec![[header, second, b"GET /"].concat()],
                header.iter().map(|byte| vec![*byte]).chain([[&second[..], b"GET /"].concat()]).collect(),
            ] {
                let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                let (named, rest) = read(&parts).await;
                assert_eq!((named.unwrap(), rest), (client, [&second[..], b"GET /"].concat()));
            }
        }
        for plain in [&b"POST / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"\r\n\r\nGET /", b""] {
            let (named, rest) = read(&[plain]).await;
            assert_eq!((named.unwrap(), &*rest), (None, plain));
        }
    }

    #[tokio::test]
    async fn a_header_has_an_end() {
        let long = [V1, &[b'1'; 200]].concat();
        let fields = [V2, &[0x21, 0x11, 0xff, 0xff], &[0; 5000]].concat();
        for (wrong, unread) in
            [(&long[..], long.len() - MAX_LINE), (&fields, 5000), (b"PROXY TCP4 192.0.2.7", 0), (&V2[..5], 0)]
        {
            let (named, rest) = read(&[wrong]).await;
            assert!(named.is_err() && rest.len() == unread, "{named:?}, {} bytes unread", rest.len());
        }
    }
}
