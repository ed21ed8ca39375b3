//! Runs the servers side by side and compares them. `make bench` and others build its requirements and run
//! it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use peerbroker_bench::figures::Run;
use peerbroker_bench::plan::Plan;
use peerbroker_bench::report::{self, Recorded};
use peerbroker_bench::servers::{LOAD_CORE, Places, pin};
use peerbroker_bench::{relays, rows};

#[derive(Parser)]
#[command(about)]
struct Cli {
    task: Task,
    /// The program of the server [default: that of `make dist`]
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Another coturn, beside the one of `make setup`
    #[arg(long, value_name = "FILE")]
    coturn: Option<PathBuf>,
    /// Measure only steps with this in their name, such as `peerbroker: messages`, and write nothing
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Measure each step once, and write nothing
    #[arg(long)]
    once: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Task {
    /// Compare all servers, and write docs/benchmarks/run.json and the documents
    Full,
    /// Measure nodes that share a Redis, and write docs/benchmarks/cluster.json and the documents
    Cluster,
    /// Measure other protocols beside their own servers, and write docs/benchmarks/protocols.json and the
    /// documents
    Protocols,
    /// Measure calls through the relay, and write docs/benchmarks/relays.json and the documents
    Relays,
    /// Measure pipes, and write docs/benchmarks/pipes.json and the documents
    Pipes,
    /// Write the figures of the last runs into the documents again
    Report,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .context("bench is a part of the repository")?;
    if let Some(program) = cli.coturn {
        relays::add_coturn(program)?;
    }
    let (mut plan, file, rows): (Plan, &str, fn(&Run, String) -> Recorded) = match cli.task {
        Task::Full => (Plan::comparison(), "run.json", rows::comparison),
        Task::Cluster => (Plan::cluster(), "cluster.json", rows::cluster),
        Task::Protocols => (Plan::protocols(), "protocols.json", rows::protocols),
        Task::Relays => (Plan::relays(), "relays.json", rows::relays),
        Task::Pipes => (Plan::pipes(), "pipes.json", rows::pipes),
        Task::Report => return write_documents(root),
    };
    let is_whole = cli.only.is_none() && !cli.once;
    if let Some(part) = cli.only {
        plan = plan.only(&part)?;
    }
    if cli.once {
        plan = plan.once();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let places = Places {
        server: cli.server.unwrap_or_else(|| target.join("dist/peerbroker")),
        peerjs: root.join("tests/bench/node/node_modules/.bin/peerjs"),
        y_webrtc: root.join("tests/bench/node/node_modules/.bin/y-webrtc-signaling"),
        tracker: root.join("tests/bench/tracker/server.mjs"),
    };
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of open files")?;
    let about = Command::new(root.join("tests/bench/machine.sh")).arg(file).output();
    let about = about.context("cannot start machine.sh")?;
    let about = String::from_utf8(about.stdout)?;
    pin(LOAD_CORE)?;
    let run = plan.run(&places)?;
    let recorded = rows(&run, about);
    println!("{}", recorded.table());
    if is_whole {
        fs::write(root.join("docs/benchmarks").join(file), json(&recorded)?)?;
        write_documents(root)?;
    }
    Ok(())
}

/// A row in each line.
fn json(recorded: &Recorded) -> Result<String> {
    let rows: Vec<String> = recorded.rows.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    let about = serde_json::to_string(&recorded.about)?;
    let columns = serde_json::to_string(&recorded.columns)?;
    Ok(format!("{{\"about\":{about},\n\"columns\":{columns},\n\"rows\":[\n{}\n]}}\n", rows.join(",\n")))
}

fn write_documents(root: &Path) -> Result<()> {
    for (name, text) in report::documents(root)? {
        fs::write(root.join(name), text)?;
    }
    Ok(())
}
