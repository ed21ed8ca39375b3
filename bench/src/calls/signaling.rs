//! Two clients of a broker that describe calls to each other, one after the other.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::stun::Credentials;
use crate::ws;

/// Time limit for each answer of the broker.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Signaling {
    caller: Client,
    callee: Client,
    ids: [String; 2],
}

struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Signaling {
    /// Connects two clients of their own for the calls from number `first` on.
    pub(super) fn open(broker: SocketAddr, first: usize) -> Result<Self> {
        let ids = ["caller", "callee"].map(|side| format!("{side}{first}"));
        let [caller, callee] = &ids;
        Ok(Signaling { caller: Client::open(broker, caller)?, callee: Client::open(broker, callee)?, ids })
    }

    /// Exchanges an offer and an answer through the broker.
    pub(super) fn describe(
        &mut self,
        number: usize,
        offer: &Credentials,
        answer: &Credentials,
    ) -> Result<()> {
        let [caller, callee] = &self.ids;
        self.caller.send(&description("OFFER", callee, number, offer))?;
        ensure!(self.callee.receive()?.contains("candidate:"), "the broker has no relay");
        self.callee.send(&description("ANSWER", caller, number, answer))?;
        ensure!(self.caller.receive()?.contains("candidate:"), "the relay does not take the call");
        Ok(())
    }
}

impl Client {
    fn open(broker: SocketAddr, id: &str) -> Result<Self> {
        let stream = TcpStream::connect(broker).context("cannot connect to the broker")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut client = Client { stream, received: Vec::new() };
        write!(
            client.stream,
            "GET /peerjs?key=peerjs&id={id}&token=t HTTP/1.1\r\nHost: {broker}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n",
            ws::KEY
        )?;
        let end = loop {
            match client.received.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => client.read()?,
            }
        };
        client.received.drain(..end);
        ensure!(client.receive()?.contains("OPEN"), "the broker did not welcome {id}");
        Ok(client)
    }

    fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.stream.write_all(&ws::client_frame(ws::TEXT, text.as_bytes()))?)
    }

    /// The text of the next message.
    fn receive(&mut self) -> Result<String> {
        loop {
            let Some(header) = ws::whole_frame(&self.received) else {
                self.read()?;
                continue;
            };
            let frame: Vec<u8> = self.received.drain(..header.frame_len()).collect();
            let payload = &frame[header.header_len..];
            match header.opcode {
                ws::TEXT => return Ok(String::from_utf8(payload.to_vec())?),
                ws::PING => self.stream.write_all(&ws::client_frame(ws::PONG, payload))?,
                other => anyhow::bail!("the broker sent a frame of kind {other}"),
            }
        }
    }

    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; 16 << 10];
        let count = self.stream.read(&mut buffer).context("the broker says nothing")?;
        ensure!(count > 0, "the broker ended the connection");
        self.received.extend_from_slice(&buffer[..count]);
        Ok(())
    }
}

fn description(kind: &str, to: &str, number: usize, of: &Credentials) -> String {
    let lower = kind.to_lowercase();
    format!(
        r#"{{"type":"{kind}","payload":{{"sdp":{{"type":"{lower}","sdp":"v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\na=mid:0\r\n"}},"type":"data","connectionId":"dc_{number}"}},"dst":"{to}"}}"#,
        of.ufrag, of.pwd
    )
}
