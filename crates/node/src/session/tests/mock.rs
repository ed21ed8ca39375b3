//! A socket without a network: a test scripts the input and sees the output.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use peerbroker_core::vocabulary::{Frame, Opcode};
use peerbroker_router::Disconnect;
use peerbroker_router::{Outbox, Writer};
use peerbroker_transport::{Flow, OnEvent, Socket, SocketEvent};

/// Time for which a test waits for anything, by the runtime's clock. That stands still while any task can
/// run, and otherwise moves on at once.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The input of one read.
#[derive(Debug)]
pub(super) enum Input {
    Texts(Vec<String>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    /// A part of a message, in a frame of its own.
    Fragment,
    /// Part of a frame: nothing to hand over yet.
    Part,
    End(Disconnect),
}

/// The output that a client sees.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// The answer to the handshake.
    Handshake,
    Text(String),
    Ping,
    Pong(Vec<u8>),
    Close(Option<u16>),
    /// The end of the server's sending direction.
    Shutdown,
    /// All bytes of one write, by any session.
    Written(Vec<u8>),
}

/// State that a socket and its client share.
#[derive(Default)]
struct Shared {
    input: RefCell<VecDeque<Input>>,
    /// Nothing more comes in.
    ended: Cell<bool>,
    has_left: Cell<bool>,
    /// The client takes nothing.
    is_full: Cell<bool>,
    is_broken: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Shared {
    fn wake(&self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }

    fn pending<T>(&self, cx: &Context<'_>) -> Poll<T> {
        self.task.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

/// The server's end.
pub(super) struct MockSocket {
    shared: Rc<Shared>,
    output: UnboundedSender<Output>,
    /// Other sessions write into it too.
    is_direct: bool,
}

struct MockWriter(UnboundedSender<Output>);

impl Writer for MockWriter {
    fn write(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = bytes.iter().flat_map(|part| part.to_vec()).collect();
        let len = bytes.len();
        let _ = self.0.send(Output::Written(bytes));
        Ok(len)
    }
}

/// The client's end.
pub(super) struct MockClient {
    shared: Rc<Shared>,
    output: UnboundedReceiver<Output>,
}

pub(super) fn mock() -> (MockSocket, MockClient) {
    let shared = Rc::<Shared>::default();
    let (sender, output) = unbounded_channel();
    let socket = MockSocket { shared: Rc::clone(&shared), output: sender, is_direct: false };
    (socket, MockClient { shared, output })
}

/// A socket into which all sessions write, as over plain TCP.
pub(super) fn direct_mock() -> (MockSocket, MockClient) {
    let (socket, client) = mock();
    (MockSocket { is_direct: true, ..socket }, client)
}

impl MockSocket {
    fn output(&self, frame: &Frame) -> Output {
        let payload = frame.payload();
        match frame.opcode() {
            None => Output::Handshake,
            Some(Opcode::Text) => Output::Text(String::from_utf8(payload.to_vec()).unwrap()),
            Some(Opcode::Binary) => unreachable!("no protocol has binary frames"),
            Some(Opcode::Ping) => Output::Ping,
            Some(Opcode::Pong) => Output::Pong(payload.to_vec()),
            Some(Opcode::Close) => {
                Output::Close(payload.first_chunk().map(|code: &[u8; 2]| u16::from_be_bytes(*code)))
            }
        }
    }
}

impl Socket for MockSocket {
    fn open_outbox(&mut self, limit: usize) -> Outbox {
        let writer = self.is_direct.then(|| Box::new(MockWriter(self.output.clone())) as _);
        let mut outbox = Outbox::direct(limit, writer);
        outbox.push_opening(Frame::raw(b"HTTP/1.1 101\r\n\r\n".to_vec()));
        outbox
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>, on_event: OnEvent<'_>) -> Poll<Result<(), Disconnect>> {
        let input = self.shared.input.borrow_mut().pop_front();
        match input {
            Some(Input::Texts(mut texts)) => {
                let mut handled = 0;
                for text in &texts {
                    // Stops when the session breaks, as the decoder does.
                    match on_event(SocketEvent::Text(text)) {
                        Flow::Continue(()) => handled += 1,
                        Flow::Break(()) => {
                            handled += 1;
                            break;
                        }
                    }
                }
                texts.drain(..handled);
                if !texts.is_empty() {
                    self.shared.input.borrow_mut().push_front(Input::Texts(texts));
                }
            }
            Some(Input::Binary(bytes)) => drop(on_event(SocketEvent::Binary(&bytes))),
            Some(Input::Ping(payload)) => drop(on_event(SocketEvent::Ping(&payload))),
            Some(Input::Pong) => drop(on_event(SocketEvent::Pong)),
            Some(Input::Fragment) => drop(on_event(SocketEvent::Fragment)),
            Some(Input::Part) => {}
            Some(Input::End(disconnect)) => {
                self.shared.ended.set(disconnect == Disconnect::Gone);
                return Poll::Ready(Err(disconnect));
            }
            None if self.shared.ended.get() => return Poll::Ready(Err(Disconnect::Gone)),
            None => return self.shared.pending(cx),
        }
        Poll::Ready(Ok(()))
    }

    fn has_left(&mut self, _cx: &mut Context<'_>) -> bool {
        self.shared.has_left.get()
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, outbox: &mut Outbox) -> Poll<io::Result<()>> {
        if self.shared.is_broken.get() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.is_direct {
            outbox.flush();
        }
        while let Some(frame) = outbox.front() {
            if self.shared.is_full.get() {
                return self.shared.pending(cx);
            }
            let output = self.output(frame);
            let len = frame.len();
            // An error means that the test has dropped its client.
            let _ = self.output.send(output);
            outbox.advance(len);
        }
        outbox.unblock();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let _ = self.output.send(Output::Shutdown);
        Poll::Ready(Ok(()))
    }
}

impl MockClient {
    pub(super) fn comes(&self, input: Input) {
        self.shared.input.borrow_mut().push_back(input);
        self.shared.wake();
    }

    pub(super) fn send(&self, text: impl Into<String>) {
        self.comes(Input::Texts(vec![text.into()]));
    }

    pub(super) fn end(&self, disconnect: Disconnect) {
        self.comes(Input::End(disconnect));
    }

    /// Input that is not read yet, by reads.
    pub(super) fn unread(&self) -> usize {
        self.shared.input.borrow().len()
    }

    /// The client leaves. A session that does not read sees it only through `has_left`.
    pub(super) fn leave(&self) {
        self.shared.has_left.set(true);
        self.end(Disconnect::Gone);
    }

    pub(super) fn stop_reading(&self) {
        self.shared.is_full.set(true);
    }

    pub(super) fn read_on(&self) {
        self.shared.is_full.set(false);
        self.shared.wake();
    }

    /// From now on writing fails.
    pub(super) fn break_writing(&self) {
        self.shared.is_broken.set(true);
        self.shared.wake();
    }

    /// The next output; `None` is the end of the session.
    pub(super) async fn next(&mut self) -> Option<Output> {
        timeout(TIMEOUT, self.output.recv()).await.expect("a frame or the end")
    }

    pub(super) async fn expect(&mut self, output: Output) {
        assert_eq!(self.next().await, Some(output));
    }

    pub(super) async fn expect_text(&mut self, text: &str) {
        self.expect(Output::Text(text.to_owned())).await;
    }

    /// Expects that the session ends with nothing more said.
    pub(super) async fn expect_end(&mut self) {
        assert_eq!(self.next().await, None);
    }

    /// Expects a close frame, answers it, and expects the end.
    pub(super) async fn expect_closed_with(&mut self, code: Option<u16>) {
        self.expect(Output::Close(code)).await;
        self.end(Disconnect::Closed(code));
        self.expect(Output::Shutdown).await;
        self.end(Disconnect::Gone);
        self.expect_end().await;
    }

    /// Expects that nothing has arrived, and nothing will before something happens.
    pub(super) async fn expect_nothing(&mut self) {
        idle().await;
        assert_eq!(self.already(), None);
    }

    /// Output that has arrived.
    pub(super) fn already(&mut self) -> Option<Output> {
        self.output.try_recv().ok()
    }
}

/// Waits until no task can continue.
pub(super) async fn idle() {
    // The runtime's clock moves on only then.
    tokio::time::sleep(Duration::from_millis(1)).await;
}
