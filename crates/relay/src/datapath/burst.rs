//! Datagrams that are sent together. Video comes in bursts of 10 to 40 datagrams, and one system call can
//! send those of one size to one address (UDP GSO).

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use super::port::Port;

thread_local! {
    static BURST: RefCell<Burst> = RefCell::default();
}

/// Datagrams of one size for one address, the last of which may be shorter.
#[derive(Default)]
struct Burst {
    /// True while the thread gathers. Otherwise nothing waits.
    is_open: bool,
    to: Option<(Arc<Port>, SocketAddr)>,
    size: usize,
    bytes: Vec<u8>,
    /// Datagrams for which a socket had no room.
    lost: u64,
}

/// Gathers the datagrams that this thread sends, while it handles those that it has read.
pub(super) struct Gathered(());

impl Gathered {
    pub(super) fn begin() -> Self {
        BURST.with_borrow_mut(|burst| burst.is_open = true);
        Gathered(())
    }

    /// Sends them. Returns the number of datagrams since `begin` for which a socket had no room.
    pub(super) fn end(self) -> u64 {
        BURST.with_borrow_mut(|burst| {
            burst.send();
            std::mem::take(&mut burst.lost)
        })
    }
}

/// After a panic, too, nothing may wait.
impl Drop for Gathered {
    fn drop(&mut self) {
        BURST.with_borrow_mut(|burst| {
            burst.send();
            burst.is_open = false;
        });
    }
}

/// Sends a datagram in parts. While the thread gathers, the datagram waits for others, and a lack of room
/// shows only in [`Gathered::end`]. Otherwise false if the socket has no room.
pub(crate) fn send(port: &Arc<Port>, to: SocketAddr, parts: [&[u8]; 2]) -> bool {
    BURST.with_borrow_mut(|burst| {
        if !burst.is_open
            && let [bytes, []] = parts
        {
            return port.send_now(to, bytes, bytes.len()) == 0;
        }
        let length = parts.iter().map(|part| part.len()).sum();
        if !burst.has_room_for(port, to, length) {
            burst.send();
            burst.to = Some((Arc::clone(port), to));
            burst.size = length;
        }
        parts.iter().for_each(|part| burst.bytes.extend_from_slice(part));
        burst.is_open || burst.send() == 0
    })
}

/// Sends datagrams of `size` bytes, the last of which may be shorter, like [`send`]. Returns the number of
/// those for which the socket has no room.
pub(crate) fn send_all(port: &Arc<Port>, to: SocketAddr, bytes: &[u8], size: usize) -> usize {
    if bytes.len() <= size {
        return usize::from(!send(port, to, [bytes, &[]]));
    }
    // The kernel has joined them already, so they are not copied.
    BURST.with_borrow_mut(Burst::send);
    port.send_now(to, bytes, size)
}

impl Burst {
    fn has_room_for(&self, port: &Arc<Port>, to: SocketAddr, length: usize) -> bool {
        let is_same = |(other, address): &(Arc<Port>, SocketAddr)| Arc::ptr_eq(other, port) && *address == to;
        let end = self.bytes.len() + length;
        self.to.as_ref().is_some_and(is_same)
            && (1..=self.size).contains(&length)
            && self.bytes.len().is_multiple_of(self.size)
            && end <= self.size * port.at_once(self.size)
    }

    /// Returns the number of datagrams for which the socket has no room.
    fn send(&mut self) -> usize {
        let Some((port, to)) = self.to.take() else { return 0 };
        let lost = port.send_now(to, &self.bytes, self.size);
        if self.is_open {
            self.lost += lost as u64;
        }
        self.bytes.clear();
        lost
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Sizes repeat, as those of video do.
        #[test]
        fn each_datagram_arrives_as_it_was_sent_and_in_order(
            datagrams in prop::collection::vec((0..2usize, prop_oneof![Just(1200), Just(1200), Just(1100), 1..1200usize], 0..3usize), 1..40)
        ) {
            let port = Arc::new(Port::bind(([127, 0, 0, 1], 0).into()).unwrap());
            let receivers = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
            let bytes = |number: usize, length: usize| vec![number as u8; length];

            let gathered = Gathered::begin();
            for (number, &(to, length, head)) in datagrams.iter().enumerate() {
                let bytes = bytes(number, length);
                let (head, rest) = bytes.split_at(head.min(length));
                prop_assert!(send(&port, receivers[to].local_addr().unwrap(), [head, rest]));
            }
            prop_assert_eq!(gathered.end(), 0);

            for (to, receiver) in receivers.iter().enumerate() {
                receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                for (number, &(_, length, _)) in datagrams.iter().enumerate().filter(|(_, sent)| sent.0 == to) {
                    let mut buffer = [0; 2048];
                    let count = receiver.recv(&mut buffer).unwrap();
                    prop_assert_eq!(&buffer[..count], bytes(number, length));
                }
            }
        }
    }

    #[test]
    fn nothing_waits_when_nothing_is_being_handled() {
        let port = Arc::new(Port::bind(([127, 0, 0, 1], 0).into()).unwrap());
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buffer = [0; 8];

        assert!(send(&port, to, [b"one", b""]));
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 3);

        let gathered = Gathered::begin();
        assert!(send(&port, to, [b"two", b""]));
        drop(gathered);
        assert!(send(&port, to, [b"three", b""]));
        assert_eq!([receiver.recv(&mut buffer).unwrap(), receiver.recv(&mut buffer).unwrap()], [3, 5]);
    }

    #[test]
    fn a_socket_without_room_is_told_of_at_the_end() {
        let port = Arc::new(Port::bind(([127, 0, 0, 1], 0).into()).unwrap());
        // Nothing can be sent there from a socket of loopback.
        let nowhere = ([203, 0, 113, 1], 9).into();

        let gathered = Gathered::begin();
        for _ in 0..3 {
            assert!(send(&port, nowhere, [&[0; 100], b""]));
        }
        assert_eq!(gathered.end(), 3);

        assert!(!send(&port, nowhere, [&[0; 100], b""]));
    }
}
