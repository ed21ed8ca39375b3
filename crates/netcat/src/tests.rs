//! Proofs and streams, between two ends in memory.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use futures_util::{SinkExt as _, StreamExt as _, sink, stream};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex, empty, simplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::mpsc::channel;
use tokio::time::timeout;

use crate::code::{Code, Guesses, MAX_WRONG, NotProven, demand, prove};
use crate::exec;
use crate::streams::{Incoming, MAX_STREAMS, Outgoing, Streams};
use crate::tcp;

/// Far more than any step takes.
const BOUND: Duration = Duration::from_secs(60);

/// One direction, which holds few messages, as a pipe does.
fn line() -> (Outgoing<Bytes>, Incoming<Bytes>) {
    let (to, from) = channel::<Bytes>(4);
    let to = sink::unfold(to, |to, message| async {
        to.send(message).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(to)
    });
    (Box::pin(to), Box::pin(stream::unfold(from, |mut from| async { Some((Ok(from.recv().await?), from)) })))
}

/// Both ends of a connection.
fn pair() -> [(Outgoing<Bytes>, Incoming<Bytes>); 2] {
    let (to_listener, from_caller) = line();
    let (to_caller, from_listener) = line();
    [(to_listener, from_listener), (to_caller, from_caller)]
}

fn code(text: &str) -> Code {
    Code::parse(text).unwrap()
}

/// The results of the caller and the listener.
async fn exchange(
    codes: [&str; 2],
    bindings: [[u8; 32]; 2],
    guesses: &Guesses,
) -> [Result<(), NotProven>; 2] {
    let [mut caller, mut listener] = pair();
    let called = async move { prove(&code(codes[0]), bindings[0], &mut caller.0, &mut caller.1).await };
    let demanded =
        async move { demand(&code(codes[1]), bindings[1], guesses, &mut listener.0, &mut listener.1).await };
    join(called, demanded).await.into()
}

#[tokio::test]
async fn only_the_right_code_on_the_same_pipe_is_proved() {
    for (codes, bindings, is_right) in [
        (["4821-9037", " 4821 9037"], [[1; 32]; 2], true),
        (["4821-9037", "4821-9038"], [[1; 32]; 2], false),
        (["4821-9037", "4821-9037"], [[1; 32], [2; 32]], false),
    ] {
        let [caller, listener] = exchange(codes, bindings, &Guesses::new()).await;
        if is_right {
            caller.unwrap();
            listener.unwrap();
        } else {
            // The listener has closed without a word, as it does for any reason.
            assert!(matches!(caller, Err(NotProven::Wrong)), "{caller:?}");
            assert!(matches!(listener, Err(NotProven::Wrong)), "{listener:?}");
        }
    }
}

#[tokio::test]
async fn three_wrong_codes_spend_all_guesses_and_right_ones_none() {
    let guesses = Guesses::new();
    for (number, code) in ["4821-9037", "4821-0000", "4821-0001", "4821-9037", "4821-0002"].iter().enumerate()
    {
        assert!(!guesses.are_spent(), "{number}");
        let [_, listener] = exchange([code, "4821-9037"], [[1; 32]; 2], &guesses).await;
        assert_eq!(listener.is_ok(), *code == "4821-9037");
    }
    assert!(guesses.are_spent());
}

#[tokio::test(start_paused = true)]
async fn guesses_at_the_same_time_are_three_as_well_and_the_silent_ones_count() {
    let guesses = Arc::new(Guesses::new());
    let mut callers = Vec::new();
    for _ in 0..2 * MAX_WRONG {
        let [mut caller, mut listener] = pair();
        let guesses = Arc::clone(&guesses);
        tokio::spawn(async move {
            demand(&code("4821-9037"), [1; 32], &guesses, &mut listener.0, &mut listener.1).await
        });
        // Any element will do: it is the caller's, and stays without a confirmation.
        let [mut other, mut element] = pair();
        let proof =
            tokio::spawn(async move { prove(&code("4821-9037"), [1; 32], &mut other.0, &mut other.1).await });
        caller.0.send(element.1.next().await.unwrap().unwrap()).await.unwrap();
        proof.abort();
        callers.push(caller);
    }
    let mut answered = 0;
    for (_, from) in &mut callers {
        answered += usize::from(matches!(timeout(BOUND, from.next()).await, Ok(Some(Ok(_)))));
    }
    assert_eq!(answered, MAX_WRONG);
    assert!(guesses.are_spent());
}

