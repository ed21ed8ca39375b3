//! Tasks of a node, which can be paused.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::task::LocalSet;

/// All tasks of a node. They stand still while it is paused, as after SIGSTOP.
pub struct Tasks {
    pub local: LocalSet,
    pub pause: Rc<Pause>,
}

#[derive(Default)]
pub struct Pause {
    pub paused: Cell<bool>,
    /// Of the tasks, which may have missed something.
    waker: RefCell<Option<Waker>>,
}

impl Pause {
    pub fn end(&self) -> bool {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
        self.paused.replace(false)
    }
}

impl Future for Tasks {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.pause.waker.replace(Some(cx.waker().clone()));
        if self.pause.paused.get() {
            return Poll::Pending;
        }
        Pin::new(&mut self.local).poll(cx)
    }
}
