//! The text formats of metrics: Prometheus 0.0.4, and OpenMetrics 1.0.

use std::fmt::{Display, Write as _};
use std::time::Duration;

use crate::events::Buckets;

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// What a scraper accepts: OpenMetrics only if it says so.
    pub(super) fn accepted(accept: Option<&str>) -> Self {
        let names = accept.into_iter().flat_map(|accept| accept.split(','));
        let mut types = names.map(|name| name.split(';').next().unwrap_or_default().trim());
        if types.any(|name| name.eq_ignore_ascii_case("application/openmetrics-text")) {
            Format::OpenMetrics
        } else {
            Format::Prometheus
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// A label and its value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// Metrics as they are being written.
pub(super) struct Page {
    format: Format,
    text: String,
}

impl Page {
    pub(super) fn new(format: Format) -> Self {
        Page { format, text: String::with_capacity(16 << 10) }
    }

    /// A metric with one value.
    pub(super) fn single(&mut self, kind: Kind, name: &str, help: &str, value: impl Display) {
        self.family(kind, name, help, [([], value)]);
    }

    /// A metric with a value for each combination of labels. The name of a counter has no `_total`.
    pub(super) fn family<'a, const N: usize, V: Display>(
        &mut self,
        kind: Kind,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([Label<'a>; N], V)>,
    ) {
        let suffix = if kind == Kind::Counter { "_total" } else { "" };
        // In OpenMetrics, the family of a counter has the name without the suffix.
        let of_family = if self.format == Format::OpenMetrics { "" } else { suffix };
        let word = if kind == Kind::Counter { "counter" } else { "gauge" };
        self.line(format_args!("# HELP {name}{of_family} {help}"));
        self.line(format_args!("# TYPE {name}{of_family} {word}"));
        for (labels, value) in samples {
            self.text.extend([name, suffix]);
            for (at, (label, of_label)) in labels.iter().enumerate() {
                self.text.extend([if at == 0 { "{" } else { "," }, label, "=\""]);
                self.text.extend(of_label.chars().flat_map(escaped));
                self.text.push('"');
            }
            self.line(format_args!("{} {value}", if N == 0 { "" } else { "}" }));
        }
    }

    /// A histogram of durations, in seconds.
    pub(super) fn histogram(&mut self, name: &str, help: &str, Buckets { up_to, count, sum }: &Buckets) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} histogram"));
        for (bound, count) in up_to {
            self.line(format_args!("{name}_bucket{{le=\"{}\"}} {count}", seconds(*bound)));
        }
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {count}"));
        self.line(format_args!("{name}_sum {}", seconds(*sum)));
        self.line(format_args!("{name}_count {count}"));
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{line}");
    }
}

/// A bound as OpenMetrics wants it, which has no exponents, and `1.0` for 1.
fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds.fract() == 0.0 { format!("{seconds:.1}") } else { seconds.to_string() }
}

/// A character in the value of a label.
fn escaped(character: char) -> impl Iterator<Item = char> {
    let (before, character) = match character {
        '\n' => (Some('\\'), 'n'),
        '\\' | '"' => (Some('\\'), character),
        _ => (None, character),
    };
    before.into_iter().chain([character])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(format: Format) -> String {
        let mut page = Page::new(format);
        page.single(Kind::Gauge, "peers", "Clients.", 3);
        let samples = [([("kind", "offer"), ("key", "a\"b\\\n")], 1), ([("kind", "leave"), ("key", "")], 2)];
        page.family(Kind::Counter, "messages", "Messages.", samples);
        page.finish()
    }

    #[test]
    fn both_formats_name_counters_in_their_own_way() {
        assert_eq!(
            page(Format::Prometheus),
            "# HELP peers Clients.\n# TYPE peers gauge\npeers 3\n\
             # HELP messages_total Messages.\n# TYPE messages_total counter\n\
             messages_total{kind=\"offer\",key=\"a\\\"b\\\\\\n\"} 1\nmessages_total{kind=\"leave\",key=\"\"} 2\n"
        );
        let text = page(Format::OpenMetrics);
        assert!(text.contains("# TYPE messages counter\nmessages_total{"), "{text}");
        assert!(text.ends_with("} 2\n# EOF\n"), "{text}");
    }

    #[test]
    fn a_histogram_counts_up_and_ends_with_all() {
        let up_to = vec![(Duration::from_micros(50), 2), (Duration::from_secs(1), 3)];
        let mut page = Page::new(Format::OpenMetrics);
        page.histogram(
            "wait_seconds",
            "Waits.",
            &Buckets { up_to, count: 4, sum: Duration::from_millis(2500) },
        );
        assert_eq!(
            page.finish(),
            "# HELP wait_seconds Waits.\n# TYPE wait_seconds histogram\nwait_seconds_bucket{le=\"0.00005\"} 2\n\
             wait_seconds_bucket{le=\"1.0\"} 3\nwait_seconds_bucket{le=\"+Inf\"} 4\nwait_seconds_sum 2.5\n\
             wait_seconds_count 4\n# EOF\n"
        );
    }

    #[test]
    fn a_scraper_gets_the_format_that_it_asks_for() {
        let of_prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2";
        assert_eq!(Format::accepted(Some(of_prometheus)), Format::OpenMetrics);
        for accept in [None, Some("*/*"), Some("text/plain"), Some("")] {
            assert_eq!(Format::accepted(accept), Format::Prometheus, "{accept:?}");
        }
    }
}
