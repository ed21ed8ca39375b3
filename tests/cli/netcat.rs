//! `peerbroker listen` and `peerbroker connect`, at a real broker.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use serde_json::{Value, json};

use crate::http_client::TIMEOUT;
use crate::program::{Program, command};

/// One end. Its drop ends it.
struct End {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
}

impl Drop for End {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The lines of a pipe, with their ends. Reading has a bound, because another thread does it.
fn lines(pipe: impl std::io::Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (line, lines) = channel();
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut read = Vec::new();
            if pipe.read_until(b'\n', &mut read).unwrap_or(0) == 0 || line.send(read).is_err() {
                return;
            }
        }
    });
    lines
}

fn next(lines: &Receiver<Vec<u8>>) -> String {
    let line = lines.recv_timeout(TIMEOUT).expect("a line");
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

/// All that comes until the end.
fn rest(lines: &Receiver<Vec<u8>>) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        match lines.recv_timeout(TIMEOUT) {
            Ok(line) => all.extend(line),
            Err(RecvTimeoutError::Disconnected) => return all,
            Err(RecvTimeoutError::Timeout) => panic!("no end: {:?}", String::from_utf8_lossy(&all)),
        }
    }
}

impl End {
    fn start(broker: &str, args: &[&str]) -> Self {
        let mut child = command(args)
            .env("PEERBROKER_BROKER", broker)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let stdin = child.stdin.take();
        let stdout = lines(child.stdout.take().unwrap());
        let stderr = lines(child.stderr.take().unwrap());
        End { child, stdin, stdout, stderr }
    }

    /// Starts a listener, and waits until others find it.
    fn listen(broker: &Program, args: &[&str]) -> Self {
        let end = Self::start(&url(broker), &[&["listen"], args].concat());
        while !next(&end.stderr).starts_with("Listening as ") {}
        end
    }

    fn connect(broker: &Program, args: &[&str]) -> Self {
        Self::start(&url(broker), &[&["connect"], args].concat())
    }

