//! The lines that a test writes to a target of the log.

use std::cell::RefCell;

use log::{LevelFilter, Log, Metadata, Record};

thread_local! {
    /// The target that this thread records, and its lines.
    static RECORDED: RefCell<Option<(&'static str, Vec<String>)>> = const { RefCell::new(None) };
}

struct Recorder;

impl Log for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        RECORDED
            .with_borrow(|recorded| recorded.as_ref().is_some_and(|(target, _)| *target == metadata.target()))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = record.args().to_string();
            RECORDED.with_borrow_mut(|recorded| recorded.as_mut().map(|(_, lines)| lines.push(line)));
        }
    }

    fn flush(&self) {}
}

/// The lines that this thread writes to a target meanwhile, from `debug` on.
pub fn written(target: &'static str, act: impl FnOnce()) -> Vec<String> {
    // Another test may have done it before.
    let _ = log::set_logger(&Recorder);
    log::set_max_level(LevelFilter::Debug);
    RECORDED.set(Some((target, Vec::new())));
    act();
    RECORDED.take().map_or_else(Vec::new, |(_, lines)| lines)
}
