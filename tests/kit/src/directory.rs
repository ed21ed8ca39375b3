//! A temporary directory of a test. The drop removes it.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::tools::scratch;

pub struct Directory(PathBuf);

impl Directory {
    #[expect(clippy::new_without_default, reason = "it makes a directory")]
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("keys-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let path = scratch().join(name);
        fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }

    /// The path of `name` in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The same, as an argument.
    pub fn arg(&self, name: &str) -> String {
        self.at(name).to_str().expect("UTF-8").to_owned()
    }

    /// A file in it, as an argument.
    pub fn file(&self, name: &str, content: &str) -> String {
        fs::write(self.at(name), content).expect("a file");
        self.arg(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
