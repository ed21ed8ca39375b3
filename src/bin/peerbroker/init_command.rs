//! `peerbroker init`: writes a configuration file, an admin token and a data directory to begin with.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf, absolute};

use peerbroker_system::files;
use rand::distr::{Alphanumeric, SampleString as _};
use toml::Value;

use crate::failure::{Failure, cannot, failed};

/// The settings that most people need, as comments.
const EXAMPLE: &str = include_str!("../../../deploy/peerbroker.toml");

/// The name of the configuration file that it writes.
pub const FILE: &str = "peerbroker.toml";

/// The lines of the example that become settings.
const DATA_DIR: &str = "#data_dir = \"/var/lib/peerbroker\"";
const OPS_PORT: &str = "#ops_port = 9001";

/// Characters of a token: 190 bits, which nobody can guess.
const TOKEN_CHARS: usize = 32;

/// Writes the files, and returns the text to print. Nothing is overwritten.
pub fn run(dir: &Path) -> Result<String, Failure> {
    let is_here = dir == Path::new(".");
    let at = |name: &str| if is_here { PathBuf::from(name) } else { dir.join(name) };
    let [config, token, data] = [FILE, "admin.token", "data"].map(at);
    for path in [&config, &token, &data] {
        if fs::symlink_metadata(path).is_ok() {
            return Err(exists(path));
        }
    }
    // A server may be started in another directory.
    let settings = EXAMPLE
        .replace(DATA_DIR, &format!("data_dir = {}", text_of(&data)?))
        .replace(OPS_PORT, &format!("ops_port = 9001\nadmin_token_file = {}", text_of(&token)?));
    DirBuilder::new().recursive(true).create(dir).map_err(cannot("create", dir))?;
    files::private_dir().create(&data).map_err(cannot("create", &data))?;
    let secret = Alphanumeric.sample_string(&mut rand::rng(), TOKEN_CHARS) + "\n";
    write(&token, &files::new_private(), &secret)?;
    write(&config, OpenOptions::new().write(true).create_new(true), &settings)?;
    Ok(format!(
        "Created {}, {} and {}.\n\nStart the server:\n\n  peerbroker --config {}\n\nThe API is then at http://127.0.0.1:9001/, and \
         its token is in {}.\n",
        config.display(),
        token.display(),
        data.display(),
        config.display(),
        token.display(),
    ))
}

/// An absolute path as TOML has it.
fn text_of(path: &Path) -> Result<Value, Failure> {
    let whole = absolute(path).map_err(cannot("create", path))?;
    let text =
        whole.to_str().ok_or_else(|| failed(format!("the name of {} is not UTF-8", whole.display())))?;
    Ok(text.into())
}

fn write(path: &Path, options: &OpenOptions, text: &str) -> Result<(), Failure> {
    let file = options.open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        _ => cannot("create", path)(error),
    })
}

fn exists(path: &Path) -> Failure {
    failed(format!(
        "{} exists already, and is not overwritten: give another directory, as in 'peerbroker init broker'",
        path.display()
    ))
}
