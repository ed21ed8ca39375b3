//! Writes the figures of the recorded runs into the documents. A test of the server's package compiles this
//! file too, and checks that the documents are as this leaves them.
//!
//! A figure stands in a document as `<!-- figure: NAME -->1.2 KB<!-- end -->`; [`figures`] has the names. The
//! tables of `BENCHMARKS.md` are figures with the names of their runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// The documents with figures.
const DOCUMENTS: [&str; 5] = [
    "docs/ARCHITECTURE.md",
    "docs/BENCHMARKS.md",
    "docs/CLUSTER.md",
    "docs/EMBEDDING.md",
    "docs/OPERATING.md",
];

// The measures that the documents and the picture show.
const IDLE: &str = "memory per idle peer, 10,000 peers";
const PER_SECOND: &str = "messages a second on one core, 4 in flight";
const CALL: &str = "memory per further call, from 1,000 to 5,000 calls";
const VOICE: &str = "CPU per voice datagram, 4 in flight";

/// The README's picture, for light and dark pages: the colours of its texts and bars.
const PICTURES: [(&str, &str, &str); 2] = [
    ("docs/pictures/figures-light.svg", "#1f2328", "#0969da"),
    ("docs/pictures/figures-dark.svg", "#e6edf3", "#4493f8"),
];

/// The recorded numbers of a run, as `docs/benchmarks/` has them.
#[derive(Serialize, Deserialize)]
pub struct Recorded {
    /// The date, the machine, and the versions.
    pub about: String,
    /// The names of the servers.
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
pub struct Row {
    pub measure: String,
    pub unit: String,
    /// Of each of the servers.
    pub values: Vec<Option<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub must: Option<Claim>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aim: Option<Claim>,
}

/// A limit for a value.
#[derive(Serialize, Deserialize)]
pub struct Claim {
    pub value: f64,
    /// The unit of the value, or what it is a multiple of.
    pub of: String,
    #[serde(flatten)]
    pub limit: Limit,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

/// All documents with figures, and the pictures, by their paths, with the text that they should have.
pub fn documents(root: &Path) -> Result<Vec<(&'static str, String)>> {
    let figures = figures(root)?;
    let document = |name: &'static str| {
        let text = fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"))?;
        Ok((name, filled(&text, &figures).with_context(|| format!("in {name}"))?))
    };
    let picture = |(name, ink, bar)| Ok((name, picture(root, ink, bar)?));
    DOCUMENTS.into_iter().map(document).chain(PICTURES.into_iter().map(picture)).collect()
}

fn recorded(root: &Path, name: &str) -> Result<Recorded> {
    let path = root.join("docs/benchmarks").join(name);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("in {name}"))
}

/// Bars of what an operator pays for, ours first.
fn picture(root: &Path, ink: &str, bar: &str) -> Result<String> {
    const SERVERS: &[&str] = &["peerbroker", "peerjs-server"];
    const RELAYS: &[&str] = &["relay", "TURN", "coturn", "coturn 4.17.1"];
    type Shown = fn(f64) -> String;
    let [run, relays] = [recorded(root, "run.json")?, recorded(root, "relays.json")?];
    let groups: [(&str, &Recorded, &str, &[&str], Shown); 4] = [
        ("Memory of an idle client", &run, IDLE, SERVERS, kilobytes),
        ("Messages a second on one core: more is better", &run, PER_SECOND, SERVERS, at_least),
        ("Memory of a relayed call", &relays, CALL, RELAYS, kilobytes),
        ("CPU of a relayed datagram of voice", &relays, VOICE, RELAYS, micros),
    ];
    let mut parts = String::new();
    let mut y = 0;
    for (title, of, measure, columns, shown) in groups {
        let value = |column: &&'static str| Ok((*column, of.value(measure, column)?));
        let values: Vec<(&str, f64)> = columns.iter().map(value).collect::<Result<_>>()?;
        let most = values.iter().map(|(_, value)| *value).fold(0.0, f64::max);
        y += 32;
        parts += &format!("<text y='{y}' font-weight='bold'>{title}</text>\n");
        for (column, value) in values {
            y += 20;
            let width = (value / most * 500.0).max(1.0).round();
            parts += &format!(
                "<text x='110' y='{y}' text-anchor='end'>{column}</text><rect x='120' y='{}' width='{width}' \
                 height='13' fill='{bar}'/><text x='{}' y='{y}'>{}</text>\n",
                y - 11,
                width + 126.0,
                shown(value)
            );
        }
    }
    y += 16;
    for Recorded { about, .. } in [run, relays] {
        y += 18;
        parts += &format!("<text y='{y}' font-size='11'>{about}</text>\n");
    }
    Ok(format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 760 {}' font-family='sans-serif' font-size='13' \
         fill='{ink}'>\n{parts}</svg>\n",
        y + 10
    ))
}

