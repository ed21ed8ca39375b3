//! A call through the program, for `make check`: it compiles in a moment, because it names nothing of `src`.

use testkit::messages::{KINDS, expired, forwarded, message, offer};
use testkit::program::Program;

const SDP: &str = r#"{"sdp":"v=0"}"#;

#[test]
fn two_clients_call_each_other_and_what_nobody_gets_expires() {
    let program = Program::start(&["--expire_timeout", "1000"]);
    assert_eq!(program.get("/peerjs/id").text().len(), 36);
    let mut a = program.client("a");
    let mut b = program.client("b");
    for kind in KINDS {
        a.send(message(kind, "b", SDP));
        b.expect(forwarded(kind, "a", "b", SDP));
        b.send(message(kind, "a", SDP));
        a.expect(forwarded(kind, "b", "a", SDP));
    }
    a.send(offer("c", "1"));
    a.send(offer("d", "2"));
    a.expect_quiet();
    program.client("c").expect(forwarded("OFFER", "a", "c", "1"));
    a.expect(expired("d", "a"));
    a.expect_closed_by_us(Some(1000));
}
