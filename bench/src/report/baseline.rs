//! The baseline of a run, to find regressions.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::table::aligned;
use crate::measured::Pace;
use crate::runner::{FIXED_WORK, Kind, Run, ServerRun};

/// Ratios to a fixed piece of work, or to the yardstick, of the same run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Baseline {
    pub commit: String,
    pub date: String,
    pub ratios: BTreeMap<String, f64>,
}

/// A change since the baseline; a larger value is worse.
pub struct Change<'a> {
    name: &'a str,
    before: f64,
    now: f64,
}

/// Smaller changes are noise.
const TOLERANCE: f64 = 1.15;

impl Baseline {
    pub fn of(run: &Run) -> Self {
        let mut ratios = BTreeMap::new();
        let fixed = run.micro.get(FIXED_WORK).copied().unwrap_or(f64::NAN);
        let parts = run.micro.iter().filter(|(name, _)| *name != FIXED_WORK);
        ratios.extend(parts.map(|(name, nanos)| (format!("{name} / {FIXED_WORK}"), nanos / fixed)));

        let mut by_yardstick = |name: &str, figure: &dyn Fn(&ServerRun) -> Option<f64>| {
            let of = |kind| run.of(kind).and_then(figure);
            if let (Some(ours), Some(yardstick)) = (of(Kind::Peerbroker), of(Kind::Yardstick)) {
                ratios.insert(format!("{name} / yardstick"), ours / yardstick);
            }
        };
        by_yardstick("CPU per message, 1 in flight", &|server| server.message_us(Pace::InFlight(1)));
        by_yardstick("CPU per message, 4 in flight", &|server| server.message_us(Pace::InFlight(4)));
        by_yardstick("CPU per open at 100 peers", &|server| server.open_us(100));
        by_yardstick("CPU per open at 5,000 peers", &|server| server.open_us(5000));
        by_yardstick("CPU per heartbeat", &|server| server.heartbeat_us(10_000.0));

        // The same on every machine, so a ratio would only add noise.
        let ours = run.of(Kind::Peerbroker);
        if let Some(bytes) = ours.and_then(|server| server.bytes_per_peer(5000)) {
            ratios.insert("bytes per idle peer, 5,000 peers".to_owned(), bytes);
        }
        let commit = run.machine.versions.first().map(|(_, commit)| commit.clone()).unwrap_or_default();
        Baseline { commit, date: run.machine.date.clone(), ratios }
    }

    pub fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file)
            .with_context(|| format!("no {}: `make bench-baseline` makes one", file.display()))?;
        Ok(serde_json::from_str(&text)?)
    }

    pub fn write(&self, file: &Path) -> Result<()> {
        Ok(fs::write(file, serde_json::to_string_pretty(self)? + "\n")?)
    }

    /// All measures that both have.
    pub fn changes<'a>(&'a self, now: &Baseline) -> Vec<Change<'a>> {
        let change = |(name, before): (&'a String, &f64)| {
            Some(Change { name, before: *before, now: *now.ratios.get(name)? })
        };
        self.ratios.iter().filter_map(change).collect()
    }
}

impl Change<'_> {
    pub fn is_worse(&self) -> bool {
        self.now > self.before * TOLERANCE
    }

    pub fn table(changes: &[Change<'_>]) -> String {
        let mut cells = vec![["ratio", "baseline", "now", "change", "verdict"].map(str::to_owned).to_vec()];
        for change in changes {
            cells.push(vec![
                change.name.to_owned(),
                format!("{:.4}", change.before),
                format!("{:.4}", change.now),
                format!("{:+.0} %", (change.now / change.before - 1.0) * 100.0),
                if change.is_worse() { "WORSE" } else { "" }.to_owned(),
            ]);
        }
        aligned(&cells)
    }
}
