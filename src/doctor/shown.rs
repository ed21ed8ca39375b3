//! Findings as text and as JSON.

use serde_json::{Value, json};

use super::finding::{Finding, State};
use crate::console::printable;

impl State {
    /// The name in JSON.
    fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failed => "failed",
            State::Skipped => "skipped",
        }
    }

    /// The mark in the text, and its colour (ECMA-48, SGR).
    fn mark(self) -> (&'static str, u8) {
        match self {
            State::Ok => ("ok  ", 32),
            State::Warning => ("warn", 33),
            State::Failed => ("FAIL", 31),
            State::Skipped => ("skip", 2),
        }
    }
}

/// The lines about a finding.
pub(super) fn text(finding: &Finding, has_colour: bool) -> String {
    let (mark, colour) = finding.state.mark();
    let mark = if has_colour { format!("\x1b[{colour}m{mark}\x1b[0m") } else { mark.to_owned() };
    // Texts of the server may be part of it.
    let mut text = format!("{mark} {:<11} {}\n", finding.check, printable(&finding.found));
    if let Some(advice) = &finding.advice {
        text += &format!("{:17}-> {}\n", "", printable(advice));
    }
    text
}

/// The last line.
pub(super) fn summary(findings: &[Finding]) -> String {
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    match (count(State::Failed), count(State::Warning)) {
        (0, 0) => "Nothing is wrong.\n".to_owned(),
        (0, warnings) => format!("Clients can connect. Warnings: {warnings}.\n"),
        (failed, 0) => format!("Failed: {failed}.\n"),
        (failed, warnings) => format!("Failed: {failed}. Warnings: {warnings}.\n"),
    }
}

/// All findings as one object.
pub(super) fn json(url: &str, findings: &[Finding]) -> String {
    let checks = findings.iter().map(|Finding { check, state, found, advice }| {
        json!({ "check": check, "state": state.name(), "found": found, "advice": advice })
    });
    let checks: Vec<Value> = checks.collect();
    let is_ok = !findings.iter().any(Finding::has_failed);
    format!("{}\n", json!({ "url": url, "ok": is_ok, "checks": checks }))
}
