//! Messages as lines: texts for people, JSON for scripts.

use std::io;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use peerbroker_peer::Value;
use serde_json::{Map, Value as Json, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::streams::{Incoming, Outgoing, is_closed};

/// Most bytes of a line of text. A longer line is more than one message.
const MAX_LINE: u64 = 1 << 20;
/// Most bytes of a line of JSON: a message of 64 MiB, in base64.
const MAX_JSON_LINE: u64 = 96 << 20;
/// Messages that wait for a connection, and lines that wait for stdout.
const QUEUE: usize = 16;

/// Talks to a page until one of both has ended. True if our input has. A process need not read all.
pub(crate) async fn talk(
    to: &mut Outgoing<Value>,
    from: &mut Incoming<Value>,
    input: &mut (impl AsyncBufRead + Unpin),
    output: impl AsyncWrite,
    is_process: bool,
) -> io::Result<bool> {
    let outward = async {
        while let Some(line) = next_line(input, MAX_LINE).await? {
            to.send(Value::Text(line)).await?;
        }
        Ok(true)
    };
    let inward = async {
        let mut output = pin!(output);
        while let Some(message) = from.next().await {
            let mut line = match message? {
                Value::Text(text) => text.into_bytes(),
                Value::Bytes(bytes) => bytes.into(),
                value => to_json(value).to_string().into_bytes(),
            };
            line.push(b'\n');
            let written = output.write_all(&line).await.and(output.flush().await);
            if !(is_process && is_closed(&written)) {
                written?;
            }
        }
        Ok(false)
    };
    tokio::select! { ended = outward => ended, ended = inward => ended }
}

/// The next line without its end. `None` at the end of the input.
async fn next_line(input: &mut (impl AsyncBufRead + Unpin), most: u64) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    if input.take(most).read_until(b'\n', &mut line).await? == 0 {
        return Ok(None);
    }
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    Ok(Some(String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()))
}

/// All connections of a script: their messages are its lines.
pub(crate) struct Hub {
    lines: mpsc::Sender<String>,
    peers: Mutex<Vec<(String, mpsc::Sender<Value>)>>,
}

impl Hub {
    /// The hub, and the lines for stdout.
    pub(crate) fn new() -> (Self, mpsc::Receiver<String>) {
        let (lines, written) = mpsc::channel(QUEUE);
        (Hub { lines, peers: Mutex::default() }, written)
    }

