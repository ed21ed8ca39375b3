//! Valid messages are decoded as they were sent.

use proptest::prelude::*;

use super::*;
use peerbroker_core::vocabulary::{Fragment, Frame as Written, Opcode};

#[test]
fn messages_of_every_length_are_decoded_in_every_encoding_of_the_length() {
    for len in [0, 1, 7, 8, 9, 15, 16, 17, 125, 126, 127, 128, 255, 256, 65_535, 65_536, 65_537] {
        let payload: Vec<u8> = (0..len).map(|n| b'a' + (n % 26) as u8).collect();
        let whole_text = text(std::str::from_utf8(&payload).unwrap());
        // The reference also accepts lengths with more bytes than necessary.
        for width in Width::ALL.into_iter().filter(|width| width.fits(len)) {
            let bytes = |opcode| frame_in(width, FIN | opcode, MASK, &payload);
            let texts = decode(&bytes(opcode::TEXT));
            let binaries = decode(&bytes(opcode::BINARY));
            assert!(texts == (vec![whole_text.clone()], Ok(())), "{len} bytes in {width:?}");
            assert!(binaries == (vec![Got::Binary(payload.clone())], Ok(())), "{len} bytes in {width:?}");
        }
    }
}

#[test]
fn payloads_are_unmasked_wherever_reads_split_them() {
    for mask in [[0; 4], [0xFF; 4], [1, 2, 3, 4], [0x80, 0, 0, 1]] {
        for len in 0..=33 {
            let payload: Vec<u8> = (0..len).map(|n| n * 7).collect();
            let bytes = frame_in(Width::Seven, FIN | opcode::BINARY, mask, &payload);
            for cut in 0..=bytes.len() {
                let mut decoder = decoder(MAX, &Quota::new(0));
                let (mut events, begun) = feed(&mut decoder, &bytes[..cut]);
                let (rest, ended) = feed(&mut decoder, &bytes[cut..]);
                events.extend(rest);
                assert_eq!((begun, ended), (Ok(()), Ok(())));
                assert_eq!(events, [Got::Binary(payload.clone())], "{mask:?}, {len} bytes cut at {cut}");
            }
        }
    }
}

#[test]
fn each_frame_has_a_mask_of_its_own() {
    let bytes = [
        frame_in(Width::Seven, opcode::TEXT, [1, 2, 3, 4], b"fragm"),
        frame_in(Width::Seven, FIN | opcode::PING, [9, 9, 9, 9], b"ping"),
        frame_in(Width::Sixteen, FIN | opcode::CONTINUATION, [5, 6, 7, 8], b"ented"),
        frame_in(Width::Seven, FIN | opcode::TEXT, [0xAA; 4], b"whole"),
    ];
    let events = vec![Got::Fragment, Got::Ping(b"ping".to_vec()), text("fragmented"), text("whole")];
    assert_eq!(decode(&bytes.concat()), (events, Ok(())));
}

#[test]
fn frames_of_a_node_that_is_a_client_are_decoded() {
    for len in [0, 1, 125, 126, 65_535, 65_536] {
        let payload = vec![b'a'; len];
        let mut bytes = Vec::new();
        for (is_first, is_last) in [(true, false), (false, false), (false, true)] {
            let place = Fragment { is_first, is_last };
            Written::append_masked(&mut bytes, Opcode::Binary, &payload[..len / 3], place);
        }
        Written::append_masked(&mut bytes, Opcode::Ping, b"ping", Fragment::WHOLE);
        Written::append_masked(&mut bytes, Opcode::Text, &payload, Fragment::WHOLE);
        let text = text(str::from_utf8(&payload).unwrap());
        let ping = Got::Ping(b"ping".to_vec());
        let events =
            vec![Got::Fragment, Got::Fragment, Got::Binary(payload[..len / 3].repeat(3)), ping, text];
        assert!(decode(&bytes) == (events, Ok(())), "{len} bytes");
    }
    let mut close = Vec::new();
    let why = Written::close(Some((4001, "why")));
    Written::append_masked(&mut close, Opcode::Close, why.payload(), Fragment::WHOLE);
    assert_eq!(decode(&close).1, Err(Disconnect::Closed(Some(4001))));
}

