//! Connections that a peer makes and takes: descriptions, then a pipe.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rand::random;
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::address::{Address, encoded};
use crate::connection::{About, Connection};
use crate::error::{ConnectError, OpenError};
use crate::line::Line;
use crate::options::{ConnectOptions, Options};
use crate::pipe::Lost;
use crate::registry::{Awaited, Registration, Registry};
use crate::safety::Exchange;
use crate::sdp;
use crate::seal::{Offered, Pair, Role};
use crate::session::Session;
use crate::signals::{DATA, Description, Sdp};
use crate::socket::Dial;
use peerbroker_serialization::Serialization;

/// The timeout of an answer. Browsers throttle pages that nobody sees.
const ANSWER: Duration = Duration::from_secs(30);
/// The timeout of a pipe, behind which the broker has said why.
const OPENING: Duration = Duration::from_secs(45);

pub(crate) struct Calls {
    pub(crate) id: String,
    pub(crate) address: Address,
    pub(crate) options: Options,
    pub(crate) dial: Arc<dyn Dial>,
    /// To the broker.
    pub(crate) frames: mpsc::Sender<String>,
    pub(crate) registry: Arc<Registry>,
    /// The reason why the broker does not take the peer back.
    pub(crate) end: OnceLock<Arc<OpenError>>,
}

/// The terms of a connection, by its descriptions.
struct Agreed {
    peer: String,
    label: String,
    metadata: Option<Json>,
    serialization: Serialization,
    protocol: Option<String>,
    exchange: Exchange,
    is_json_text: bool,
    registration: Registration,
}

impl Calls {
    /// Sends a message to the broker, or waits until it is back.
    async fn send(&self, frame: String) -> Result<(), ConnectError> {
        self.frames.send(frame).await.map_err(|_| self.closed())
    }

    fn closed(&self) -> ConnectError {
        ConnectError::Closed(self.end.get().cloned())
    }

    /// Another end's line of a pipe.
    fn other(&self, peer: &str, description: &Description) -> Result<Offered, ConnectError> {
        let no_script = || ConnectError::NoScript(peer.to_owned(), self.address.clone());
        sdp::read(description.sdp()).ok_or_else(no_script)
    }

    /// Connects to a peer.
    pub(crate) async fn connect(
        &self,
        id: &str,
        options: ConnectOptions,
    ) -> Result<Connection, ConnectError> {
        let ConnectOptions { label, metadata, serialization, protocols } = options;
        let connection_id = format!("dc_{:016x}", random::<u64>());
        let pair = Pair::new();
        let mut exchange = Exchange::new();
        let label = label.unwrap_or_else(|| connection_id.clone());
        let offer = Description {
            sdp: Some(Sdp { kind: "offer".to_owned(), sdp: sdp::write(&pair.own, None) }),
            metadata: metadata.clone(),
            label: Some(label.clone()),
            reliable: Some(true),
            serialization: Some(serialization.name().to_owned()),
            safety: Some(exchange.commitment()),
            protocols: protocols.clone(),
            ..Description::new(&connection_id)
        };
        let (answered, answer) = oneshot::channel();
        let registration = self.registry.register(id, &connection_id, Awaited::Answer(answered))?;
        let answering = async {
            self.send(offer.to("OFFER", id)).await?;
            answer.await.map_err(|_| self.closed())?
        };
        let unanswered = |_| ConnectError::Unanswered(id.to_owned());
        let answer = timeout(ANSWER, answering).await.map_err(unanswered)??;
        let other = self.other(id, &answer)?;
        if answer.safety.is_some() {
            let safety = Some(exchange.nonce().to_owned());
            self.send(Description { safety, ..Description::new(&connection_id) }.to("CANDIDATE", id)).await?;
        }
        exchange.answered(answer.safety);
        let protocol = answer.protocol.filter(|protocol| protocols.contains(protocol));
        let peer = id.to_owned();
        let is_json_text = answer.browser.is_some();
        let agreed =
            Agreed { peer, label, metadata, serialization, protocol, exchange, is_json_text, registration };
        self.open(&pair, Role::Offerer, other, agreed).await
    }

    /// Answers an offer, and opens the connection.
    pub(crate) async fn answer(&self, src: String, offer: Description) -> Result<Connection, ConnectError> {
        if offer.kind != DATA {
            return Err(ConnectError::NotData(src));
        }
        let other = self.other(&src, &offer)?;
        let unknown = |unknown| ConnectError::Serialization(src.clone(), unknown);
        let serialization = offer.serialization().map_err(unknown)?;
        let connection_id = offer.connection_id.clone();
        let (nonce, opening) = watch::channel(None);
        let registration = self.registry.register(&src, &connection_id, Awaited::Nonce(nonce))?;
        let pair = Pair::new();
        let mut exchange = Exchange::new();
        let protocols = &offer.protocols;
        let protocol = self.options.protocols.iter().find(|protocol| protocols.contains(protocol)).cloned();
        let answer = Description {
            sdp: Some(Sdp { kind: "answer".to_owned(), sdp: sdp::write(&pair.own, Some(offer.sdp())) }),
            safety: offer.safety.as_ref().map(|_| exchange.nonce().to_owned()),
            protocol: protocol.clone(),
            ..Description::new(&connection_id)
        };
        self.send(answer.to("ANSWER", &src)).await?;
        exchange.offered(offer.safety, opening);
        let label = offer.label.unwrap_or(connection_id);
        let metadata = offer.metadata;
        let is_json_text = offer.browser.is_some();
        let agreed = Agreed {
            peer: src,
            label,
            metadata,
            serialization,
            protocol,
            exchange,
            is_json_text,
            registration,
        };
        self.open(&pair, Role::Answerer, other, agreed).await
    }

    async fn open(
        &self,
        pair: &Pair,
        role: Role,
        other: Offered,
        agreed: Agreed,
    ) -> Result<Connection, ConnectError> {
        let Agreed { peer, label, metadata, serialization, protocol, exchange, is_json_text, registration } =
            agreed;
        let keys = pair.keys(role, &other).ok_or_else(|| ConnectError::Key(peer.clone()))?;
        let binding = keys.binding;
        let id = if role == Role::Offerer { pair.own.id } else { other.id };
        let line = Line::new(Arc::clone(&self.dial), self.path_of_pipe(&id));
        let (traffic, opened) = Session::start(line, keys, role, label.clone());
        match timeout(OPENING, opened).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(traffic.lost.get().cloned().unwrap_or(Lost::Left).into()),
            Err(_) => return Err(Lost::Alone.into()),
        }
        let about = About {
            peer,
            label,
            metadata,
            serialization: if protocol.is_some() { Serialization::Raw } else { serialization },
            protocol,
            is_caller: role == Role::Offerer,
            binding,
            keys: [pair.own.key, other.key],
            exchange,
            is_json_text,
            _registration: registration,
        };
        Ok(Connection::new(about, traffic, self.options.max_message_bytes))
    }

    /// The pipe of an offer, with an end of its own.
    fn path_of_pipe(&self, id: &[u8; 16]) -> String {
        let key = self.address.encoded_key();
        let end = sdp::text(&random::<[u8; 16]>());
        let pipe = format!("{}pipe/{}?key={key}&end={end}", self.address.path, sdp::text(id));
        match &self.options.token {
            Some(token) => format!("{pipe}&peer={}&token={}", encoded(&self.id), encoded(token)),
            None => pipe,
        }
    }
}
