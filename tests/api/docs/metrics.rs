//! The dashboard, the alert rules and the queries of the documentation use metrics that a server exports. promtool checks the rest.

use std::collections::BTreeSet;
use std::env;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::{need, tls};

use crate::docs::pages::{lines, read, root};
use crate::harness::RawClient;
use crate::harness::ops::with_everything;

const DASHBOARD: &str = "deploy/grafana/peerbroker.json";
const RULES: &str = "deploy/prometheus/alerts.yml";
const TESTS: &str = "deploy/prometheus/alerts_test.yml";
const CONFIG: &str = "deploy/prometheus/prometheus.yml";

/// All that a server exports that has everything, and a client.
fn text() -> String {
    let (server, api) = with_everything();
    // As the program does, see `src/bin/peerbroker/console.rs`.
    server.node().events().follow("console", |_| {}).unwrap();
    let mut client = RawClient::connect_tls(server.address, "a", tls::trust());
    client.send_raw(RawClient::handshake(&server.target("a", "t")));
    client.expect_accepted();
    client.expect_open();
    api.get("/metrics").response.text().to_owned()
}

/// The names of the metrics in it.
fn exported() -> BTreeSet<String> {
    let text = text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().expect("a name").to_owned()).collect()
}

/// The names of metrics in a query of Prometheus.
fn names(query: &str) -> impl Iterator<Item = &str> {
    let words = query.split(|next: char| !next.is_ascii_alphanumeric() && next != '_');
    words.filter(|word| word.starts_with("peerbroker_") || word.starts_with("process_"))
}

/// The queries of the dashboard, with the titles of their panels.
fn dashboard() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| {
        let title = panel["title"].as_str().unwrap();
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets
            .map(|target| (title.to_owned(), target["expr"].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    });
    panels.collect()
}

/// The queries of the alert rules, with the names of the alerts.
fn rules() -> Vec<(String, String)> {
    let mut rules: Vec<(String, String)> = Vec::new();
    let mut is_query = false;
    for line in lines(RULES) {
        let line = line.trim();
        if let Some(name) = line.strip_prefix("- alert: ") {
            rules.push((name.to_owned(), String::new()));
        } else if let Some((_, query)) = rules.last_mut() {
            let begins = line.strip_prefix("expr: ");
            is_query =
                begins.is_some() || is_query && !line.starts_with("for: ") && !line.starts_with("labels: ");
            if is_query {
                query.push_str(begins.unwrap_or(line).trim_matches(['\'', '|']));
                query.push(' ');
            }
        }
    }
    rules
}

/// The queries in the tables of the documentation.
fn documented() -> Vec<(String, String)> {
    let rows = lines("docs/METRICS.md")
        .skip_while(|line| line != "## Questions")
        .filter(|line| line.starts_with("| "));
    rows.skip(1)
        .map(|row| {
            let (question, query) = row.trim_matches(['|', ' ']).split_once(" | ").unwrap();
            (question.to_owned(), query.trim_matches('`').replace(r"\|", "|"))
        })
        .collect()
}

/// The time series of the tests of the alerts.
fn tested() -> Vec<(String, String)> {
    let series = lines(TESTS).filter_map(|line| {
        let (_, series) = line.split_once("series: '")?;
        Some(("a series".to_owned(), series.split_once('\'')?.0.to_owned()))
    });
    series.collect()
}

