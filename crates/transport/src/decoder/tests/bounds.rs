//! Limits of messages and of buffered bytes.

use super::*;

#[test]
fn a_message_may_be_as_large_as_its_limit() {
    let fill = |len: usize| vec![b'x'; len];
    let quota = Quota::new(0);
    for (len, bound) in [(10, 10), (125, 125), (126, 126), (1000, 1000)] {
        let fits = feed(&mut decoder(bound, &quota), &whole(opcode::BINARY, fill(len)));
        assert_eq!(fits, (vec![Got::Binary(fill(len))], Ok(())), "{len} of {bound}");
    }
    for bound in [9, 125, 126, 999] {
        let refused = feed(&mut decoder(bound, &quota), &header(FIN | opcode::BINARY, bound + 1));
        assert_eq!(refused, (vec![], TOO_BIG), "before its payload comes, over {bound}");
    }
}

#[test]
fn the_sum_of_fragments_is_checked_before_the_payload_comes() {
    let quota = Quota::new(0);
    let begin = |decoder: &mut Decoder| {
        assert_eq!(feed(decoder, &frame(opcode::TEXT, [b'x'; 600])).1, Ok(()));
        assert_eq!(feed(decoder, &frame(opcode::CONTINUATION, [b'x'; 399])).1, Ok(()));
    };
    let mut full = decoder(1000, &quota);
    begin(&mut full);
    let (events, ended) = feed(&mut full, &whole(opcode::CONTINUATION, "x"));
    assert_eq!((events, ended), (vec![text(&"x".repeat(1000))], Ok(())));
    let mut over = decoder(1000, &quota);
    begin(&mut over);
    assert_eq!(feed(&mut over, &header(opcode::CONTINUATION, 2)).1, TOO_BIG);
    assert!(over.unfinished.is_none(), "nothing is kept");
    assert_eq!(feed(&mut over, &whole(opcode::TEXT, "x")), (vec![], TOO_BIG), "nothing is read after that");
}

#[test]
fn control_frames_do_not_count_towards_the_limit_of_a_message() {
    let mut decoder = decoder(10, &Quota::new(0));
    let ping = [b'p'; 125];
    let bytes = [
        whole(opcode::PING, ping),
        frame(opcode::TEXT, "1234567890"),
        whole(opcode::PING, ping),
        whole(opcode::CONTINUATION, ""),
    ];
    let ping = Got::Ping(ping.to_vec());
    let events = vec![ping.clone(), Got::Fragment, ping, text("1234567890")];
    assert_eq!(feed(&mut decoder, &bytes.concat()), (events, Ok(())));
}

#[test]
fn unfinished_messages_are_charged_once_and_refunded() {
    let quota = Quota::new(100_000);
    let mut one = decoder(60_000, &quota);
    // An incomplete frame after a complete one.
    feed(&mut one, &frame(opcode::BINARY, [b'x'; 30_000])).1.unwrap();
    feed(&mut one, &[header(opcode::CONTINUATION, 30_000), vec![b'x'; 29_000]].concat()).1.unwrap();
    let used = quota.used();
    assert!((43_000..=44_000).contains(&used), "{used} of 59,000 and none twice, without the first 16 KiB");
    let mut others: Vec<_> = (0..3).map(|_| decoder(60_000, &quota)).collect();
    let refused = others.iter_mut().filter_map(|other| {
        let ended = feed(other, &[header(FIN | opcode::BINARY, 60_000), vec![0; 50_000]].concat()).1;
        (ended == TRY_AGAIN_LATER).then_some(())
    });
    assert_eq!(refused.count(), 2);
    // Small messages still arrive, in any pieces.
    let mut small = decoder(60_000, &quota);
    for byte in whole(opcode::TEXT, [b'x'; 10_000]) {
        feed(&mut small, &[byte]).1.unwrap();
    }
    drop(others);
    assert_eq!(quota.used(), used);
    let (events, ended) = feed(&mut one, &[vec![b'x'; 1000], whole(opcode::CONTINUATION, "")].concat());
    assert_eq!((events.len(), ended), (2, Ok(())));
    assert_eq!(quota.used(), 0);
}

#[test]
fn memory_grows_no_further_than_the_frame_that_ends_a_message() {
    let quota = Quota::new(usize::MAX);
    let mut decoder = decoder(MAX, &quota);
    feed(&mut decoder, &[header(FIN | opcode::BINARY, 30_000), vec![0; 20_000]].concat()).1.unwrap();
    feed(&mut decoder, &[0]).1.unwrap();
    // The first 16 KiB are free.
    assert_eq!(quota.used(), 30_000 - (16 << 10));
}

#[test]
fn the_buffer_doubles_up_to_its_maximum_length() {
    let quota = Quota::new(usize::MAX);
    let mut buffer = MessageBuffer::new(&limits(MAX, &quota));
    let mut moved = 0;
    for n in 0..1000 {
        let before = buffer.bytes.capacity();
        buffer.push(&[n as u8; 100], 100_000).unwrap();
        moved += usize::from(buffer.bytes.capacity() != before);
    }
    assert_eq!(buffer.bytes.capacity(), 100_000);
    assert!(moved < 12, "moved {moved} times");
}

#[test]
fn buffered_bytes_are_charged_until_the_buffer_is_dropped() {
    let quota = Quota::new(100_000);
    let mut one = MessageBuffer::new(&limits(MAX, &quota));
    one.push(&[0; 60_000], 1 << 20).unwrap();
    assert!(quota.used() <= 60_000 && quota.used() > 40_000);
    let mut two = MessageBuffer::new(&limits(MAX, &quota));
    let refused = two.push(&[0; 100_000], 1 << 20).err();
    assert_eq!(refused, Some(Disconnect::ByServer(CloseReason::TryAgainLater)));
    drop(one);
    assert_eq!(quota.used(), 0);
    assert!(two.push(&[0; 100_000], 1 << 20).is_ok());
    drop(two);
    assert_eq!(quota.used(), 0);
}