    /// Passes the messages of a connection until its end, or the end of the hub's input.
    pub(crate) async fn serve(
        &self,
        peer: &str,
        to: &mut Outgoing<Value>,
        from: &mut Incoming<Value>,
    ) -> io::Result<()> {
        let (queue, mut messages) = mpsc::channel(QUEUE);
        self.with_peers(|peers| peers.push((peer.to_owned(), queue)));
        self.write(peer, r#""event":"open""#).await?;
        let outward = async {
            while let Some(message) = messages.recv().await {
                to.send(message).await?;
            }
            Ok(())
        };
        let inward = async {
            while let Some(message) = from.next().await {
                self.write(peer, &format!(r#""data":{}"#, to_json(message?))).await?;
            }
            Ok::<_, io::Error>(())
        };
        let ended = tokio::select! { ended = outward => ended, ended = inward => ended };
        drop(messages);
        self.with_peers(|peers| peers.retain(|(_, queue)| !queue.is_closed()));
        let error =
            ended.as_ref().err().map(|error| format!(r#","error":{}"#, Json::from(error.to_string())));
        self.write(peer, &format!(r#""event":"close"{}"#, error.unwrap_or_default())).await?;
        ended
    }

    /// Sends the script's lines until there are no more. `complain` hears of wrong ones.
    pub(crate) async fn read(
        &self,
        input: &mut (impl AsyncBufRead + Unpin),
        complain: impl Fn(String),
    ) -> io::Result<()> {
        let mut number = 0;
        while let Some(line) = next_line(input, MAX_JSON_LINE).await? {
            number += 1;
            let sent = match parse(&line) {
                Ok((to, data)) => self.send(to.as_deref(), &data).await,
                Err(why) => Err(why),
            };
            if let Err(why) = sent {
                complain(format!("line {number}: {why}"));
            }
        }
        Ok(())
    }

    /// Ends all connections behind what waits for them.
    pub(crate) fn end(&self) {
        self.with_peers(Vec::clear);
    }

    /// Sends to all connections of a peer, or to all. Waits for the slowest.
    async fn send(&self, to: Option<&str>, data: &Value) -> Result<(), String> {
        let queues: Vec<_> = self.with_peers(|peers| {
            let wanted = peers.iter().filter(|(peer, _)| to.is_none_or(|to| to == peer));
            wanted.map(|(_, queue)| queue.clone()).collect()
        });
        if let (Some(to), true) = (to, queues.is_empty()) {
            return Err(format!("{to:?} is not connected"));
        }
        for queue in queues {
            // An error means that the connection has just ended.
            drop(queue.send(data.clone()).await);
        }
        Ok(())
    }

    /// Writes a line with these members. `from` is first: so a shell can read the line without a parser.
    async fn write(&self, peer: &str, members: &str) -> io::Result<()> {
        let line = format!(r#"{{"from":{},{members}}}"#, Json::from(peer));
        self.lines.send(line).await.map_err(|_| io::Error::other("stdout is closed"))
    }

    fn with_peers<T>(&self, use_them: impl FnOnce(&mut Vec<(String, mpsc::Sender<Value>)>) -> T) -> T {
        use_them(&mut self.peers.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes lines as they come.
pub(crate) async fn write_lines(
    mut lines: mpsc::Receiver<String>,
    mut output: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    while let Some(line) = lines.recv().await {
        output.write_all(format!("{line}\n").as_bytes()).await?;
        output.flush().await?;
    }
    Ok(())
}

/// Reads `{"to":"ID","data":…}`.
fn parse(line: &str) -> Result<(Option<String>, Value), String> {
    const EXPECTED: &str = r#"expected {"to":"ID","data":…}, or without "to" for all"#;
    let mut object: Map<String, Json> =
        serde_json::from_str(line).map_err(|error| format!("{EXPECTED}: {error}"))?;
    let to = match object.remove("to") {
        None => None,
        Some(Json::String(id)) => Some(id),
        Some(other) => return Err(format!("{EXPECTED}; \"to\" is {other}")),
    };
    let data = object.remove("data").ok_or_else(|| format!("{EXPECTED}; \"data\" is missing"))?;
    if let Some(name) = object.keys().next() {
        return Err(format!("{EXPECTED}; there is no {name:?}"));
    }
    Ok((to, from_json(data)))
}

/// The message as JSON. Bytes are `{"bytes":"base64"}`.
fn to_json(value: Value) -> Json {
    match value {
        Value::Undefined | Value::Null => Json::Null,
        Value::Bool(is) => is.into(),
        // JavaScript writes 5, not 5.0.
        Value::Number(number) if number as i64 as f64 == number => (number as i64).into(),
        Value::Number(number) => number.into(),
        Value::Text(text) => text.into(),
        Value::Bytes(bytes) => json!({"bytes": STANDARD.encode(bytes)}),
        Value::Array(values) => values.into_iter().map(to_json).collect(),
        Value::Object(members) => {
            Json::Object(members.into_iter().map(|(name, value)| (name, to_json(value))).collect())
        }
    }
}

/// The message that `to_json` shows.
fn from_json(json: Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(is) => Value::Bool(is),
        Json::Number(number) => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Value::Text(text),
        Json::Array(values) => Value::Array(values.into_iter().map(from_json).collect()),
        Json::Object(members) => {
            match members.get("bytes").and_then(Json::as_str).map(|bytes| STANDARD.decode(bytes)) {
                Some(Ok(bytes)) if members.len() == 1 => Value::Bytes(bytes.into()),
                _ => {
                    Value::Object(members.into_iter().map(|(name, value)| (name, from_json(value))).collect())
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future::join;
    use futures_util::{sink, stream};
    use proptest::prelude::*;
    use tokio::io::{BufReader, duplex, empty};
    use tokio::runtime;

    use super::*;

    /// Messages that were sent, and the direction that sends them.
    fn sent() -> (Outgoing<Value>, mpsc::UnboundedReceiver<Value>) {
        let (to, sent) = mpsc::unbounded_channel();
        let to = sink::unfold(to, |to, message| async {
            to.send(message).map_err(|_| io::ErrorKind::BrokenPipe)?;
            Ok(to)
        });
        (Box::pin(to), sent)
    }

    fn silent() -> Incoming<Value> {
        Box::pin(stream::pending())
    }

    /// The next line for the script.
    async fn heard(lines: &mut mpsc::Receiver<String>) -> String {
        lines.recv().await.unwrap()
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[tokio::test]
    async fn lines_of_the_input_are_texts_until_its_end() {
        let (mut to, mut sent) = sent();
        let long = "x".repeat(MAX_LINE as usize + 1);
        let input = format!("one\r\n\ntwo\n{long}\nlast");
        assert!(talk(&mut to, &mut silent(), &mut input.as_bytes(), Vec::new(), false).await.unwrap());
        drop(to);
        let mut texts = Vec::new();
        while let Some(message) = sent.recv().await {
            texts.push(message);
        }
        assert_eq!(texts, ["one", "", "two", &long[1..], "x", "last"].map(text));
    }

    #[tokio::test]
    async fn messages_are_lines_until_the_page_closes() {
        let messages = [
            text("a \u{1b} b"),
            Value::Bytes(vec![0xff, 0].into()),
            Value::Array(vec![Value::Null, Value::Bool(true), Value::Number(1.5)]),
        ];
        let mut from: Incoming<Value> = Box::pin(stream::iter(messages.map(Ok)));
        let (input, _open) = duplex(1);
        let mut output = Vec::new();
        let ended = talk(&mut sent().0, &mut from, &mut BufReader::new(input), &mut output, false).await;
        assert!(!ended.unwrap());
        assert_eq!(output, b"a \x1b b\n\xff\0\n[null,true,1.5]\n");
        let mut broken: Incoming<Value> = Box::pin(stream::iter([Err(io::ErrorKind::UnexpectedEof.into())]));
        let (input, _open) = duplex(1);
        assert!(
            talk(&mut sent().0, &mut broken, &mut BufReader::new(input), &mut output, false).await.is_err()
        );
    }

    #[tokio::test]
    async fn a_script_hears_of_all_and_answers_one_or_all() {
        let (hub, mut lines) = Hub::new();
        let hub = Arc::new(hub);
        let mut peers = Vec::new();
        for (peer, broken) in [("ada", false), ("bert", true)] {
            let (mut to, sent) = sent();
            let (from, messages) = mpsc::channel::<io::Result<Value>>(1);
            let hub = Arc::clone(&hub);
            tokio::spawn(async move {
                let messages = stream::unfold(messages, |mut all| async { Some((all.recv().await?, all)) });
                hub.serve(peer, &mut to, &mut (Box::pin(messages) as Incoming<Value>)).await
            });
            assert_eq!(heard(&mut lines).await, format!(r#"{{"from":"{peer}","event":"open"}}"#));
            from.send(Ok(Value::Object(vec![("n".to_owned(), Value::Bytes(vec![1].into()))]))).await.unwrap();
            let data = r#"{"n":{"bytes":"AQ=="}}"#;
            assert_eq!(heard(&mut lines).await, format!(r#"{{"from":"{peer}","data":{data}}}"#));
            peers.push((from, sent, broken));
        }
        let input = concat!(
            r#"{"to":"ada","data":{"bytes":"AQI="}}"#,
            "\n",
            r#"{"data":[1,"x",null]}"#,
            "\n",
            r#"{"to":"carl","data":1}"#,
            "\n",
            "nonsense\n",
            r#"{"to":7,"data":1}"#,
            "\n",
            r#"{"to":"ada"}"#,
            "\n",
            r#"{"data":1,"from":"x"}"#,
        );
        let errors = Mutex::new(Vec::new());
        hub.read(&mut input.as_bytes(), |why| errors.lock().unwrap().push(why)).await.unwrap();
        let errors = errors.into_inner().unwrap();
        let numbers: Vec<_> = errors.iter().map(|error| error.split(':').next().unwrap()).collect();
        assert_eq!(numbers, ["line 3", "line 4", "line 5", "line 6", "line 7"], "{errors:?}");
        let all = Value::Array(vec![Value::Number(1.0), text("x"), Value::Null]);
        let (_, to_ada, _) = &mut peers[0];
        assert_eq!(to_ada.recv().await.unwrap(), Value::Bytes(vec![1, 2].into()));
        assert_eq!(to_ada.recv().await.unwrap(), all);
        assert_eq!(peers[1].1.recv().await.unwrap(), all);
        for ((from, _, broken), peer) in peers.into_iter().zip(["ada", "bert"]) {
            if broken {
                from.send(Err(io::Error::other("gone"))).await.unwrap();
            }
            drop(from);
            let error = if broken { r#","error":"gone""# } else { "" };
            assert_eq!(heard(&mut lines).await, format!(r#"{{"from":"{peer}","event":"close"{error}}}"#));
        }
    }

    #[tokio::test]
    async fn a_line_of_json_holds_bytes_of_any_message() {
        let (hub, mut lines) = Hub::new();
        let (mut to, mut sent) = sent();
        let bytes = Value::Bytes(vec![7; 2 * MAX_LINE as usize].into());
        let line = json!({"data": to_json(bytes.clone())}).to_string();
        let mut from = silent();
        let served = async {
            hub.read(&mut line.as_bytes(), |why| panic!("{why}")).await.unwrap();
            hub.end();
        };
        let (ended, ()) = join(hub.serve("ada", &mut to, &mut from), served).await;
        ended.unwrap();
        assert_eq!(sent.recv().await.unwrap(), bytes);
        assert_eq!(heard(&mut lines).await, r#"{"from":"ada","event":"open"}"#);
    }

    #[tokio::test]
    async fn the_end_of_the_script_ends_connections_behind_what_waits() {
        let (hub, lines) = Hub::new();
        let (mut to, mut sent) = sent();
        let mut output = Vec::new();
        let served = async move {
            let mut from = silent();
            let serve = hub.serve("ada", &mut to, &mut from);
            let read = async {
                hub.read(&mut &b"{\"data\":1}\n{\"data\":2}"[..], |why| panic!("{why}")).await.unwrap();
                hub.end();
            };
            join(serve, read).await.0
        };
        let (served, written) = join(served, write_lines(lines, &mut output)).await;
        served.unwrap();
        written.unwrap();
        assert_eq!(sent.recv().await.unwrap(), Value::Number(1.0));
        assert_eq!(sent.recv().await.unwrap(), Value::Number(2.0));
        let output = String::from_utf8(output).unwrap();
        assert_eq!(output.lines().count(), 2, "{output}");
        assert!(next_line(&mut BufReader::new(empty()), 1).await.unwrap().is_none());
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Undefined),
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<f64>().prop_map(Value::Number),
            any::<String>().prop_map(Value::Text),
            any::<Vec<u8>>().prop_map(|bytes| Value::Bytes(bytes.into())),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec((any::<String>(), inner), 0..4).prop_map(Value::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn each_message_is_one_line_of_json(value in values(), peer in any::<String>()) {
            let runtime = runtime::Builder::new_current_thread().build().unwrap();
            let mut output = Vec::new();
            runtime.block_on(async {
                let (hub, lines) = Hub::new();
                let served = async move {
                    let mut from: Incoming<Value> = Box::pin(stream::iter([Ok(value)]));
                    hub.serve(&peer, &mut sent().0, &mut from).await.unwrap();
                };
                join(served, write_lines(lines, &mut output)).await.1.unwrap();
            });
            let output = String::from_utf8(output).unwrap();
            prop_assert_eq!(output.lines().count(), 3);
            for line in output.lines() {
                prop_assert!(serde_json::from_str::<Json>(line).is_ok());
            }
        }

        #[test]
        fn any_line_is_sent_or_refused(line in any::<String>()) {
            drop(parse(&line));
        }
    }
}
