//! Runs the servers side by side and compares them. `make bench` and `make bench-quick` build its
//! requirements and run it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use peerbroker_bench::report::{self, Baseline, Change};
use peerbroker_bench::runner::{self, Places, Plan, Run};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// The program of the server [default: that of `cargo build --release`]
    #[arg(long, global = true, value_name = "FILE")]
    server: Option<PathBuf>,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Compare all servers in everything, and write docs/BENCHMARKS.md
    Full {
        /// Write to a copy of docs instead
        #[arg(long, value_name = "DIR")]
        docs: Option<PathBuf>,
    },
    /// Compare with the stored baseline
    Quick {
        /// Fail if something got worse
        #[arg(long)]
        strict: bool,
    },
    /// Store a new baseline
    Baseline,
    /// Write docs/BENCHMARKS.md again from the data of the last full run
    Report,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
    let root = package.parent().context("the package is not below the server's")?.to_owned();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let server = cli.server.unwrap_or_else(|| target.join("release/peerbroker"));
    let stored = package.join("baseline.json");
    let places = Places { package, server };
    match cli.task {
        Task::Full { docs } => {
            let run = measure(&places, &Plan::full())?;
            publish(&docs.unwrap_or_else(|| root.join("docs")), &run)?;
        }
        Task::Report => {
            let docs = root.join("docs");
            let file = File::open(docs.join("benchmarks/run.json")).context("there was no full run yet")?;
            publish(&docs, &serde_json::from_reader(file)?)?;
        }
        Task::Quick { strict } => {
            let baseline = Baseline::read(&stored)?;
            let run = measure(&places, &Plan::quick())?;
            complete(&run)?;
            let now = Baseline::of(&run);
            let changes = baseline.changes(&now);
            println!("Compared with {} of {}:\n", baseline.commit, baseline.date);
            println!("{}", Change::table(&changes));
            let worse = changes.iter().filter(|change| change.is_worse()).count();
            println!("{worse} of {} got worse by more than 15 %.", changes.len());
            if strict && worse > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        Task::Baseline => {
            let run = measure(&places, &Plan::quick())?;
            complete(&run)?;
            Baseline::of(&run).write(&stored)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(places: &Places, plan: &Plan) -> Result<Run> {
    rlimit::increase_nofile_limit(u64::MAX).context("cannot raise the limit of open files")?;
    runner::pin_to_load_core()?;
    runner::run(places, plan)
}

fn complete(run: &Run) -> Result<()> {
    ensure!(run.failures.is_empty(), "not everything was measured:\n{}", run.failures.join("\n"));
    Ok(())
}

fn publish(docs: &Path, run: &Run) -> Result<()> {
    let rows = report::rows(run);
    println!("{}\n{}\n{}", report::facts(run), report::table(&rows), report::micro_table(run));
    complete(run)?;
    report::write(docs, run, &rows)
}