/// All figures by the names in their markers.
fn figures(root: &Path) -> Result<BTreeMap<&'static str, String>> {
    let run = recorded(root, "run.json")?;
    let cluster = recorded(root, "cluster.json")?;
    let relays = recorded(root, "relays.json")?;
    let protocols = recorded(root, "protocols.json")?;
    let pipes = recorded(root, "pipes.json")?;

    let ours = |measure: &str| run.value(measure, "peerbroker");
    let one = "CPU per message, 1 in flight";
    let open = ours("CPU per open at 100 peers")?;
    let open_tls = ours("TLS: CPU per open, full handshake")?;
    let beat = ours("CPU per heartbeat, 10,000 peers, 10,000/s, 10 at once")?;
    let idle_tls = ours("TLS: memory per idle peer, 10,000 peers")?;
    let kernel = ours("kernel's memory per idle peer")?;
    let gib = f64::from(1 << 30);

    let stored = "memory of Redis per client, 10,000 clients";
    let message = "CPU of Redis per message, 64 in flight";
    let slow_voice = relays.value("CPU per voice datagram, 50 a second and direction", "relay")?;
    let video = relays.value("CPU per video datagram, 4 in flight", "relay")?;

    Ok(BTreeMap::from([
        ("run.json", run.table()),
        ("cluster.json", cluster.table()),
        ("protocols.json", protocols.table()),
        ("relays.json", relays.table()),
        ("pipes.json", pipes.table()),
        // Clients.
        ("idle client", kilobytes(ours(IDLE)?)),
        ("idle client, actix-ws", kilobytes(run.value(IDLE, "actix-ws form")?)),
        ("idle clients in a GiB", at_least(gib / (ours(IDLE)? + kernel))),
        ("idle clients in a GiB, TLS", at_least(gib / (idle_tls + kernel))),
        // Messages: one by one, and under load.
        ("message, TLS", number(ours("TLS: CPU per message, 1 in flight")?)),
        ("messages a second", at_least(1e6 / ours(one)?)),
        ("messages a second under load", at_least(ours(PER_SECOND)?)),
        // Opens and heartbeats.
        ("opens a second", at_least(1e6 / open)),
        ("opens a second, TLS", at_least(1e6 / open_tls)),
        ("clients with a heartbeat", at_least(5e6 / beat)),
        // The Redis of a cluster.
        ("open and leave, Redis", micros(cluster.value("CPU of Redis per open and leave", "3 nodes")?)),
        ("client, Redis", format!("{:.0} bytes", cluster.value(stored, "3 nodes")?)),
        ("message under load, Redis", micros(cluster.value(message, "3 nodes")?)),
        // Relayed calls: voice has 100 datagrams a second, video 420.
        ("calls in a GiB", at_least(gib / relays.value(CALL, "relay")?)),
        ("voice calls", at_least(1e6 / slow_voice / 100.0)),
        ("voice calls under load", at_least(1e6 / relays.value(VOICE, "relay")? / 100.0)),
        ("video calls", at_least(1e6 / video / 420.0)),
    ]))
}

