//! Test binaries with a table of their own in place of libtest: attacks, and counts of instructions.
//! `scripts/test.mjs` runs rows that fail once more by themselves.

use std::env;
use std::process::ExitCode;

use crate::program::PROGRAM;

/// The arguments of such a binary: flags, and parts of the names of rows. With `--exact`, whole names.
pub struct Arguments {
    flags: Vec<String>,
    names: Vec<String>,
}

impl Arguments {
    /// `None` if there is nothing to do: nextest asks each binary for its tests, and gets none of these; and
    /// without a program, `cargo test` skips them.
    pub fn read(target: &str) -> Option<Self> {
        let (flags, names): (Vec<String>, Vec<String>) =
            env::args().skip(1).partition(|argument| argument.starts_with('-'));
        let arguments = Arguments { flags, names };
        if arguments.has("--list") {
            return None;
        }
        if env::var_os(PROGRAM).is_none() {
            println!("skipped: `make {target}` runs these rows, and names the program in {PROGRAM}");
            return None;
        }
        Some(arguments)
    }

    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|given| given == flag)
    }

    pub fn wants(&self, row: &str) -> bool {
        let is_exact = self.has("--exact");
        let is_named = |name: &String| if is_exact { row == name } else { row.contains(name.as_str()) };
        self.names.is_empty() || self.names.iter().any(is_named)
    }
}

/// Prints the names of the rows that failed as `failed: NAME`, and the count of all.
pub fn verdict(rows: usize, failed: &[&str]) -> ExitCode {
    for name in failed {
        println!("failed: {name}");
    }
    println!("{} passed, {} failed", rows - failed.len(), failed.len());
    if rows == 0 {
        println!("no row has such a name");
    }
    if rows == 0 || !failed.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