    fn tell(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Waits for the end: the exit code, the rest of stdout, and of stderr.
    fn end(mut self) -> (Option<i32>, Vec<u8>, String) {
        drop(self.stdin.take());
        let stdout = rest(&self.stdout);
        let stderr = String::from_utf8(rest(&self.stderr)).unwrap();
        (self.child.wait().unwrap().code(), stdout, stderr)
    }
}

fn url(broker: &Program) -> String {
    format!("http://{}", broker.address)
}

#[test]
fn bytes_go_both_ways_until_both_ends_have_ended() {
    let broker = Program::start(&[]);
    let mut listener = End::listen(&broker, &["ada"]);
    let invitation: Vec<String> = (0..3).map(|_| next(&listener.stderr)).collect();
    let link = invitation.iter().find_map(|line| line.split('\'').nth(1)).expect("a link").to_owned();
    // A link has its broker, which beats the variable.
    let mut caller = End::start("http://127.0.0.1:1", &["connect", &link]);
    listener.tell("hello\n");
    assert_eq!(next(&caller.stdout), "hello");
    // A whole number of lines.
    let sent =
        [&(0..3_000_000_u32).map(|number| (number % 251) as u8).collect::<Vec<_>>()[..], b"\n"].concat();
    let mut stdin = caller.stdin.take().unwrap();
    let data = sent.clone();
    thread::spawn(move || stdin.write_all(&data));
    let mut read = 0;
    let mut heard = Vec::new();
    while read < sent.len() {
        heard.extend(listener.stdout.recv_timeout(TIMEOUT).expect("data"));
        read = heard.len();
    }
    assert!(heard == sent);
    // The caller has ended its half, but hears the listener's.
    listener.tell("bye\n");
    assert_eq!(next(&caller.stdout), "bye");
    let listened = listener.end();
    let called = caller.end();
    assert_eq!((listened.0, called.0), (Some(0), Some(0)), "{listened:?} {called:?}");
}

#[test]
fn a_code_is_proved_and_three_wrong_ones_end_the_listener() {
    let broker = Program::start(&[]);
    let listener = End::listen(&broker, &["ada", "--exec", "echo it is you", "--code=4821-9037"]);
    let right = || End::connect(&broker, &["ada", "--code", "4821 9037"]).end();
    let (code, stdout, stderr) = right();
    assert_eq!((code, &stdout[..]), (Some(0), &b"it is you\n"[..]), "{stderr}");
    // A missing code is no guess.
    let (code, _, stderr) = End::connect(&broker, &["ada"]).end();
    assert!(code == Some(4) && stderr.contains("add --code"), "{stderr}");
    for guess in ["4821-9038", "4821-9039"] {
        let (code, stdout, stderr) = End::connect(&broker, &["ada", "--code", guess]).end();
        assert!(code == Some(4) && stdout.is_empty() && stderr.contains("the code is wrong"), "{stderr}");
    }
    assert_eq!(right().0, Some(0));
    assert_eq!(End::connect(&broker, &["ada", "--code", "4821-9000"]).end().0, Some(4));
    let (code, _, stderr) = listener.end();
    assert!(code == Some(4) && stderr.contains("3 wrong codes"), "{stderr}");
}

#[test]
fn exit_codes_say_why_there_is_no_connection() {
    let broker = Program::start(&[]);
    let _open = End::listen(&broker, &["open", "--keep"]);
    for (args, expected, words) in [
        (&["nobody"][..], 3, "nobody has the id 'nobody'"),
        (&["open", "--code", "4821-9037"], 4, "asks for no code"),
        (&["open", "--code", "1"], 2, "6 to 64 digits"),
        (&["open", "--broker", "ftp://x"], 2, "'ftp://x' is no URL"),
        (&["open", "--broker", "http://127.0.0.1:1"], 5, "127.0.0.1:1"),
        (&["open", "--ca", "/"], 2, "cannot read --ca /"),
        (&["ftp://x/broker/talk#open"], 2, "is no URL"),
    ] {
        let (code, _, stderr) = End::connect(&broker, args).end();
        assert!(code == Some(expected) && stderr.contains(words), "{args:?} {code:?} {stderr}");
    }
    let (code, _, stderr) = End::start(&url(&broker), &["listen", "open"]).end();
    assert!(code == Some(5) && stderr.contains("is taken"), "{code:?} {stderr}");
}

#[test]
fn a_port_is_passed_through() {
    let broker = Program::start(&[]);
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = target.local_addr().unwrap().to_string();
    let _listener = End::listen(&broker, &["ada", "--tcp", &address, "--no_code", "--number"]);
    let caller = End::connect(&broker, &["ada", "--tcp", "0", "--number"]);
    assert!(next(&caller.stderr).starts_with("Safety number with ada: "));
    let port = next(&caller.stderr).strip_prefix("Listening at ").expect("a port").to_owned();
    thread::spawn(move || {
        for socket in target.incoming() {
            thread::spawn(|| {
                let socket = socket.unwrap();
                let mut all = Vec::new();
                (&socket).read_to_end(&mut all).unwrap();
                all.reverse();
                (&socket).write_all(&all)
            });
        }
    });
    let mut clients: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(&port).unwrap()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.write_all(&[1, number as u8]).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
    }
    for (number, mut client) in clients.into_iter().enumerate().rev() {
        client.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        assert_eq!(all, [number as u8, 1]);
    }
}

#[test]
fn a_script_answers_those_who_come() {
    let broker = Program::start(&[]);
    let mut script = End::listen(&broker, &["bot", "--json"]);
    let event = |end: &End| serde_json::from_str::<Value>(&next(&end.stdout)).unwrap();
    let mut callers = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut caller = End::connect(&broker, &["bot", "--json"]);
        assert_eq!(event(&caller), json!({"from": "bot", "event": "open"}));
        let id = event(&script)["from"].clone();
        caller.tell("{\"data\":{\"question\":[1,2.5,\"é\\n\"]}}\n");
        assert_eq!(event(&script), json!({"from": id, "data": {"question": [1, 2.5, "é\n"]}}));
        ids.push(id);
        callers.push(caller);
    }
    script.tell("nonsense\n");
    while !next(&script.stderr).starts_with("line 1: expected {\"to\"") {}
    script.tell(&format!(
        "{}\n{}\n",
        json!({"to": ids[1], "data": {"bytes": "AAE="}}),
        json!({"data": "all"})
    ));
    assert_eq!(event(&callers[1]), json!({"from": "bot", "data": {"bytes": "AAE="}}));
    for caller in &callers {
        assert_eq!(event(caller), json!({"from": "bot", "data": "all"}));
    }
    for (caller, id) in callers.into_iter().zip(ids) {
        assert_eq!(caller.end().0, Some(0));
        assert_eq!(event(&script), json!({"from": id, "event": "close"}));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_tells_the_other_end_at_once() {
    let broker = Program::start(&[]);
    let mut listener = End::listen(&broker, &["ada", "--keep"]);
    for _ in 0..2 {
        let caller = End::connect(&broker, &["ada"]);
        listener.tell("hello\n");
        assert_eq!(next(&caller.stdout), "hello");
        testkit::signal::send("-INT", caller.child.id());
        assert_eq!(caller.end().0, Some(130));
        while !next(&listener.stderr).contains("lost") {}
    }
}
