//! Datagrams on a stream (RFC 4571), and what the first bytes of a stream tell.

use bytes::{Buf as _, BytesMut};

/// Longest frame: browsers send what fits into a packet.
const MAX_FRAME: usize = 1600;

/// Bytes of the length in front of a frame.
const LENGTH: usize = 2;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// What a client speaks on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// STUN, and later datagrams, with their length in front.
    Framed,
    /// STUN without, as clients of a TURN server do (RFC 8656).
    Turn,
    /// A handshake of TLS.
    Tls,
    Unknown,
}

/// What a client speaks, from its first 8 bytes. `None` if there are too few of them.
pub(super) fn spoken(first: &[u8]) -> Option<Spoken> {
    let [half @ .., _, _] = COOKIE;
    // TLS first: as a length, it would be that of a frame that is too long.
    match *first {
        [0x16, ..] => Some(Spoken::Tls),
        [_, _, _, _, a, b, c, d, ..] if [a, b, c, d] == COOKIE => Some(Spoken::Turn),
        [_, _, _, _, _, _, a, b, ..] if [a, b] == half => Some(Spoken::Framed),
        [_, _, _, _, _, _, _, _, ..] => Some(Spoken::Unknown),
        _ => None,
    }
}

/// Finds the frames in what a stream brings.
#[derive(Default)]
pub(super) struct Frames {
    unread: BytesMut,
}

/// A frame has a length that no client sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadLength;

impl Frames {
    /// Adds what was read.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// Calls `handle` with the next frame, if it is complete. `None` if not.
    pub(super) fn next<T>(&mut self, handle: impl FnOnce(&[u8]) -> T) -> Result<Option<T>, BadLength> {
        let Some((length, after)) = self.unread.split_first_chunk() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        // Empty ones would be packets of nothing (RFC 4571, section 2): no browser sends them.
        if !(1..=MAX_FRAME).contains(&length) {
            return Err(BadLength);
        }
        let Some(frame) = after.get(..length) else { return Ok(None) };
        let handled = handle(frame);
        self.unread.advance(LENGTH + length);
        Ok(Some(handled))
    }

    /// Returns the memory of what was handled, before a wait.
    pub(super) fn shrink(&mut self) {
        self.unread = BytesMut::from(&self.unread[..]);
    }
}

/// Adds a datagram to what is written at once.
pub(super) fn write(datagram: &[u8], to: &mut Vec<u8>) {
    let Ok(length) = u16::try_from(datagram.len()) else { return };
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(datagram);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_bytes_tell_what_a_client_speaks() {
        let stun = [0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        let framed = [0, 20, 0, 1, 0, 0, 0x21, 0x12];
        let allocate = [0, 3, 0, 8, 0x21, 0x12, 0xA4, 0x42];
        for (first, expected) in [
            (&framed[..], Some(Spoken::Framed)),
            (&stun, Some(Spoken::Turn)),
            (&allocate, Some(Spoken::Turn)),
            (&[0x16], Some(Spoken::Tls)),
            (b"GET / HT", Some(Spoken::Unknown)),
            (&framed[..7], None),
            (&[], None),
        ] {
            assert_eq!(spoken(first), expected, "{first:?}");
        }
    }

    #[test]
    fn a_frame_that_is_empty_or_too_long_ends_it() {
        let mut frames = Frames::default();
        frames.add(&[0, 1, 7, 6]);
        assert_eq!(frames.next(<[u8]>::to_vec), Ok(Some(vec![7])));
        assert_eq!(frames.next(|_| ()), Ok(None));
        frames.add(&[65]);
        assert_eq!(frames.next(|_| ()), Err(BadLength));
        let mut frames = Frames::default();
        frames.add(&[0, 0]);
        assert_eq!(frames.next(|_| ()), Err(BadLength));
    }

    proptest! {
        #[test]
        fn frames_are_found_however_they_are_cut(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..1600), 0..6),
            cuts in prop::collection::vec(1usize..2000, 1..20)
        ) {
            let mut stream = Vec::new();
            datagrams.iter().for_each(|datagram| write(datagram, &mut stream));
            let (mut frames, mut found, mut cuts) = (Frames::default(), Vec::new(), cuts.iter().cycle());
            let mut left = &stream[..];
            while !left.is_empty() {
                let (now, later) = left.split_at((*cuts.next().unwrap()).min(left.len()));
                frames.add(now);
                while let Some(frame) = frames.next(<[u8]>::to_vec).unwrap() {
                    found.push(frame);
                }
                frames.shrink();
                left = later;
            }
            prop_assert_eq!(found, datagrams);
            prop_assert!(frames.unread.is_empty());
        }
    }
}