#[test]
fn queries_name_metrics_that_a_server_exports() {
    let exported = exported();
    let mut used = BTreeSet::new();
    for (file, queries, at_least) in [
        (DASHBOARD, dashboard(), 45),
        (RULES, rules(), 15),
        ("docs/METRICS.md", documented(), 10),
        (TESTS, tested(), 50),
    ] {
        assert!(queries.len() >= at_least, "{file}: {} queries", queries.len());
        for (name, query) in queries {
            for metric in names(&query) {
                assert!(exported.contains(metric), "{file}: {name}: no metric {metric}");
                if file == DASHBOARD {
                    used.insert(metric.to_owned());
                }
            }
        }
    }
    // Those that a dashboard would not show.
    let unused: Vec<_> = exported.difference(&used).map(String::as_str).collect();
    let elsewhere = [
        "peerbroker_accept_queue_overflows_total",
        "peerbroker_active_keys",
        "peerbroker_build_info",
        "peerbroker_expired_total",
        "peerbroker_message_latency_seconds_count",
        "peerbroker_message_latency_seconds_sum",
        "peerbroker_relay_call_seconds_count",
        "peerbroker_relay_call_seconds_sum",
        "peerbroker_relay_packets_total",
        "peerbroker_room_members",
        "peerbroker_rooms",
        "peerbroker_thread_panics_total",
        "peerbroker_turn_allocated_total",
        "peerbroker_turn_packets_total",
        "peerbroker_turn_reclaimed_total",
        "peerbroker_worker_lag_seconds_count",
        "peerbroker_worker_lag_seconds_sum",
        "process_threads",
        "process_virtual_memory_bytes",
    ];
    assert_eq!(unused, elsewhere, "metrics that are not on the dashboard");
}

#[test]
fn the_dashboard_has_a_place_for_each_panel_and_variables_that_its_queries_use() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    // Of Grafana 10.
    assert_eq!(dashboard["schemaVersion"], 39);
    let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        let place = (y..y + h).flat_map(|y| (x..x + w).map(move |x| (x, y)));
        assert!(place.into_iter().all(|cell| cells.insert(cell)), "over another one: {panel}");
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let text = read(DASHBOARD);
    for name in variables.iter().map(|variable| variable["name"].as_str().unwrap()) {
        assert!(text.contains(&format!("${name}")) || text.contains(&format!("${{{name}}}")), "{name}");
    }
    let exported = exported();
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        let definition = variable["definition"].as_str().unwrap();
        assert!(names(definition).all(|metric| exported.contains(metric)), "{definition}");
    }
}

#[test]
fn each_alert_has_its_texts_its_test_and_its_place_in_the_documentation() {
    let (alerts, texts, tests) = (rules(), read(RULES), read(TESTS));
    let headings: Vec<String> =
        lines("docs/ALERTS.md").filter_map(|line| Some(line.strip_prefix("## ")?.to_owned())).collect();
    let names: Vec<&str> = alerts.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, headings);
    for name in names {
        let rule = texts.split("- alert: ").find(|rule| rule.starts_with(&format!("{name}\n"))).unwrap();
        let anchor = format!("blob/main/docs/ALERTS.md#{}\n", name.to_lowercase());
        for part in ["summary: \"", "description: \"", "severity: ", &anchor] {
            assert!(rule.contains(part), "{name} lacks {part:?}");
        }
        let fires = format!("{{ labels: '{{alertname=\"{name}\"}}', value: ");
        assert!(tests.contains(&fires), "no test makes {name} fire");
    }
}

/// Runs promtool.
fn promtool(arguments: &[&str], input: &str) {
    let Some(program) = need("promtool") else { return };
    let mut command = Command::new(program);
    let command = command.args(arguments).current_dir(root().join("deploy/prometheus"));
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = piped.spawn().unwrap();
    running.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
}

#[test]
fn promtool_takes_the_rules_their_tests_and_the_configuration() {
    promtool(&["check", "rules", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts_test.yml"], "");
    let config = root().join(CONFIG);
    promtool(&["check", "config", "--syntax-only", config.to_str().unwrap()], "");
}

#[test]
fn promtool_takes_the_metrics_of_a_server() {
    promtool(&["check", "metrics"], &text());
}

#[test]
fn promtool_takes_the_queries_of_the_dashboard_and_the_documentation() {
    let queries = dashboard().into_iter().chain(documented());
    let rules = queries.enumerate().map(|(number, (_, query))| {
        let query = query.replace("$__rate_interval", "5m").replace('\'', "''");
        format!("  - record: query_{number}\n    expr: '{query}'\n")
    });
    let file: PathBuf = env::temp_dir().join(format!("peerbroker-queries-{}.yml", std::process::id()));
    std::fs::write(&file, format!("groups:\n- name: queries\n  rules:\n{}", rules.collect::<String>()))
        .unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()], "");
    std::fs::remove_file(file).unwrap();
}
