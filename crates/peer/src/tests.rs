//! Peers at a broker in memory, in virtual time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{SinkExt as _, StreamExt as _};
use proptest::prelude::*;
use tokio::io::DuplexStream;
use tokio::select;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use crate::socket::{Dial, DialError, Socket};
use crate::*;

type End = WebSocketStream<DuplexStream>;

/// Every wait of these tests ends.
const MOST: Duration = Duration::from_secs(120);

/// A broker of two peers, `alice` and `bob`, and of one pipe between them.
#[derive(Clone)]
struct Broker(mpsc::UnboundedSender<Event>);

enum Event {
    Dialled(String, Box<End>),
    /// Ends all sockets of pipes, or of peers, without a word.
    Cut(&'static str),
    /// Reads nothing of them until the next one is dialled.
    Freeze(&'static str),
    /// Takes no sockets from now on, or takes them again.
    Refuse(bool),
    /// Says this to an end of the pipe, or to a peer, and closes with the code.
    Tell(&'static str, Message),
}

impl Dial for Broker {
    fn dial(self: Arc<Self>, path: String) -> BoxFuture<'static, Result<Socket, DialError>> {
        Box::pin(async move {
            let (here, there) = tokio::io::duplex(16 << 10);
            let there = WebSocketStream::from_raw_socket(there, Role::Server, None).await;
            let _ = self.0.send(Event::Dialled(path, Box::new(there)));
            Ok(WebSocketStream::from_raw_socket(Box::new(here) as Box<_>, Role::Client, None).await)
        })
    }
}

impl Broker {
    fn start() -> Self {
        let (events, heard) = mpsc::unbounded_channel();
        tokio::spawn(serve(heard));
        Broker(events)
    }

    fn does(&self, event: Event) {
        assert!(self.0.send(event).is_ok());
    }

    async fn peer(&self, id: &str) -> Result<Peer, OpenError> {
        let address = Address::parse("http://broker.test", None).unwrap();
        let options = Options { protocols: vec!["second".into(), "first".into()], ..Options::with_id(id) };
        Peer::open_at(Arc::new(self.clone()), address, options).await
    }

    /// A connection of two peers.
    async fn connection(&self, serialization: Serialization) -> (Connection, Connection, [Peer; 2]) {
        let alice = self.peer("alice").await.unwrap();
        let mut bob = self.peer("bob").await.unwrap();
        let options = ConnectOptions { serialization, ..ConnectOptions::default() };
        let both = async { tokio::join!(alice.connect("bob", options), bob.incoming()) };
        let (called, taken) = timeout(MOST, both).await.unwrap();
        (called.unwrap(), taken.unwrap().unwrap(), [alice, bob])
    }
}

/// Passes messages between peers by their ids, and between ends by their place.
async fn serve(mut events: mpsc::UnboundedReceiver<Event>) {
    let mut sockets: HashMap<String, End> = HashMap::new();
    let mut is_refusing = false;
    let mut frozen = "";
    let mut tokens: HashMap<String, String> = HashMap::new();
    let mut turn = 0;
    loop {
        let heard = select! {
            event = events.recv() => Err(event),
            heard = any(&mut sockets, frozen) => Ok(heard),
        };
        match heard {
            Err(None) => return,
            Err(Some(Event::Cut(kind))) => {
                sockets.retain(|name, _| !name.starts_with(kind));
                frozen = "";
            }
            Err(Some(Event::Freeze(kind))) => frozen = kind,
            Err(Some(Event::Refuse(refuses))) => is_refusing = refuses,
            Err(Some(Event::Tell(name, message))) => {
                let name = sockets.keys().find(|found| found.starts_with(name)).unwrap().clone();
                let _ = sockets.get_mut(&name).unwrap().send(message).await;
            }
            Err(Some(Event::Dialled(_, socket))) if is_refusing => drop(socket),
            Err(Some(Event::Dialled(path, mut socket))) => {
                if let Some((_, end)) = path.split_once("&end=") {
                    frozen = "";
                    sockets.insert(format!("pipe {end}"), *socket);
                    turn += 1;
                    let mut ends: Vec<_> =
                        sockets.iter_mut().filter(|(name, _)| name.starts_with("pipe")).collect();
                    if ends.len() == 2 {
                        for (_, end) in &mut ends {
                            let _ =
                                end.send(Message::text(format!(r#"{{"type":"OPEN","turn":{turn}}}"#))).await;
                        }
                    }
                } else {
                    let name = format!("peer {}", path.split(['=', '&']).nth(3).unwrap());
                    let is_its = *tokens.entry(name.clone()).or_insert_with(|| path.clone()) == path;
                    let first = if is_its { r#"{"type":"OPEN"}"# } else { r#"{"type":"ID-TAKEN"}"# };
                    let _ = socket.send(Message::text(first)).await;
                    if is_its {
                        frozen = "";
                        sockets.insert(name, *socket);
                    }
                }
            }
            Ok((name, Some(Ok(message)))) if name.starts_with("peer") => {
                let Message::Text(text) = message else { continue };
                let mut frame: serde_json::Value = serde_json::from_str(&text).unwrap();
                let Some(dst) = frame["dst"].as_str().map(|dst| format!("peer {dst}")) else { continue };
                let src = name.trim_start_matches("peer ");
                frame["src"] = src.into();
                match sockets.get_mut(&dst) {
                    Some(socket) => drop(socket.send(Message::text(frame.to_string())).await),
                    None => {
                        let expire = format!(r#"{{"type":"EXPIRE","src":{}}}"#, frame["dst"]);
                        let _ = sockets.get_mut(&name).unwrap().send(Message::text(expire)).await;
                    }
                }
            }
            Ok((name, Some(Ok(message @ Message::Binary(_))))) => {
                let other =
                    sockets.iter_mut().find(|(other, _)| other.starts_with("pipe") && **other != name);
                if let Some((_, other)) = other {
                    let _ = other.send(message).await;
                }
            }
            Ok((name, Some(Ok(Message::Close(frame)))))
                if frame.as_ref().is_some_and(|frame| frame.code == 1000.into()) =>
            {
                sockets.remove(&name);
                let left = CloseFrame { code: crate::close_codes::LEFT.into(), reason: "".into() };
                for (_, end) in sockets
                    .iter_mut()
                    .filter(|(other, _)| name.starts_with("pipe") && other.starts_with("pipe"))
                {
                    let _ = end.send(Message::Close(Some(left.clone()))).await;
                }
            }
            Ok((_, Some(Ok(_)))) => {}
            Ok((name, _)) => drop(sockets.remove(&name)),
        }
    }
}

type Heard = (String, Option<Result<Message, tokio_tungstenite::tungstenite::Error>>);

/// The next message of any socket that is not frozen.
async fn any(sockets: &mut HashMap<String, End>, frozen: &str) -> Heard {
    let is_read = |name: &str| frozen.is_empty() || !name.starts_with(frozen);
    let reading = sockets.iter_mut().filter(|(name, _)| is_read(name));
    let mut reading: Vec<_> =
        reading.map(|(name, socket)| Box::pin(async { (name.clone(), socket.next().await) })).collect();
    if reading.is_empty() {
        std::future::pending().await
    } else {
        futures_util::future::select_all(&mut reading).await.0
    }
}

async fn text(connection: &mut Connection) -> Option<String> {
    let next = timeout(MOST, connection.next()).await.unwrap().unwrap();
    next.map(|value| value.as_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn both_ends_know_each_other_and_agree_on_a_protocol() {
    let broker = Broker::start();
    let alice = broker.peer("alice").await.unwrap();
    let mut bob = broker.peer("bob").await.unwrap();
    let options = ConnectOptions {
        label: Some("chat".into()),
        metadata: Some(serde_json::json!({ "a": 1 })),
        protocols: vec!["first".into(), "second".into(), "third".into()],
        ..ConnectOptions::default()
    };
    let (called, taken) = tokio::join!(alice.connect("bob", options), bob.incoming());
    let mut called = called.unwrap();
    let mut taken = taken.unwrap().unwrap();
    assert_eq!((called.peer(), taken.peer()), ("bob", "alice"));
    assert_eq!((taken.label(), taken.metadata()), ("chat", called.metadata()));
    // The callee's choice.
    assert_eq!((called.protocol(), taken.protocol()), (Some("second"), Some("second")));
    assert_eq!(called.binding(), taken.binding());
    assert!(called.is_caller() && !taken.is_caller());
    assert_eq!(called.safety_number().await, taken.safety_number().await);
    called.send("hello").await.unwrap();
    assert_eq!(text(&mut taken).await.unwrap(), "hello");
    taken.send("goodbye").await.unwrap();
    taken.close().await.unwrap();
    assert_eq!(text(&mut called).await.unwrap(), "goodbye");
    assert_eq!(text(&mut called).await, None);
    assert!(matches!(called.send("too late").await, Err(SendError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_reads_slows_the_sender_and_arrives_before_the_end() {
    let broker = Broker::start();
    let (called, mut taken, _peers) = broker.connection(Serialization::Raw).await;
    let message = "x".repeat(10_000);
    let mut sent = 0;
    while timeout(Duration::from_secs(5), called.send(message.clone())).await.is_ok() {
        sent += 1;
        assert!(sent < 1000, "nothing slows it");
    }
    // What waits at both ends, and what is under way: no more.
    assert!((100..500).contains(&sent), "{sent}");
    let closing = tokio::spawn(called.close());
    sleep(Duration::from_secs(25)).await;
    for _ in 0..sent {
        assert_eq!(text(&mut taken).await.unwrap().len(), message.len());
    }
    assert_eq!(text(&mut taken).await, None);
    closing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_closes_is_lost_if_nobody_reads_the_rest() {
    let broker = Broker::start();
    let (called, _unread, _peers) = broker.connection(Serialization::Raw).await;
    while timeout(Duration::from_secs(5), called.send("x".repeat(10_000))).await.is_ok() {}
    let closed = timeout(MOST, called.close()).await.unwrap();
    assert!(matches!(closed, Err(Lost::Stalled)), "{closed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_pipe_is_tried_and_dialled_again() {
    let broker = Broker::start();
    let (called, mut taken, _peers) = broker.connection(Serialization::Raw).await;
    broker.does(Event::Freeze("pipe"));
    called.send("once").await.unwrap();
    // Its successor thaws the broker.
    let started = Instant::now();
    assert_eq!(text(&mut taken).await.unwrap(), "once");
    assert!((10..20).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn without_a_broker_for_half_a_minute_a_connection_is_lost() {
    let broker = Broker::start();
    let (called, mut taken, _peers) = broker.connection(Serialization::Raw).await;
    broker.does(Event::Refuse(true));
    broker.does(Event::Cut("pipe"));
    let started = Instant::now();
    let lost = timeout(MOST, taken.next()).await.unwrap();
    assert!(matches!(lost, Err(Lost::Unreachable(_))), "{lost:?}");
    assert!((30..40).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert!(matches!(called.close().await, Err(Lost::Unreachable(_))));
}

#[tokio::test(start_paused = true)]
async fn what_the_other_end_has_not_sealed_ends_the_connection() {
    let broker = Broker::start();
    let (_called, mut taken, _peers) = broker.connection(Serialization::Raw).await;
    let mut frame = vec![1; 60];
    frame[1..9].copy_from_slice(&1_u64.to_be_bytes());
    broker.does(Event::Tell("pipe", Message::binary(frame.clone())));
    broker.does(Event::Tell("pipe", Message::binary(frame)));
    let lost = timeout(MOST, taken.next()).await.unwrap();
    assert!(matches!(lost, Err(Lost::Broken(_) | Lost::Left)), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_comes_back_with_its_id_unless_it_was_replaced() {
    let broker = Broker::start();
    let alice = broker.peer("alice").await.unwrap();
    let mut bob = broker.peer("bob").await.unwrap();
    assert!(matches!(broker.peer("bob").await, Err(OpenError::IdTaken(id)) if id == "bob"));
    broker.does(Event::Cut("peer"));
    sleep(Duration::from_secs(1)).await;
    // A silent socket, too, is dialled again: its successor thaws the broker.
    broker.does(Event::Freeze("peer bob"));
    sleep(Duration::from_secs(60)).await;
    let (called, taken) =
        tokio::join!(alice.connect("bob", ConnectOptions::default()), timeout(MOST, bob.incoming()));
    drop((called.unwrap(), taken.unwrap().unwrap().unwrap()));
    let absent = alice.connect("carl", ConnectOptions::default()).await;
    assert!(matches!(absent, Err(ConnectError::NoSuchPeer(id)) if id == "carl"));
    let replaced = CloseFrame { code: crate::close_codes::FINAL[0].into(), reason: "replaced".into() };
    broker.does(Event::Tell("peer bob", Message::Close(Some(replaced))));
    let end = timeout(MOST, bob.incoming()).await.unwrap();
    assert!(matches!(end, Some(Err(ConnectError::Closed(Some(_))))), "{end:?}");
    assert!(timeout(MOST, bob.incoming()).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_talk_is_told_apart() {
    let broker = Broker::start();
    let alice = broker.peer("alice").await.unwrap();
    let mut page = Arc::new(broker.clone()).dial("/peerjs?key=peerjs&id=page&token=t".into()).await.unwrap();
    assert!(page.next().await.unwrap().unwrap().to_text().unwrap().contains("OPEN"));
    let mut answers = vec![
        Some(r#"{"type":"LEAVE","dst":"alice"}"#.to_owned()),
        Some(r#"{"type":"ANSWER","dst":"alice","payload":{"sdp":{"type":"answer","sdp":"v=0"},"type":"data","connectionId":"ID"}}"#.to_owned()),
        None,
    ];
    let playing = async {
        while let Some(Ok(message)) = page.next().await {
            let Ok(offer) = serde_json::from_str::<serde_json::Value>(message.to_text().unwrap()) else {
                continue;
            };
            let Some(id) = offer["payload"]["connectionId"].as_str() else { continue };
            if let Some(Some(answer)) = answers.pop() {
                page.send(Message::text(answer.replace("ID", id))).await.unwrap();
            }
        }
    };
    let connecting = async {
        let mut ends = Vec::new();
        for _ in 0..3 {
            ends.push(
                timeout(MOST, alice.connect("page", ConnectOptions::default())).await.unwrap().unwrap_err(),
            );
        }
        ends
    };
    let ends = select! {
        ends = connecting => ends,
        () = playing => unreachable!("the page is open"),
    };
    let [ConnectError::Unanswered(_), ConnectError::NoScript(..), ConnectError::Left(_)] = &ends[..] else {
        panic!("{ends:?}");
    };
    assert!(ends[1].to_string().contains("<script src=\"http://broker.test/peerjs.js\">"), "{}", ends[1]);
}

#[test]
fn the_page_of_the_crate_shows_the_example() {
    let example = include_str!("../examples/echo.rs").split_once("\n\n").unwrap().1;
    assert!(include_str!("../README.md").contains(&format!("```rust\n{example}```")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever is cut meanwhile, every message arrives once and in order, in both directions.
    #[test]
    fn a_pipe_loses_nothing(
        sizes in prop::collection::vec(0_usize..60_000, 1..60),
        cuts in prop::collection::vec(1_u64..400, 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let broker = Broker::start();
            let (called, taken, _peers) = broker.connection(Serialization::Binary).await;
            let cutting = async {
                for pause in cuts {
                    sleep(Duration::from_millis(pause)).await;
                    broker.does(Event::Cut("pipe"));
                }
            };
            let pass = |from: Sender, mut to: Receiver| {
                let sizes = &sizes;
                async move {
                    let sending = async {
                        for (at, size) in sizes.iter().enumerate() {
                            from.send(vec![at as u8; *size]).await.unwrap();
                            sleep(Duration::from_millis(at as u64 % 20)).await;
                        }
                        from
                    };
                    let reading = async {
                        for (at, size) in sizes.iter().enumerate() {
                            let Some(Value::Bytes(bytes)) = to.next().await.unwrap() else { panic!("bytes") };
                            assert!(bytes.len() == *size && bytes.iter().all(|byte| *byte == at as u8));
                        }
                        to
                    };
                    tokio::join!(sending, reading)
                }
            };
            let [one, other] = [called, taken].map(Connection::split);
            let passing = async { tokio::join!(cutting, pass(one.0, other.1), pass(other.0, one.1)) };
            let (_, (sender, _receiver), _other) = timeout(Duration::from_secs(600), passing).await.unwrap();
            sender.close().await.unwrap();
        });
    }
}
