//! Databases that are damaged, belong to another user, or are on a disk that fails: the error is one line,
//! with a way out that works.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};

use super::{Directory, done, keys};
use crate::program::{self, Program, command, run};
use testkit::tools::lacks;

/// A user of nobody.
const STRANGER: u32 = 12345;

/// A directory with keys, and a backup of it.
fn with_keys() -> Directory {
    let directory = Directory::new();
    let entries: Vec<_> =
        (0..60).map(|n| serde_json::json!({"key": format!("k{n}"), "name": "n".repeat(90)})).collect();
    let file = directory.file("keys.json", &serde_json::json!({"keys": entries}).to_string());
    done(&directory, &["import", &file]);
    let ended = run(&["backup", "--data_dir", &directory.arg("data"), &directory.arg("copy")], &[]);
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    directory
}

/// The only line of an error.
fn only_line(text: &str) -> &str {
    let line = text.strip_suffix('\n').unwrap_or(text);
    assert!(line.starts_with("error: ") && !line.contains('\n'), "{text}");
    line
}

/// The command that an error quotes, without `sudo`, carried out.
fn carry_out(line: &str, backup: &str) {
    let quoted = line.split('`').nth(1).unwrap_or_else(|| panic!("no command in {line}"));
    let shell = quoted.replace("sudo ", "").replace("BACKUP", backup);
    assert!(Command::new("sh").args(["-c", &shell]).status().unwrap().success(), "{shell}");
}

#[test]
fn a_damaged_database_is_named_by_every_command_with_the_way_to_restore_a_backup() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [Damage; 3] = [
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle..].fill(0xff);
        },
        |bytes| bytes[..100].fill(b'x'),
        |bytes| bytes.truncate(5000),
    ];
    for damage in damages {
        let directory = with_keys();
        let data = directory.arg("data");
        let file = format!("{data}/peerbroker.db");
        let mut bytes = fs::read(&file).unwrap();
        damage(&mut bytes);
        fs::write(&file, bytes).unwrap();
        let restore = format!("`mv {data} {data}-broken && cp -a BACKUP {data}`");
        let other = directory.arg("other");
        let mut line = String::new();
        for args in [&["keys", "list"][..], &["backup", &other], &["config", "check"]] {
            let ended = run(&[args, &["--data_dir", &data]].concat(), &[]);
            assert_eq!(ended.status.code(), Some(1), "{args:?}: {}", ended.stderr);
            line = only_line(&ended.stderr).to_owned();
            assert!(line.contains(&format!("{file}: ")) && line.ends_with(&restore), "{args:?}: {line}");
            assert!(line.contains(", so it is damaged, or of another program. Stop the server"), "{line}");
        }
        carry_out(&line, &directory.arg("copy"));
        assert_eq!(keys(&directory, &["list"]).stdout.len(), 61);
        assert!(directory.at("data-broken").exists());
    }
}

#[test]
fn a_server_whose_database_is_damaged_says_how_to_restore_a_backup() {
    let directory = with_keys();
    let data = directory.arg("data");
    let file = directory.at("data/peerbroker.db");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xff);
    fs::write(&file, bytes).unwrap();
    let program = Program::start(&["--data_dir", &data]);
    program.expect_log(&format!(
        "{data}/peerbroker.db: database disk image is malformed, so it is damaged, or of another program. Stop the server, and \
         restore a backup: `mv {data} {data}-broken && cp -a BACKUP {data}`"
    ));
}

fn as_stranger(args: &[&str]) -> io::Result<Output> {
    command(args).uid(STRANGER).gid(STRANGER).output()
}

/// True if another user may start the program.
fn has_strangers() -> bool {
    let ended = as_stranger(&["--version"]);
    let is_fine = matches!(&ended, Ok(ended) if ended.status.success());
    if !is_fine {
        lacks(&format!("another user may not start the program: {ended:?}"));
    }
    is_fine
}

