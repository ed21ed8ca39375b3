//! The terminal: id, link and QR code of a listener, notes, and the progress of long streams. All on stderr,
//! because stdout is for data.

use std::io::{self, IsTerminal as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use peerbroker_core::vocabulary::printable;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use tokio::time::{Instant, sleep};

/// Streams that are shorter than this and a period show no progress.
const SHORT: Duration = Duration::from_secs(2);
const PERIOD: Duration = Duration::from_secs(1);

/// Prints a line, in which strangers' texts are harmless.
pub(crate) fn note(text: &str) {
    eprintln!("{}", printable(text));
}

/// True if a person can answer a question.
pub(crate) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// True if what comes goes to a file or a program, and nobody wants to type an answer.
pub(crate) fn is_for_a_file() -> bool {
    io::stdin().is_terminal() && !io::stdout().is_terminal()
}

/// The places at which a listener can be reached, for a person.
pub(crate) fn invitation(id: &str, link: &str, code: Option<&str>) -> String {
    let mut text = format!("Listening as {}\n\n  peerbroker connect '{link}'\n", printable(id));
    match code {
        Some(code) => text += &format!("\n  Code: {code}  (say it by voice; whoever knows it can connect)\n"),
        None => {
            text += &format!("  {link}  (a page to talk with)\n");
            if let (true, Ok(code)) = (io::stderr().is_terminal(), QrCode::new(link)) {
                // Most terminals are dark, so the light modules are drawn.
                let code = code.render().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
                text += &format!("\n{code}\n");
            }
        }
    }
    text
}

/// Does the work, and shows how many bytes have passed, if it takes long and a person looks on.
pub(crate) async fn with_progress<T>(bytes: &AtomicU64, work: impl Future<Output = T>) -> T {
    let is_dialogue = io::stdin().is_terminal() && io::stdout().is_terminal();
    if is_dialogue || !io::stderr().is_terminal() {
        return work.await;
    }
    tokio::select! { done = work => done, never = report(bytes) => match never {} }
}

/// The line of progress. Its drop erases it.
struct Shown(usize);

impl Drop for Shown {
    fn drop(&mut self) {
        eprint!("\r{:1$}\r", "", self.0);
    }
}

async fn report(bytes: &AtomicU64) -> std::convert::Infallible {
    let begun = Instant::now();
    sleep(SHORT).await;
    let mut shown = Shown(0);
    loop {
        let before = bytes.load(Ordering::Relaxed);
        sleep(PERIOD).await;
        let now = bytes.load(Ordering::Relaxed);
        let line = progress(now, now - before, begun.elapsed());
        eprint!("\r{line:0$}", shown.0);
        shown.0 = line.len();
    }
}

fn progress(bytes: u64, rate: u64, time: Duration) -> String {
    let [bytes, rate] = [bytes, rate].map(|bytes| bytes as f64 / (1 << 20) as f64);
    format!("{bytes:.1} MiB  {rate:.1} MiB/s  {} s", time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_has_the_code_or_the_page_but_not_both() {
        let link = "http://127.0.0.1:9000/broker/talk#ada";
        let open = invitation("ada", link, None);
        assert!(open.contains(link) && open.contains("page") && !open.contains("Code"), "{open}");
        let coded = invitation("a\u{1b}[2J", link, Some("4821-9037"));
        assert!(coded.contains("4821-9037") && !coded.contains("page"), "{coded}");
        assert!(!coded.contains('\u{1b}'), "{coded:?}");
    }

    #[test]
    fn progress_says_bytes_and_rate() {
        let time = Duration::from_secs(12);
        assert_eq!(progress(5 << 30, 100 << 20, time), "5120.0 MiB  100.0 MiB/s  12 s");
    }
}
