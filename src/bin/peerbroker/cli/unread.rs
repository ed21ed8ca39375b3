//! Files of the working directory that look as if they were read.

use std::env;
use std::path::Path;

use peerbroker::files;

use super::command::Cli;
use super::service_links::PREFIX;
use super::table::ROWS;

/// The file of variables that other programs read by themselves.
const VARIABLES: &str = ".env";

/// Most bytes of it that are read.
const MAX_BYTES: u64 = 64 << 10;

impl Cli {
    /// A note for each file of the working directory that has settings, and is not read.
    pub fn unread(&self) -> Vec<String> {
        let names = names_in(VARIABLES);
        let of_variables = (!names.is_empty()).then(|| {
            let names = names.join(", ");
            format!("{VARIABLES} of this directory has {names}, and is not read: `set -a; . ./{VARIABLES}; set +a` reads it")
        });
        let file = crate::init_command::FILE;
        let is_unread = self.file.is_none() && Path::new(file).is_file();
        let of_file =
            is_unread.then(|| format!("{file} of this directory is not read: --config {file} reads it"));
        of_variables.into_iter().chain(of_file).collect()
    }
}

/// The variables of this program that a file sets, and the environment does not. Their values may be secret.
fn names_in(file: &str) -> Vec<String> {
    let Ok(bytes) = files::read_regular(Path::new(file), MAX_BYTES) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    let name = |line: &str| {
        let (name, _) = line.trim().split_once('=')?;
        let name = name.trim_start_matches("export ").trim();
        let is_ours = name.starts_with(PREFIX) || ROWS.iter().any(|row| row.fallback == Some(name));
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (is_ours && is_name && env::var_os(name).is_none()).then(|| name.to_owned())
    };
    text.lines().filter_map(name).collect()
}