#[test]
fn fragments_are_joined_and_may_be_empty() {
    for (opcode, message) in [(opcode::TEXT, text("abc")), (opcode::BINARY, Got::Binary(b"abc".to_vec()))] {
        for parts in [&["abc", ""][..], &["", "abc"], &["a", "b", "c"], &["", "", "abc", "", ""]] {
            let mut bytes = Vec::new();
            for (at, part) in parts.iter().enumerate() {
                let opcode = if at == 0 { opcode } else { opcode::CONTINUATION };
                bytes.extend(frame(if at + 1 == parts.len() { FIN | opcode } else { opcode }, part));
            }
            let mut events = vec![Got::Fragment; parts.len() - 1];
            events.push(message.clone());
            assert_eq!(decode(&bytes), (events, Ok(())), "{parts:?}");
        }
    }
    let nothing = [frame(opcode::TEXT, ""), whole(opcode::CONTINUATION, "")].concat();
    assert_eq!(decode(&nothing), (vec![Got::Fragment, text("")], Ok(())));
}

#[test]
fn control_frames_within_a_message_are_decoded_before_it() {
    let bytes = [
        whole(opcode::PING, "0"),
        frame(opcode::TEXT, "one "),
        whole(opcode::PING, [b'1'; 125]),
        whole(opcode::PONG, "unasked"),
        frame(opcode::CONTINUATION, "two "),
        whole(opcode::PING, ""),
        whole(opcode::CONTINUATION, "three"),
        whole(opcode::PONG, ""),
    ];
    let ping = |payload: &[u8]| Got::Ping(payload.to_vec());
    let events = vec![
        ping(b"0"),
        Got::Fragment,
        ping(&[b'1'; 125]),
        Got::Pong,
        Got::Fragment,
        ping(b""),
        text("one two three"),
        Got::Pong,
    ];
    assert_eq!(decode(&bytes.concat()), (events, Ok(())));
}

#[test]
fn fragments_and_reads_may_split_a_character() {
    for character in ["é", "€", "😀", "\u{7FF}", "\u{800}", "\u{FFFF}", "\u{10FFFF}", "\0"] {
        let left = "a".to_owned() + character;
        let right = character.to_owned() + "z";
        let message = [left.as_bytes(), right.as_bytes()].concat();
        let expected = text(&(left + &right));
        for cut in 0..=message.len() {
            let (one, two) = message.split_at(cut);
            let bytes = [frame(opcode::TEXT, one), whole(opcode::CONTINUATION, two)].concat();
            assert_eq!(
                decode(&bytes),
                (vec![Got::Fragment, expected.clone()], Ok(())),
                "{character:?} at {cut}"
            );
        }
    }
}

#[test]
fn binary_messages_may_hold_any_bytes() {
    let all: Vec<u8> = (0..=255).collect();
    let (one, two) = all.split_at(130);
    let bytes = [whole(opcode::BINARY, &all), frame(opcode::BINARY, one), whole(opcode::CONTINUATION, two)];
    let events = vec![Got::Binary(all.clone()), Got::Fragment, Got::Binary(all.clone())];
    assert_eq!(decode(&bytes.concat()), (events, Ok(())));
}

/// Decodes what is left, until the receiver stops at the next event.
fn resume(decoder: &mut Decoder) -> Option<Vec<Got>> {
    let mut events = Vec::new();
    let resumed = decoder.resume(&mut |event| {
        events.push(got(event));
        Flow::Break(())
    });
    resumed.map(|resumed| {
        assert_eq!(resumed, Ok(()));
        events
    })
}

