//! The micro-benchmarks of the broker, run by Criterion.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The micro-benchmark that never changes. It runs before the others and again after them.
pub const FIXED_WORK: &str = "fixed_work";

/// Criterion's times for each benchmark.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub warm_up_seconds: f64,
    pub measure_seconds: f64,
}

/// Runs the micro-benchmarks and returns the nanoseconds per iteration of each.
pub(super) fn run(package: &Path, timing: Timing) -> Result<BTreeMap<String, f64>> {
    // A separate directory, so that it contains no old results.
    let results = package.join("target/criterion");
    if results.exists() {
        fs::remove_dir_all(&results)?;
    }
    let Timing { warm_up_seconds, measure_seconds } = timing;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // The variables of `cargo run` for this package would make some dependencies rebuild.
    let of_this_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
        if of_this_package(&name) {
            command.env_remove(name);
        }
    }
    let output = command
        .args(["bench", "--quiet", "--bench", "broker", "--", "--noplot"])
        .args(["--warm-up-time", &warm_up_seconds.to_string()])
        .args(["--measurement-time", &measure_seconds.to_string()])
        .current_dir(package)
        .env("CRITERION_HOME", &results)
        .stdin(Stdio::null())
        .output()
        .context("cannot run cargo bench")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`cargo bench --bench broker` failed: {said}");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&results)? {
        let entry = entry?;
        let Ok(text) = fs::read_to_string(entry.path().join("new/estimates.json")) else { continue };
        let json: serde_json::Value = serde_json::from_str(&text)?;
        let nanos =
            json["median"]["point_estimate"].as_f64().context("Criterion's estimates have no median")?;
        found.insert(entry.file_name().to_string_lossy().into_owned(), nanos);
    }
    // The mean of both runs stands for the machine's speed in between.
    let again = found.remove(&format!("{FIXED_WORK}_again")).context("no fixed work")?;
    let fixed = found.get_mut(FIXED_WORK).context("no fixed work")?;
    *fixed = f64::midpoint(*fixed, again);
    Ok(found)
}