/// A document with the figures in its marks.
fn filled(text: &str, figures: &BTreeMap<&str, String>) -> Result<String> {
    let mut parts = text.split("<!-- figure: ");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->").context("a mark without an end")?;
        let figure = figures.get(name).with_context(|| format!("there is no figure {name:?}"))?;
        let (_, rest) = rest.split_once("<!-- end -->").with_context(|| format!("no end of {name:?}"))?;
        filled += &format!("<!-- figure: {name} -->{figure}<!-- end -->{rest}");
    }
    Ok(filled)
}

impl Recorded {
    fn value(&self, measure: &str, server: &str) -> Result<f64> {
        let column = self.columns.iter().position(|column| column == server);
        let row = self.rows.iter().find(|row| row.measure == measure);
        let value = row.zip(column).and_then(|(row, column)| *row.values.get(column)?);
        value.with_context(|| format!("there is no {measure:?} of {server}"))
    }

    /// As a Markdown table.
    pub fn table(&self) -> String {
        let columns = self.columns.join("|");
        let marks = "-:|".repeat(self.columns.len() + 1);
        let mut table = format!("\n{}\n\n|measure|unit|{columns}|limits|\n|-|{marks}-|\n", self.about);
        for Row { measure, unit, values, must, aim } in &self.rows {
            let own = values.first().copied().flatten();
            // Mostly, both are for the same value.
            let is_same =
                must.iter().zip(aim).any(|(must, aim)| must.value == aim.value && must.of == aim.of);
            let limits = match (must, aim) {
                (Some(must), Some(aim)) if is_same => {
                    format!("{}{}, aim {}", must.subject(own, unit), must.limit(), aim.limit())
                }
                _ => {
                    let told =
                        |claim: &Claim, kind| format!("{}{kind}{}", claim.subject(own, unit), claim.limit());
                    let must = must.iter().map(|must| told(must, ""));
                    let aim = aim.iter().map(|aim| told(aim, "aim "));
                    must.chain(aim).collect::<Vec<_>>().join("; ")
                }
            };
            let values: Vec<String> =
                values.iter().map(|value| value.map_or_else(String::new, number)).collect();
            table += &format!("|{measure}|{unit}|{}|{limits}|\n", values.join("|"));
        }
        table + "\n"
    }
}

impl Claim {
    /// Without the number and the unit that the row has in front.
    fn subject(&self, own: Option<f64>, unit: &str) -> String {
        match own == Some(self.value) {
            true if self.of == unit => String::new(),
            true => format!("{}: ", self.of),
            false => format!("{} {}: ", number(self.value), self.of),
        }
    }

    fn limit(&self) -> String {
        let (sign, limit, holds) = match self.limit {
            Limit::AtMost(limit) => ('≤', limit, self.value <= limit),
            Limit::AtLeast(limit) => ('≥', limit, self.value >= limit),
        };
        format!("{sign} {limit} {}", if holds { '✓' } else { '✗' })
    }
}

/// Three significant digits.
fn number(value: f64) -> String {
    match value.abs() {
        1000.0.. => thousands(value),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn micros(value: f64) -> String {
    if value < 10.0 { format!("{value:.1} µs") } else { format!("{value:.0} µs") }
}

fn kilobytes(bytes: f64) -> String {
    if bytes < 10_000.0 { format!("{:.1} KB", bytes / 1e3) } else { format!("{:.0} KB", bytes / 1e3) }
}

/// A count for which there is enough: its first two digits.
fn at_least(value: f64) -> String {
    let unit = 10_f64.powf(value.log10().floor() - 1.0);
    thousands((value / unit).floor() * unit)
}

fn thousands(value: f64) -> String {
    let mut text = format!("{value:.0}");
    for at in (1..text.len()).rev().filter(|at| (text.len() - at).is_multiple_of(3)).collect::<Vec<_>>() {
        text.insert(at, ',');
    }
    text
}
