//! Runs the servers side by side and compares them. `make bench` and others build its requirements and run it.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use peerbroker_bench::directory;
use peerbroker_bench::report::{self, Chapter};
use peerbroker_bench::runner::{self, Places, Plan, Run};

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// The program of the server [default: that of `make dist`]
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
        /// Measure only servers and scenarios that are shown with this in their name, such as `TLS: everybody at once`, and
        /// write nothing
        #[arg(long, value_name = "NAME", conflicts_with = "docs")]
        only: Option<String>,
    },
    /// Measure nodes that share a Redis, and write docs/BENCHMARKS.md
    Cluster {
        /// Write to a copy of docs instead
        #[arg(long, value_name = "DIR")]
        docs: Option<PathBuf>,
    },
    /// Measure calls through the relay, and write docs/BENCHMARKS.md
    Relays {
        /// Write to a copy of docs instead
        #[arg(long, value_name = "DIR")]
        docs: Option<PathBuf>,
    },
    /// Measure a Redis with many records, without nodes, and print it
    Directory {
        /// Numbers of records
        #[arg(long, value_delimiter = ',', default_value = "100000,1000000,3000000")]
        records: Vec<usize>,
        /// Numbers of nodes
        #[arg(long, value_delimiter = ',', default_value = "3,30,300")]
        nodes: Vec<usize>,
        /// Messages in a batch
        #[arg(long, value_delimiter = ',', default_value = "1,4,16,64")]
        batches: Vec<usize>,
        /// Numbers of nodes that send at the same time, each to another
        #[arg(long, value_delimiter = ',', default_value = "1,30")]
        links: Vec<usize>,
    },
    /// Write docs/BENCHMARKS.md again from the data of the last runs
    Report,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).to_owned();
    let root = package.parent().context("the package is not below the server's")?.to_owned();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let server = cli.server.unwrap_or_else(|| target.join("dist/peerbroker"));
    // As `scripts/setup.sh` unpacks them, or installed.
    let unpacked = root.join("target/proxies/usr/bin/redis-server");
    let redis = if unpacked.exists() { unpacked } else { PathBuf::from("redis-server") };
    let unpacked = root.join("target/proxies/usr/bin/turnserver");
    let coturn = if unpacked.exists() { unpacked } else { PathBuf::from("/usr/bin/turnserver") };
    let places = Places { package, server, redis, coturn };
    match cli.task {
        Task::Full { only: Some(name), .. } => {
            let run = measure(&places, &Plan::full().only(&name)?)?;
            println!("{}", report::comparison(&run).text(&run));
            complete(&run)?;
        }
        Task::Full { docs, only: None } => {
            let run = measure(&places, &Plan::full())?;
            publish(&docs.unwrap_or_else(|| root.join("docs")), &run, report::comparison)?;
        }
        Task::Cluster { docs } => {
            let run = measure(&places, &Plan::cluster())?;
            publish(&docs.unwrap_or_else(|| root.join("docs")), &run, report::cluster)?;
        }
        Task::Relays { docs } => {
            let run = measure(&places, &Plan::relays())?;
            publish(&docs.unwrap_or_else(|| root.join("docs")), &run, report::relays)?;
        }
        Task::Directory { records, nodes, batches, links } => {
            runner::pin_to_load_core()?;
            let plan = directory::Plan { records, nodes, batches, links };
            println!("{}", report::directory(&runner::run_directory(&places, &plan)?));
        }
        Task::Report => {
            let docs = root.join("docs");
            let stored = |name: &str| -> Result<Run> {
                let file = File::open(docs.join("benchmarks").join(name));
                Ok(serde_json::from_reader(file.with_context(|| format!("there is no {name} yet"))?)?)
            };
            publish(&docs, &stored("run.json")?, report::comparison)?;
            publish(&docs, &stored("cluster.json")?, report::cluster)?;
            publish(&docs, &stored("relays.json")?, report::relays)?;
        }
    }
    Ok(())
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

fn publish(docs: &Path, run: &Run, chapter: fn(&Run) -> Chapter) -> Result<()> {
    let chapter = chapter(run);
    println!("{}", chapter.text(run));
    complete(run)?;
    chapter.write(docs, run)
}
