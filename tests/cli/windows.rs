//! The program for Windows: scripts/test-systems.sh runs it under wine.

use crate::directory::Directory;
use crate::program::{Program, run};

#[test]
#[ignore = "needs the program for Windows: make test-systems ARGS=windows"]
fn things_of_unix_are_named_and_refused() {
    let help = run(&["--help"], &[]).stdout.join("\n");
    for word in ["On Windows, ", "Ctrl-Break", "SIGHUP", "--reuse_port", "NOTIFY_SOCKET", "no modes"] {
        assert!(help.contains(word), "{word:?} in {help}");
    }
    for (flags, env, code, why) in [
        (&["--reuse_port"][..], &[][..], 1, "--reuse_port works on Linux only"),
        (&[], &[("LISTEN_FDS", "1")], 1, "programs on this system inherit no sockets"),
        (&[], &[("NOTIFY_SOCKET", "s")], 2, "cannot report to systemd"),
    ] {
        let ended = run(&[&["--port", "0"], flags].concat(), env);
        assert_eq!(ended.status.code(), Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains(why), "{}", ended.stderr);
    }
}

#[test]
#[ignore = "needs the program for Windows: make test-systems ARGS=windows"]
fn no_other_name_leads_to_a_file() {
    let data = Directory::new();
    data.file("page.txt", "text");
    data.file("long name.html", "text");
    data.file(".env", "secret");
    let program = Program::start(&["--static_dir", &data.arg(".")]);
    assert_eq!(program.get("/page.txt").status, 200);
    assert_eq!(program.get("/long%20name.html").status, 200);
    for other in
        ["/page.txt::$DATA", "/page.txt.", "/page.txt%20", "/LONGNA~1.HTM", "/ENV~1", "/.env", "/C:", "/NUL"]
    {
        assert_eq!(program.get(other).status, 404, "{other}");
    }
}

#[test]
#[ignore = "needs the program for Windows: make test-systems ARGS=windows"]
fn a_port_is_not_taken_from_another_program() {
    let first = Program::start(&[]);
    let port = first.address.port().to_string();
    let second = run(&["--host", "127.0.0.1", "--port", &port], &[]);
    assert_eq!(second.status.code(), Some(1));
    assert!(second.stderr.contains(&format!("port {port} is in use")), "{}", second.stderr);
}
