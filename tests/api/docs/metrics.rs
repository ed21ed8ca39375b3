//! The dashboard, the alert rules and the queries of the documentation use metrics that a server exports.
//! promtool checks the rest.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::tls;

use crate::docs::pages::{lines, read, rows, tool};
use crate::harness::RawClient;
use crate::harness::ops::with_everything;

const DASHBOARD: &str = "deploy/grafana/peerbroker.json";
const RULES: &str = "deploy/prometheus/alerts.yml";
const TESTS: &str = "deploy/prometheus/alerts_test.yml";

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

#[test]
fn queries_name_metrics_that_a_server_exports() {
    let text = text();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let exported: BTreeSet<&str> = samples.filter_map(|line| line.split(['{', ' ']).next()).collect();
    for file in [DASHBOARD, RULES, TESTS, "docs/METRICS.md", "docs/ALERTS.md"] {
        let text = read(file);
        let words = text.split(|next: char| !next.is_ascii_alphanumeric() && next != '_');
        for metric in words.filter(|word| word.starts_with("peerbroker_") || word.starts_with("process_")) {
            assert!(exported.contains(metric), "{file}: no metric {metric}");
        }
    }
}

#[test]
fn the_dashboard_has_a_place_for_each_panel_and_variables_that_its_queries_use() {
    let text = read(DASHBOARD);
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut ids = BTreeSet::new();
    let mut cells = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        let mut place = (y..y + h).flat_map(|y| (x..x + w).map(move |x| (x, y)));
        assert!(x + w <= 24 && place.all(|cell| cells.insert(cell)), "over another one: {panel}");
    }
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        let name = variable["name"].as_str().unwrap();
        assert!(text.contains(&format!("${name}")) || text.contains(&format!("${{{name}}}")), "{name}");
    }
}

#[test]
fn the_dashboard_shows_each_metric() {
    let dashboard = read(DASHBOARD);
    for line in text().lines().filter_map(|line| line.strip_prefix("# TYPE peerbroker_")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let suffix = match kind {
            "counter" => "_total",
            "histogram" => "_bucket",
            _ => "",
        };
        let sample = format!("peerbroker_{}{suffix}", name.trim_end_matches("_total"));
        assert!(dashboard.contains(&sample), "no panel has {sample}");
    }
}

#[test]
fn each_alert_has_its_texts_its_test_and_its_place_in_the_documentation() {
    let rules = read(RULES);
    let tests = read(TESTS);
    let headings = lines("docs/ALERTS.md").filter_map(|line| Some(line.strip_prefix("## ")?.to_owned()));
    let rules: Vec<_> = rules.split("- alert: ").skip(1).filter_map(|rule| rule.split_once('\n')).collect();
    assert_eq!(rules.iter().map(|(name, _)| *name).collect::<Vec<_>>(), headings.collect::<Vec<_>>());
    for (name, rule) in rules {
        let anchor = format!("blob/main/docs/ALERTS.md#{}\n", name.to_lowercase());
        for part in ["summary: \"", "description: \"", "severity: ", &anchor] {
            assert!(rule.contains(part), "{name} lacks {part:?}");
        }
        let fires = format!("{{ labels: '{{alertname=\"{name}\"}}', value: ");
        assert!(tests.contains(&fires), "no test makes {name} fire");
    }
}

#[test]
fn promtool_takes_the_rules_their_tests_the_configuration_the_metrics_and_the_queries() {
    let promtool = |arguments: &str, input: &str| {
        tool("promtool", &arguments.split(' ').collect::<Vec<_>>(), "deploy/prometheus", input);
    };
    promtool("check rules alerts.yml", "");
    promtool("test rules alerts_test.yml", "");
    promtool("check config --syntax-only prometheus.yml", "");
    promtool("check metrics", &text());
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let targets =
        dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array());
    let shown = targets.flatten().map(|target| target["expr"].as_str().unwrap().to_owned());
    let documented = rows("docs/METRICS.md", "## Questions").into_iter().map(|row| row[1].replace('`', ""));
    let rules = shown.chain(documented).enumerate().map(|(number, query)| {
        json!({"record": format!("query_{number}"), "expr": query.replace("$__rate_interval", "5m")})
    });
    let rules: Vec<Value> = rules.collect();
    // JSON is YAML.
    promtool("check rules /dev/stdin", &json!({"groups": [{"name": "queries", "rules": rules}]}).to_string());
}