#[tokio::test]
async fn a_listener_confirms_nothing_before_the_caller_has() {
    let guesses = Guesses::new();
    let [mut caller, mut listener] = pair();
    let demanded = async {
        let demanded = demand(&code("4821-9037"), [1; 32], &guesses, &mut listener.0, &mut listener.1).await;
        drop(listener);
        demanded
    };
    let heard = async {
        let [mut other, mut element] = pair();
        let echo = async { prove(&code("4821-9037"), [1; 32], &mut other.0, &mut other.1).await };
        let replay = async {
            caller.0.send(element.1.next().await.unwrap().unwrap()).await.unwrap();
            let theirs = caller.1.next().await.unwrap().unwrap();
            assert_eq!(theirs.len(), 33);
            // A confirmation from another exchange: the element replayed, the proof not ours.
            caller.0.send(vec![7; 32].into()).await.unwrap();
            let rest = caller.1.next().await;
            drop(element);
            rest
        };
        join(echo, replay).await.1
    };
    let (demanded, heard) = join(demanded, heard).await;
    assert!(matches!(demanded, Err(NotProven::Wrong)) && heard.is_none(), "{demanded:?} {heard:?}");
}

#[test]
fn codes_are_read_as_people_write_them() {
    let random = Code::random().unwrap();
    assert_eq!(random.spoken().len(), 9);
    assert!(code(&random.spoken()) == random && code(&random.spoken().replace('-', " ")) == random);
    for bad in ["", "12345", "1234 5-", "48219037é", "4821_9037", &"1".repeat(65)] {
        assert!(Code::parse(bad).is_err(), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_bytes_are_a_wrong_code(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 0..3)) {
        let runtime = runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let replies = |messages: &[Vec<u8>]| {
                let messages: Vec<_> = messages.iter().cloned().map(|message| Ok(message.into())).collect();
                Box::pin(stream::iter(messages)) as Incoming<Bytes>
            };
            let mut nowhere: Outgoing<Bytes> = Box::pin(sink::drain().sink_map_err(|never| match never {}));
            let proved = prove(&code("4821-9037"), [1; 32], &mut nowhere, &mut replies(&messages)).await;
            prop_assert!(proved.is_err());
            let guesses = Guesses::new();
            let demanded =
                demand(&code("4821-9037"), [1; 32], &guesses, &mut nowhere, &mut replies(&messages)).await;
            prop_assert!(demanded.is_err());
            Ok(())
        })?;
    }
}

/// The streams of both ends.
fn both() -> (Streams, Streams) {
    let [(to_listener, from_listener), (to_caller, from_caller)] = pair();
    (Streams::new(to_listener, from_listener, true), Streams::new(to_caller, from_caller, false))
}

/// A local end of a stream: reads what the other stream's end sent, and writes to it.
fn local() -> (DuplexStream, DuplexStream) {
    duplex(1 << 16)
}

#[tokio::test]
async fn an_end_that_has_sent_all_still_hears_the_other() {
    let (caller, mut listener) = both();
    // The listener speaks first, and the caller's half ends before a byte.
    let called = async {
        let mut heard = Vec::new();
        caller.open().await.unwrap().join(empty(), &mut heard, None).await.unwrap();
        caller.close().await.unwrap();
        heard
    };
    let listened = async {
        let mut heard = Vec::new();
        let stream = listener.next().await.unwrap();
        let big = vec![b'x'; 1 << 20];
        stream.join(&big[..], &mut heard, None).await.unwrap();
        assert!(listener.next().await.is_none());
        listener.close().await.unwrap();
        heard
    };
    let (called, listened) = timeout(BOUND, join(called, listened)).await.unwrap();
    assert_eq!((called.len(), listened.len()), (1 << 20, 0));
}

