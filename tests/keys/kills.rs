//! A process that is killed at any moment leaves a valid database with all keys that it printed.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, io, thread};

use peerbroker_keys::{Change, KeyStore as _};

use crate::directory::Directory;
use crate::{key, made_at, open};

const ROUNDS: usize = 30;
/// The variable that tells the child process where to write.
const CHILD_DIR: &str = "PEERBROKER_TEST_KILLED_IN";

/// Checks that every key of a complete output line is there, and that the file is valid.
fn assert_kept(dir: &Path, promised: &[String]) {
    let keys = open(dir).all().expect("keys");
    for line in promised {
        assert!(keys.iter().any(|key| key.key.as_str() == line), "{line} was printed and is not there");
    }
    let file = rusqlite::Connection::open(dir.join(peerbroker_keys::sqlite::FILE_NAME)).unwrap();
    let check: String = file.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

/// Kills it, and returns the rest of its output, without an incomplete line.
fn kill(mut child: Child, mut stdout: BufReader<impl io::Read>) -> Vec<String> {
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("text");
    let whole = rest.rfind('\n').map_or("", |end| &rest[..end]);
    whole.lines().map(str::to_owned).collect()
}

/// Kills `peerbroker keys add` at some moment between its start and its end. Returns the key, if it was
/// printed.
fn add_and_kill(dir: &Path) -> Option<String> {
    let mut command = Command::new(testkit::program::path());
    command.args(["keys", "add", "--data_dir"]).arg(dir).env_clear().stdout(Stdio::piped());
    let mut child = command.spawn().expect("the program");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    // The kill waits for nothing, so that it can come at any moment.
    thread::sleep(Duration::from_micros(rand::random_range(0..40_000)));
    kill(child, stdout).into_iter().next()
}

#[test]
fn a_command_that_is_killed_keeps_the_key_that_it_has_printed() {
    let directory = Directory::new();
    let dir = directory.at("data");
    let mut promised = Vec::new();
    for _ in 0..ROUNDS {
        promised.extend(add_and_kill(&dir));
        assert_kept(&dir, &promised);
    }
}

#[test]
fn a_command_that_is_killed_while_it_makes_the_database_leaves_one_that_can_be_used() {
    for _ in 0..ROUNDS {
        let directory = Directory::new();
        let dir = directory.at("data");
        let promised: Vec<String> = add_and_kill(&dir).into_iter().collect();
        assert_kept(&dir, &promised);
        open(&dir).add(made_at(1, "afterwards")).expect("a database that can be used");
    }
}

#[test]
fn a_writer_that_is_killed_keeps_all_that_it_has_promised() {
    let directory = Directory::new();
    let dir = directory.at("data");
    let mut promised = Vec::new();
    for _ in 0..ROUNDS {
        let mut command = Command::new(env::current_exe().expect("this test"));
        command.args(["--exact", "kills::child_that_writes_until_it_is_killed", "--ignored", "--nocapture"]);
        command.env(CHILD_DIR, &dir).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this test");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let lines = stdout.by_ref().lines().map_while(Result::ok);
        let written: Vec<String> = lines.take(rand::random_range(3..40)).collect();
        assert!(written.len() >= 3, "it does not end by itself");
        let rest = kill(child, stdout);
        let keys =
            written.into_iter().chain(rest).filter_map(|line| line.strip_prefix("+").map(str::to_owned));
        promised.extend(keys);
        assert_kept(&dir, &promised);
    }
    assert!(promised.len() > ROUNDS);
}

#[test]
#[ignore = "the child of the test above, which kills it"]
fn child_that_writes_until_it_is_killed() {
    let Some(dir) = env::var_os(CHILD_DIR) else { return };
    let keys = open(Path::new(&dir));
    loop {
        let kept = peerbroker_keys::random_key();
        let gone = peerbroker_keys::random_key();
        keys.add(made_at(1, gone.as_str())).unwrap();
        keys.add(made_at(1, kept.as_str())).unwrap();
        // Not through `println!`, which the test would catch.
        writeln!(io::stdout(), "+{}", kept.as_str()).unwrap();
        keys.change(&kept, Change { name: Some("x".repeat(500)), ..Change::default() }).unwrap();
        keys.record_used(&[(kept.clone(), 1), (key("absent"), 1)]).unwrap();
        keys.remove(&gone).unwrap();
    }
}