#[test]
fn when_the_receiver_stops_the_rest_waits_for_the_next_read() {
    let quota = Quota::new(0);
    let bytes = [whole(opcode::TEXT, "one"), whole(opcode::TEXT, "two"), whole(opcode::PING, "")].concat();
    let mut decoder = decoder(MAX, &quota);
    let mut events = Vec::new();
    // Part of a frame is behind the rest.
    let part = &whole(opcode::TEXT, "four")[..3];
    let fed = decoder.feed(&mut [&bytes[..], part].concat(), &mut |event| {
        events.push(got(event));
        Flow::Break(())
    });
    assert_eq!((events, fed), (vec![text("one")], Ok(())));
    assert_eq!(resume(&mut decoder), Some(vec![text("two")]));
    assert_eq!(resume(&mut decoder), Some(vec![Got::Ping(Vec::new())]));
    assert_eq!(resume(&mut decoder), Some(vec![]), "the part of a frame");
    assert_eq!(resume(&mut decoder), None);
    assert_eq!(feed(&mut decoder, &whole(opcode::TEXT, "four")[3..]), (vec![text("four")], Ok(())));
    assert!(decoder.unfinished.is_none(), "nothing is kept");
}

#[test]
fn input_that_waits_beyond_the_quota_closes_the_connection() {
    let quota = Quota::new(10_000);
    let feed = |decoder: &mut Decoder| {
        let mut bytes = [whole(opcode::TEXT, "x"), whole(opcode::TEXT, [b'x'; 26_000])].concat();
        decoder.feed(&mut bytes, &mut |_| Flow::Break(()))
    };
    let [mut one, mut other] = [(); 2].map(|()| decoder(MAX, &quota));
    assert_eq!(feed(&mut one), Ok(()));
    assert_eq!(feed(&mut other), TRY_AGAIN_LATER);
    drop(one);
    assert_eq!(feed(&mut decoder(MAX, &quota)), Ok(()));
}

#[test]
fn bytes_that_came_with_the_handshake_are_decoded_first() {
    let quota = Quota::new(0);
    let mut early = Decoder::new(limits(MAX, &quota)).with_input(&whole(opcode::TEXT, "early"));
    assert_eq!(resume(&mut early), Some(vec![text("early")]));
    assert_eq!(resume(&mut early), None);
    let mut refused = Decoder::new(limits(MAX, &quota)).with_input(&whole(opcode::TEXT, [b'x'; 20_000]));
    assert_eq!(refused.resume(&mut |_| Flow::Continue(())), Some(TRY_AGAIN_LATER));
    assert_eq!(feed(&mut refused, &whole(opcode::TEXT, "x")), (vec![], TRY_AGAIN_LATER));
}

#[test]
fn nothing_is_kept_between_messages() {
    let mut decoder = decoder(MAX, &Quota::new(0));
    let bytes = [frame(opcode::TEXT, "one"), whole(opcode::PING, "x"), whole(opcode::CONTINUATION, "two")];
    for byte in bytes.concat() {
        assert_eq!(feed(&mut decoder, &[byte]).1, Ok(()));
    }
    assert!(decoder.unfinished.is_none());
}

/// Messages of a client, and the expected events.
fn messages() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<Got>)>> {
    let mask = any::<[u8; 4]>();
    let control = (any::<bool>(), mask, prop::collection::vec(any::<u8>(), 0..=125)).prop_map(
        |(is_ping, mask, payload)| {
            let opcode = if is_ping { opcode::PING } else { opcode::PONG };
            let bytes = frame_in(Width::Seven, FIN | opcode, mask, &payload);
            (bytes, if is_ping { Got::Ping(payload) } else { Got::Pong })
        },
    );
    let part = (any::<[u8; 4]>(), 0..3_usize, "[a-zé€😀]{0,90}", prop::option::of(control));
    let message = (any::<bool>(), prop::collection::vec(part, 1..5)).prop_map(|(is_text, parts)| {
        let mut bytes = Vec::new();
        let mut events = Vec::new();
        let mut message = String::new();
        let last = parts.len() - 1;
        for (at, (mask, wider, part, control)) in parts.into_iter().enumerate() {
            message += &part;
            if let Some((frame, event)) = control {
                bytes.extend(frame);
                events.push(event);
            }
            let opcode = match (at, is_text) {
                (0, true) => opcode::TEXT,
                (0, false) => opcode::BINARY,
                _ => opcode::CONTINUATION,
            };
            let width = if Width::ALL[wider].fits(part.len()) { Width::ALL[wider] } else { Width::Sixteen };
            bytes.extend(frame_in(
                width,
                if at == last { FIN | opcode } else { opcode },
                mask,
                part.as_bytes(),
            ));
            events.push(match (at == last, is_text) {
                (false, _) => Got::Fragment,
                (true, true) => Got::Text(message.clone()),
                (true, false) => Got::Binary(message.clone().into_bytes()),
            });
        }
        (bytes, events)
    });
    prop::collection::vec(message, 0..4)
}

