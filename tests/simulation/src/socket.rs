//! The socket of a client: it accepts everything, and keeps it as frames.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

use peerbroker_router::{Outbox, Writer};

#[derive(Clone, Default)]
pub struct Socket(Arc<Mutex<Vec<u8>>>);

struct Half(Socket);

impl Writer for Half {
    fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = self.0.0.lock().unwrap();
        bytes.iter().for_each(|slice| taken.extend_from_slice(slice));
        Ok(bytes.iter().map(|slice| slice.len()).sum())
    }
}

impl Socket {
    pub fn outbox(&self) -> Outbox {
        Outbox::new(1 << 20, Some(Box::new(Half(self.clone()))))
    }

    /// True if this came since the last call of [`texts`](Self::texts).
    pub fn contains(&self, part: &str) -> bool {
        self.0.lock().unwrap().windows(part.len()).any(|window| window == part.as_bytes())
    }

    /// The messages that came since the last call: texts, and binary ones as lists. Other frames are dropped.
    pub fn texts(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        let mut rest = &bytes[..];
        let mut texts = Vec::new();
        while let [first, len, behind @ ..] = rest {
            let (len, behind) = match (*len, behind) {
                (126, [high, low, behind @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), behind),
                (127, [0, 0, 0, 0, len @ ..]) => {
                    let (len, behind) = len.split_first_chunk().expect("a length");
                    (usize::try_from(u32::from_be_bytes(*len)).unwrap(), behind)
                }
                (short, behind) => (usize::from(short), behind),
            };
            let (payload, next) = behind.split_at(len);
            match first & 0xF {
                1 => texts.push(String::from_utf8(payload.to_vec()).unwrap()),
                2 => texts.push(format!(r#"{{"type":"BINARY","payload":{payload:?}}}"#)),
                _ => {}
            }
            rest = next;
        }
        texts
    }
}
