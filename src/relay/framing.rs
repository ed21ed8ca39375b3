//! Datagrams on a stream (RFC 4571), and what the first bytes of a stream tell.

/// Longest frame: browsers send what fits into a packet.
const MAX_FRAME: usize = 1600;

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
    /// A frame that is not complete.
    rest: Vec<u8>,
}

/// A frame is longer than any that a client sends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Frames {
    /// Calls `each` with each frame that is complete.
    pub(super) fn read(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), TooLong> {
        let joined;
        let mut left = bytes;
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.rest);
            left = &joined;
        }
        while let Some((length, after)) = left.split_first_chunk() {
            let length = usize::from(u16::from_be_bytes(*length));
            if length > MAX_FRAME {
                return Err(TooLong);
            }
            let Some((frame, next)) = after.split_at_checked(length) else { break };
            each(frame);
            left = next;
        }
        self.rest = left.to_vec();
        Ok(())
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
    fn a_frame_that_is_too_long_ends_it() {
        let mut frames = Frames::default();
        assert_eq!(frames.read(&[0, 1, 7, 6], |frame| assert_eq!(frame, [7])), Ok(()));
        assert_eq!(frames.read(&[65], |_| panic!("no frame")), Err(TooLong));
    }

    proptest! {
        #[test]
        fn frames_are_found_however_they_are_cut(
            datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1600), 0..6),
            cuts in prop::collection::vec(1usize..2000, 1..20)
        ) {
            let mut stream = Vec::new();
            datagrams.iter().for_each(|datagram| write(datagram, &mut stream));
            let (mut frames, mut found, mut cuts) = (Frames::default(), Vec::new(), cuts.iter().cycle());
            let mut left = &stream[..];
            while !left.is_empty() {
                let (now, later) = left.split_at((*cuts.next().unwrap()).min(left.len()));
                frames.read(now, |frame| found.push(frame.to_vec())).unwrap();
                left = later;
            }
            prop_assert_eq!(found, datagrams);
            prop_assert!(frames.rest.is_empty());
        }
    }
}
