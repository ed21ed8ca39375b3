//! The findings of all checks, as text and as JSON.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;
use serde_json::json;

/// The checks that every whole run has, in their order. Those of a certificate depend on TLS.
const CHECKS: &str = "dns tcp tls http clock path key cors proxy websocket peers discovery relay ice";
/// The checks of a run with `--quick`.
const QUICK_CHECKS: &str = "dns tcp health";
/// The documentation for those whose server does not show it.
const REPOSITORY: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/");

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum CheckState {
    Ok,
    /// Clients can connect, but something should be changed.
    Warning,
    Failed,
    Skipped,
}

/// The result of a check.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    /// The name of the check; the report sets it.
    pub(super) check: &'static str,
    pub(super) state: CheckState,
    /// The finding in one sentence.
    pub(super) found: String,
    /// Advice for the operator.
    pub(super) advice: Option<String>,
}

/// A finding with the name of its check.
pub(super) type Named = (&'static str, Finding);

/// A finding and its advice, if there is one: two formats with `=>` between them.
macro_rules! finding {
    ($state:ident $found:literal $(, $of:expr)* $(=> $advice:literal $(, $with:expr)*)?) => {
        $crate::report::Finding {
            check: "",
            state: $crate::report::CheckState::$state,
            found: format!($found $(, $of)*),
            advice: None$(.or(Some(format!($advice $(, $with)*))))?,
        }
    };
}
macro_rules! ok { ($($text:tt)*) => { finding!(Ok $($text)*) }; }
macro_rules! warning { ($($text:tt)*) => { finding!(Warning $($text)*) }; }
macro_rules! failed { ($($text:tt)*) => { finding!(Failed $($text)*) }; }
macro_rules! skipped { ($($text:tt)*) => { finding!(Skipped $($text)*) }; }

impl Finding {
    pub(super) fn has_failed(&self) -> bool {
        self.state == CheckState::Failed
    }
}

/// A check that cannot go on returns its finding as the error.
impl From<Result<Finding, Finding>> for Finding {
    fn from(result: Result<Finding, Finding>) -> Self {
        result.unwrap_or_else(|finding| finding)
    }
}

/// The findings so far. In text, each is printed at once.
pub(super) struct Report {
    findings: Vec<Finding>,
    is_silent: bool,
    /// The checks that a run has.
    checks: &'static str,
    /// The URL of the documentation, with the end of its pages.
    docs: (String, &'static str),
}

impl Report {
    pub(super) fn new(is_silent: bool, is_quick: bool) -> Self {
        let checks = if is_quick { QUICK_CHECKS } else { CHECKS };
        Report { findings: Vec::new(), is_silent, checks, docs: (REPOSITORY.to_owned(), ".md") }
    }

    /// From now on, advice names the documentation that the peerbroker at this URL serves.
    pub(super) fn name_docs_of(&mut self, url: &str) {
        self.docs = (format!("{url}broker/docs/"), "");
    }

    /// A text with URLs in place of `docs/TLS.md`: a person who runs the program may have no files.
    fn with_urls(&self, text: &str) -> String {
        let mut parts = text.split("docs/");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            match part.split_once(".md") {
                Some((name, rest)) => text.extend([self.docs.0.as_str(), name, self.docs.1, rest]),
                None => text.extend(["docs/", part]),
            }
        }
        text
    }

    /// Adds a finding. True unless it has failed.
    pub(super) fn add(&mut self, check: &'static str, finding: impl Into<Finding>) -> bool {
        let Finding { state, found, advice, .. } = finding.into();
        let found = self.with_urls(&found);
        let advice = advice.map(|advice| self.with_urls(&advice));
        // The colours are those of ECMA-48 (SGR).
        let (mark, colour) = match state {
            CheckState::Ok => ("ok  ", 32),
            CheckState::Warning => ("warn", 33),
            CheckState::Failed => ("FAIL", 31),
            CheckState::Skipped => ("skip", 2),
        };
        let has_colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let mark = if has_colour { format!("\x1b[{colour}m{mark}\x1b[0m") } else { mark.to_owned() };
        self.say(&format!("{mark} {check:<11} {}", printable(&found)));
        if let Some(advice) = &advice {
            self.say(&format!("{:17}-> {}", "", printable(advice)));
        }
        self.findings.push(Finding { check, state, found, advice });
        state != CheckState::Failed
    }

    pub(super) fn add_all(&mut self, findings: Vec<Named>) {
        for (check, finding) in findings {
            self.add(check, finding);
        }
    }

    /// Adds the finding of a check that finds something for the next ones. `None` ends the examination.
    pub(super) fn take<T>(
        &mut self,
        check: &'static str,
        result: Result<(Finding, T), Finding>,
    ) -> Option<T> {
        let (finding, found) = match result {
            Ok((finding, found)) => (finding, Some(found)),
            Err(finding) => (finding, None),
        };
        self.add(check, finding);
        found
    }

    /// Names the checks that were not done because an earlier one failed, and prints the end. True if no
    /// check has failed.
    pub(super) fn finish(mut self, url: &str) -> bool {
        let failed =
            self.findings.iter().rev().find(|finding| finding.has_failed()).map(|failed| failed.check);
        let is_left = |check: &&str| !self.findings.iter().any(|finding| finding.check == *check);
        let left: Vec<&str> = self.checks.split(' ').filter(is_left).collect();
        if let Some(failed) = failed.filter(|_| !left.is_empty()) {
            self.add("rest", skipped!("not checked, because of {failed}: {}", left.join(", ")));
        }
        let count = |state| self.findings.iter().filter(|finding| finding.state == state).count();
        self.say(&match (count(CheckState::Failed), count(CheckState::Warning)) {
            (0, 0) => "Nothing is wrong.".to_owned(),
            (0, warnings) => format!("Clients can connect. Warnings: {warnings}."),
            (failed, 0) => format!("Failed: {failed}."),
            (failed, warnings) => format!("Failed: {failed}. Warnings: {warnings}."),
        });
        if self.is_silent {
            print(&json!({ "url": url, "ok": failed.is_none(), "checks": self.findings }).to_string());
        }
        failed.is_none()
    }

    pub(super) fn say(&self, text: &str) {
        if !self.is_silent {
            print(text);
        }
    }
}

fn print(line: &str) {
    let mut stdout = io::stdout().lock();
    // If stdout is closed, the lines are dropped; the exit code stays.
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// A text, part of which may be the server's, without control characters: they could change how the terminal
/// looks.
fn printable(text: &str) -> String {
    let escape = |c: char| match c {
        '\'' | '"' | '\\' => c.to_string(),
        c => c.escape_debug().to_string(),
    };
    text.chars().map(escape).collect()
}
