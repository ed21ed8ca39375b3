//! A decoder in parts passes on every byte once, in its place, and keeps none.

use proptest::prelude::*;

use super::*;

/// Decodes bytes that come in reads of these sizes, in turn, and puts the messages together again.
fn messages_of(sizes: &[usize], mut bytes: &[u8]) -> (Vec<Vec<u8>>, Result<(), Disconnect>) {
    let quota = Quota::new(0);
    let mut decoder = decoder(MAX, &quota).in_parts();
    let mut messages = Vec::new();
    let mut message: Option<Vec<u8>> = None;
    let mut ended = Ok(());
    for size in sizes.iter().cycle() {
        if bytes.is_empty() || ended.is_err() {
            break;
        }
        let (read, rest) = bytes.split_at((*size).clamp(1, bytes.len()));
        bytes = rest;
        assert!(decoder.resume(&mut |_| Flow::Continue(())).is_none(), "nothing is left of the last read");
        let (events, end) = feed(&mut decoder, read);
        ended = end;
        for event in events {
            match event {
                Got::Binary(whole) => {
                    assert_eq!(message, None, "a whole message is not within another");
                    messages.push(whole);
                }
                Got::Part(part, place) => {
                    assert_eq!(place.is_first, message.is_none());
                    message.get_or_insert_default().extend(part);
                    if place.is_last {
                        messages.extend(message.take());
                    }
                }
                Got::Ping(payload) => assert_eq!(payload, b"ping"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(quota.used(), 0);
    }
    (messages, ended)
}

proptest! {
    #[test]
    fn messages_are_the_same_however_they_are_cut(
        messages in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..4), 1..8),
        sizes in prop::collection::vec(1..300_usize, 1..6),
        mask in any::<[u8; 4]>(),
        pings in any::<bool>(),
    ) {
        let mut bytes = Vec::new();
        for frames in &messages {
            for (at, payload) in frames.iter().enumerate() {
                let opcode = if at == 0 { opcode::BINARY } else { opcode::CONTINUATION };
                let first = if at + 1 == frames.len() { FIN | opcode } else { opcode };
                bytes.extend(frame_in(Width::least(payload.len()), first, mask, payload));
                if pings {
                    bytes.extend(whole(opcode::PING, "ping"));
                }
            }
        }
        let whole: Vec<Vec<u8>> = messages.iter().map(|frames| frames.concat()).collect();
        prop_assert_eq!(messages_of(&sizes, &bytes), (whole, Ok(())));
    }
}

#[test]
fn a_message_is_passed_on_before_it_is_whole_and_nothing_of_it_is_kept() {
    let mut decoder = decoder(MAX, &Quota::new(0)).in_parts();
    let bytes = whole(opcode::BINARY, [b'x'; 50_000]);
    for (at, part) in bytes.chunks(10_000).enumerate() {
        let (events, ended) = feed(&mut decoder, part);
        let [Got::Part(part, place)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(*place, Fragment { is_first: at == 0, is_last: at == 5 });
        assert!(!part.is_empty() && ended.is_ok());
    }
}

#[test]
fn the_limit_is_that_of_the_whole_message() {
    let half = |first| frame(first, vec![b'x'; MAX / 2]);
    let fits = [half(opcode::BINARY), half(FIN | opcode::CONTINUATION)].concat();
    assert_eq!(messages_of(&[777], &fits), (vec![vec![b'x'; MAX]], Ok(())));
    let too_big = [half(opcode::BINARY), half(opcode::CONTINUATION), frame(FIN | opcode::CONTINUATION, "x")];
    assert_eq!(messages_of(&[777], &too_big.concat()), (vec![], TOO_BIG));
}

#[test]
fn a_text_is_told_apart_and_a_close_frame_ends_it() {
    let mut decoder = decoder(MAX, &Quota::new(0)).in_parts();
    let mut texts = 0;
    let mut bytes = [frame(opcode::TEXT, "te"), whole(opcode::CONTINUATION, "xt")].concat();
    let ended = decoder.feed(&mut bytes, &mut |event| {
        texts += usize::from(matches!(event, SocketEvent::Part { text: true, .. }));
        Flow::Continue(())
    });
    assert_eq!((texts, ended), (2, Ok(())));
    assert_eq!(feed(&mut decoder, &whole(opcode::CLOSE, b"\x03\xe8")).1, Err(Disconnect::Closed(Some(1000))));
}