#[tokio::test]
async fn an_end_whose_stdin_is_a_terminal_need_not_end_it_for_a_file() {
    let (caller, mut listener) = both();
    let called = async {
        caller.open().await.unwrap().join(&b"file"[..], tokio::io::sink(), None).await.unwrap();
        caller.close().await.unwrap();
    };
    let listened = async {
        let mut stream = listener.next().await.unwrap();
        stream.end_with_other();
        let (_terminal, input) = local();
        let mut heard = Vec::new();
        stream.join(input, &mut heard, None).await.unwrap();
        listener.close().await.unwrap();
        heard
    };
    let ((), heard) = timeout(BOUND, join(called, listened)).await.unwrap();
    assert_eq!(heard, b"file");
}

#[tokio::test]
async fn as_many_streams_as_allowed_run_at_once() {
    let (caller, mut listener) = both();
    let mut ours = Vec::new();
    let mut echoes = Vec::new();
    for _ in 0..MAX_STREAMS {
        let (near, far) = local();
        let (read, write) = tokio::io::split(far);
        let stream = caller.open().await.unwrap();
        tokio::spawn(async move { stream.join(read, write, None).await });
        ours.push(near);
        let echo = listener.next().await.unwrap();
        echoes.push(tokio::spawn(async move {
            let (read, write) = simplex(1 << 16);
            echo.join(read, write, None).await
        }));
    }
    for (number, stream) in ours.iter_mut().enumerate() {
        stream.write_u32(number as u32).await.unwrap();
    }
    for (number, mut stream) in ours.into_iter().enumerate().rev() {
        assert_eq!(timeout(BOUND, stream.read_u32()).await.unwrap().unwrap(), number as u32);
        stream.shutdown().await.unwrap();
    }
    for echo in echoes {
        timeout(BOUND, echo).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_reader_that_stops_stops_itself_alone_and_little_is_kept_for_it() {
    let (caller, mut listener) = both();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&accepted);
    let mut stopped = caller.open().await.unwrap();
    tokio::spawn(async move {
        while let Ok(length) = stopped.write(&[7; 8192]).await {
            counted.fetch_add(length, Ordering::Relaxed);
        }
    });
    let unread = listener.next().await.unwrap();
    let stream = caller.open().await.unwrap();
    let other = listener.next().await.unwrap();
    let sent = tokio::spawn(async move {
        let data = vec![1; 16 << 20];
        stream.join(&data[..], tokio::io::sink(), None).await
    });
    let mut heard = Vec::new();
    timeout(BOUND, other.join(empty(), &mut heard, None)).await.unwrap().unwrap();
    timeout(BOUND, sent).await.unwrap().unwrap().unwrap();
    assert_eq!(heard.len(), 16 << 20);
    let accepted = accepted.load(Ordering::Relaxed);
    assert!((1..4 << 20).contains(&accepted), "{accepted}");
    drop(unread);
}

#[tokio::test]
async fn a_lost_connection_is_no_end_and_a_dropped_stream_ends_both_ways() {
    let (caller, mut listener) = both();
    let (mut near, far) = local();
    let (read, write) = tokio::io::split(far);
    let stream = caller.open().await.unwrap();
    let joined = tokio::spawn(async move { stream.join(read, write, None).await });
    near.write_all(b"hello").await.unwrap();
    let mut other = listener.next().await.unwrap();
    let mut hello = [0; 5];
    other.read_exact(&mut hello).await.unwrap();
    other.write_all(b"all of it").await.unwrap();
    drop(other);
    // Our half is still open, but nobody reads it.
    timeout(BOUND, joined).await.unwrap().unwrap().unwrap();
    let mut heard = String::new();
    near.read_to_string(&mut heard).await.unwrap();
    assert_eq!(heard, "all of it");

    for has_ended in [false, true] {
        let (caller, mut listener) = both();
        let stream = caller.open().await.unwrap();
        let (mut near, far) = local();
        let (read, write) = tokio::io::split(far);
        let joined = tokio::spawn(async move { stream.join(read, write, None).await });
        let mut other = listener.next().await.unwrap();
        other.write_all(b"half").await.unwrap();
        if has_ended {
            near.shutdown().await.unwrap();
            assert_eq!(other.read(&mut hello).await.unwrap(), 0);
        }
        drop(listener);
        let lost = timeout(BOUND, joined).await.unwrap().unwrap();
        assert_eq!(lost.unwrap_err().kind(), io::ErrorKind::ConnectionAborted, "{has_ended}");
        assert!(caller.close().await.is_err());
    }
}

/// The stream of a process at the other end.
async fn process(command: &'static str) -> (Streams, crate::streams::Stream) {
    let (caller, mut listener) = both();
    let stream = caller.open().await.unwrap();
    tokio::spawn(async move {
        while let Some(stream) = listener.next().await {
            tokio::spawn(exec::run(command, "ada", stream));
        }
    });
    (caller, stream)
}

#[cfg(unix)]
#[tokio::test]
async fn a_process_has_stdin_and_stdout_and_knows_the_other_end() {
    let (caller, stream) = process("cat; echo $PEERBROKER_PEER").await;
    let mut heard = Vec::new();
    timeout(BOUND, stream.join(&b"line\n"[..], &mut heard, None)).await.unwrap().unwrap();
    assert_eq!(heard, b"line\nada\n");
    caller.close().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_process_that_ends_without_reading_ends_the_stream_behind_its_output() {
    let (_caller, stream) = process("head -c 300000 /dev/zero").await;
    let mut heard = Vec::new();
    // The first is endless, the second silent.
    timeout(BOUND, stream.join(tokio::io::repeat(7), &mut heard, None)).await.unwrap().unwrap();
    assert_eq!(heard.len(), 300_000);
    let (_caller, stream) = process("exit 1").await;
    let (silent, _open) = duplex(1);
    timeout(BOUND, stream.join(silent, &mut heard, None)).await.unwrap().unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_process_is_killed_when_the_connection_is_lost() {
    let (caller, mut listener) = both();
    let stream = caller.open().await.unwrap();
    let ran = tokio::spawn(async move {
        let stream = listener.next().await.unwrap();
        // The shell itself waits for ever, and would ignore the end of its stdin.
        let ran = exec::run("echo $$; exec sleep 1000", "ada", stream).await;
        drop(listener);
        ran
    });
    let (mut near, far) = local();
    let (read, write) = tokio::io::split(far);
    tokio::spawn(async move { stream.join(read, write, None).await });
    let mut pid = [0; 1];
    near.read_exact(&mut pid).await.unwrap();
    drop(caller);
    assert!(timeout(BOUND, ran).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn tcp_connections_pass_to_the_target_with_half_closes_and_resets() {
    let target = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = target.local_addr().unwrap().to_string();
    let port = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let near = port.local_addr().unwrap();
    let (caller, mut listener) = both();
    let passed = tokio::spawn(async move { tcp::listen(&port, &caller).await });
    let served = tokio::spawn(async move {
        while let Some(stream) = listener.next().await {
            let address = address.clone();
            tokio::spawn(async move { tcp::connect(&address, stream).await });
        }
    });
    for number in 0..3 {
        let mut client = TcpStream::connect(near).await.unwrap();
        // As with SSH, the server speaks first.
        let (mut server, _) = timeout(BOUND, target.accept()).await.unwrap().unwrap();
        server.write_all(b"hello").await.unwrap();
        let mut hello = [0; 5];
        timeout(BOUND, client.read_exact(&mut hello)).await.unwrap().unwrap();
        client.write_all(&vec![number; 1 << 20]).await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        timeout(BOUND, server.read_to_end(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard, vec![number; 1 << 20]);
        server.write_all(b"bye").await.unwrap();
        drop(server);
        let mut bye = String::new();
        timeout(BOUND, client.read_to_string(&mut bye)).await.unwrap().unwrap();
        assert_eq!(bye, "bye");
    }
    let mut client = TcpStream::connect(near).await.unwrap();
    let (_server, _) = timeout(BOUND, target.accept()).await.unwrap().unwrap();
    served.abort();
    timeout(BOUND, passed).await.unwrap().unwrap();
    let lost = timeout(BOUND, client.read(&mut [0])).await.unwrap();
    assert_eq!(lost.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}