/// Feeds bytes in pieces of the given sizes, repeatedly.
fn decode_in_pieces(mut bytes: &[u8], sizes: &[usize]) -> (Vec<Got>, Result<(), Disconnect>) {
    let mut decoder = decoder(MAX, &Quota::new(usize::MAX));
    let mut events = Vec::new();
    let mut ended = Ok(());
    for size in sizes.iter().cycle() {
        let (piece, rest) = bytes.split_at(bytes.len().min(*size));
        let (some, end) = feed(&mut decoder, piece);
        events.extend(some);
        ended = end;
        bytes = rest;
        if bytes.is_empty() || ended.is_err() {
            break;
        }
    }
    (events, ended)
}

/// Feeds bytes in pieces of the given sizes, repeatedly, to a receiver that stops at events.
fn decode_with_stops(bytes: &[u8], sizes: &[usize], stops: &[bool]) -> Vec<Got> {
    let quota = Quota::new(usize::MAX);
    let mut decoder = decoder(MAX, &quota);
    let mut events = Vec::new();
    let mut stops = stops.iter().chain([&false]).cycle();
    let mut on_event = |event: SocketEvent<'_>| {
        events.push(got(event));
        if stops.next() == Some(&true) { Flow::Break(()) } else { Flow::Continue(()) }
    };
    let mut bytes = bytes;
    let mut sizes = sizes.iter().cycle();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(bytes.len().min(*sizes.next().unwrap()));
        decoder.feed(&mut piece.to_vec(), &mut on_event).unwrap();
        while let Some(resumed) = decoder.resume(&mut on_event) {
            resumed.unwrap();
        }
        bytes = rest;
    }
    assert_eq!(quota.used(), 0);
    assert!(decoder.unfinished.is_none());
    events
}

proptest! {
    #[test]
    fn messages_are_decoded_the_same_wherever_their_receiver_stops(
        messages in messages(),
        sizes in prop::collection::vec(1..200_usize, 1..20),
        stops in prop::collection::vec(prop::bool::ANY, 0..20),
    ) {
        let (bytes, events): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
        prop_assert_eq!(decode_with_stops(&bytes.concat(), &sizes, &stops), events.concat());
    }

    #[test]
    fn messages_are_decoded_the_same_however_reads_split_them(
        messages in messages(),
        sizes in prop::collection::vec(1..200_usize, 1..20),
    ) {
        let (bytes, events): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
        let bytes = bytes.concat();
        let events = events.concat();
        prop_assert_eq!(decode_in_pieces(&bytes, &sizes), (events.clone(), Ok(())));
        prop_assert_eq!(decode_in(bytes.len().max(1), &bytes), (events, Ok(())));
    }

    #[test]
    fn any_bytes_are_decoded_the_same_however_reads_split_them(
        messages in messages(),
        changed in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        sizes in prop::collection::vec(1..200_usize, 1..20),
    ) {
        let mut bytes: Vec<u8> = messages.into_iter().flat_map(|(bytes, _)| bytes).collect();
        for (at, byte) in changed.iter().filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        prop_assert_eq!(decode_in_pieces(&bytes, &sizes), decode(&bytes));
    }
}