#[test]
fn a_file_that_the_user_of_the_server_may_not_read_is_told_with_how_a_unit_passes_it_on() {
    if !has_strangers() {
        return;
    }
    let directory = Directory::new();
    let file = directory.file("secret", "a secret");
    let closed = directory.arg("closed");
    fs::create_dir(&closed).unwrap();
    for (path, mode) in [(&file, 0o600), (&closed, 0o700)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    for flags in [
        &["--ops_port", "0", "--admin_token_file", &file][..],
        &["--sslkey", &file, "--sslcert", &file],
        &["--static_dir", &closed],
    ] {
        let ended = as_stranger(&[flags, &["--port", "0"]].concat()).unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(said.contains("may not read it: systemd passes it on by LoadCredential"), "{said}");
    }
}

#[test]
fn a_directory_or_a_database_of_another_user_is_named_with_the_command_that_mends_it() {
    if !has_strangers() {
        return;
    }
    let directory = Directory::new();
    let at = |name: &str| directory.arg(name);
    let made = |name: &str, mode: u32| {
        let ended = run(&["keys", "add", "--data_dir", &at(name)], &[]);
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        fs::set_permissions(directory.at(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    made("closed", 0o700);
    made("open", 0o755);
    made("file", 0o700);
    chown(directory.at("file"), Some(STRANGER), Some(STRANGER)).unwrap();
    made("dir", 0o755);
    chown(directory.at("dir/peerbroker.db"), Some(STRANGER), Some(STRANGER)).unwrap();
    let own = fs::metadata(directory.at("")).unwrap().uid();
    for (name, found) in [
        ("closed", at("closed")),
        ("open", at("open/peerbroker.db")),
        ("file", at("file/peerbroker.db")),
        ("dir", at("dir")),
        ("missing", String::new()),
    ] {
        let data = at(name);
        let mut line = String::new();
        for args in [&["config", "check"][..], &["--host", "127.0.0.1", "--port", "0"]] {
            let ended = as_stranger(&[args, &["--data_dir", &data]].concat()).unwrap();
            let stderr = String::from_utf8(ended.stderr).unwrap();
            assert_eq!(ended.status.code(), Some(1), "{name} {args:?}: {stderr}");
            line = only_line(&stderr).to_owned();
            let way_out = match name {
                "missing" => {
                    format!(". Make it for the server: `sudo install -d -m 700 -o {STRANGER} {data}`")
                }
                _ => format!(
                    ". {found} belongs to user {own}, and the server runs as user {STRANGER}: `sudo chown -R {STRANGER} {data}`"
                ),
            };
            assert!(line.contains(&data) && line.ends_with(&way_out), "{name} {args:?}: {line}");
        }
        carry_out(&line, "");
        let ended = as_stranger(&["keys", "add", "--data_dir", &data]).unwrap();
        assert!(ended.status.success(), "{name}: {}", String::from_utf8_lossy(&ended.stderr));
    }
}

/// A limit of the size of files stands for a disk that fails.
#[test]
fn a_disk_that_fails_is_no_bare_error_of_sqlite() {
    let directory = with_keys();
    let data = directory.arg("data");
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" keys import \"$1\" --replace --data_dir \"$2\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).arg(program::path()).args([&directory.arg("keys.json"), &data]);
    let ended = shell.output().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    let line = only_line(&stderr);
    assert!(
        line.contains(&format!("{data}/peerbroker.db: its disk cannot be read or written (disk I/O error")),
        "{line}"
    );
    assert!(line.contains("see the log of the kernel, as with `dmesg`"), "{line}");
}

#[test]
fn a_disk_that_is_read_only_is_named_with_the_ways_to_write_it() {
    let namespace = ["--user", "--map-root-user", "--mount"];
    let allowed = Command::new("unshare").args(namespace).arg("true").status();
    if !allowed.is_ok_and(|status| status.success()) {
        return lacks("this user may not make namespaces");
    }
    let script = r#"
        mount -t tmpfs none "$1" || exit 9
        "$0" keys add --data_dir "$1/data" || exit 9
        mount -o remount,ro "$1" || exit 9
        for dir in data new; do
            for command in "--host 127.0.0.1 --port 0" "config check" "keys add"; do
                "$0" $command --data_dir "$1/$dir" 2>&1 && exit 9
            done
        done
        "$0" keys list --data_dir "$1/data" 2>&1"#;
    let directory = Directory::new();
    let disk = directory.arg("disk");
    fs::create_dir_all(&disk).unwrap();
    let mut shell = Command::new("unshare");
    let ended =
        shell.args(namespace).args(["sh", "-c", script]).arg(program::path()).arg(&disk).output().unwrap();
    let told = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    let read_only = told.lines().filter(|line| {
        line.starts_with("error: ")
            && line.contains(" is read-only: mount it so that it can be written. In a container, take `ro` out of its volume; with \
                systemd, name it in ReadWritePaths=")
    });
    assert_eq!(read_only.count(), 7, "{told}");
}

#[test]
fn an_empty_file_in_place_of_the_database_warns_that_the_keys_are_gone() {
    let directory = Directory::new();
    let data = directory.arg("data");
    fs::create_dir(&data).unwrap();
    fs::write(directory.at("data/peerbroker.db"), "").unwrap();
    let log = Program::start(&["--data_dir", &data]).stop().stderr;
    let words = format!(
        "{data}/peerbroker.db was an empty file, so there are no stored keys: if there were some, stop the server and restore a backup"
    );
    assert!(log.contains(" WARN ") && log.contains(&words), "{log}");
    assert_eq!(Program::start(&["--data_dir", &data]).stop().stderr, "");
}

#[test]
fn a_database_that_is_made_is_named_with_its_absolute_path() {
    let directory = Directory::new();
    fs::create_dir_all(directory.at("")).unwrap();
    let start = || {
        let mut command = command(&["--host", "127.0.0.1", "--port", "0", "--data_dir", "data"]);
        Program::start_command(command.current_dir(directory.at(""))).stop().stderr
    };
    let log = start();
    let words = format!("made a database without keys in --data_dir {}", directory.arg("data"));
    assert!(log.contains(" INFO ") && log.contains(&words), "{log}");
    assert_eq!(start(), "");
}
