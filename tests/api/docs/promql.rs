//! Which metrics and labels a query of Prometheus names. promtool checks that it is one.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

/// The names in a query.
#[derive(Debug, Default)]
pub struct Query {
    pub uses: Vec<Use>,
    /// Labels in `by`, `on`, and the like.
    pub grouping: BTreeSet<String>,
}

/// A metric, with the labels that are compared: label, operator, value.
#[derive(Debug)]
pub struct Use {
    pub metric: String,
    pub matchers: Vec<(String, String, String)>,
}

const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words that stand before no `(` of their own.
const OTHERS: [&str; 10] = ["and", "or", "unless", "bool", "offset", "sum", "count", "min", "max", "avg"];

pub fn parse(text: &str) -> Query {
    let (mut query, mut rest) = (Query::default(), text.chars().peekable());
    while let Some(&next) = rest.peek() {
        if next.is_ascii_digit() {
            // A number or a duration.
            word(&mut rest);
        } else if next == '[' {
            rest.by_ref().find(|next| *next == ']');
        } else if is_of_word(next) {
            let word = word(&mut rest);
            skip_spaces(&mut rest);
            match rest.peek() {
                Some('(') if GROUPING.contains(&word.as_str()) => {
                    let labels: String = rest.by_ref().skip(1).take_while(|next| *next != ')').collect();
                    let labels = labels.split(',').map(str::trim).filter(|label| !label.is_empty());
                    query.grouping.extend(labels.map(str::to_owned));
                }
                Some('(') => {}
                Some('{') => query.uses.push(Use { metric: word, matchers: matchers(&mut rest) }),
                _ if OTHERS.contains(&word.as_str()) => {}
                _ => query.uses.push(Use { metric: word, matchers: Vec::new() }),
            }
        } else {
            rest.next();
        }
    }
    query
}

/// From `{` to `}`.
fn matchers(rest: &mut Peekable<Chars<'_>>) -> Vec<(String, String, String)> {
    let mut matchers = Vec::new();
    while rest.next().is_some_and(|before| before != '}') {
        skip_spaces(rest);
        if rest.peek().is_none_or(|next| !is_of_word(*next)) {
            continue;
        }
        let label = word(rest);
        let operator: String = rest.by_ref().take_while(|next| *next != '"').collect();
        let value: String = rest.by_ref().take_while(|next| *next != '"').collect();
        matchers.push((label, operator.trim().to_owned(), value));
    }
    matchers
}

fn word(rest: &mut Peekable<Chars<'_>>) -> String {
    std::iter::from_fn(|| rest.next_if(|next| is_of_word(*next))).collect()
}

fn skip_spaces(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|next| next.is_whitespace()).is_some() {}
}

fn is_of_word(next: char) -> bool {
    next.is_ascii_alphanumeric() || next == '_' || next == ':' || next == '.'
}

#[test]
fn a_query_is_read_to_its_end() {
    let text = "sum by (job, le) (rate(a_total{x=\"1\", y=~\"p|q\"}[5m])) > on (job) group_left () 0.2 * b + 1e3 or c{}";
    let Query { uses, grouping } = parse(text);
    let names: Vec<&str> = uses.iter().map(|used| used.metric.as_str()).collect();
    assert_eq!(names, ["a_total", "b", "c"]);
    let text = |parts: [&str; 3]| parts.map(str::to_owned).into();
    assert_eq!(uses[0].matchers, [text(["x", "=", "1"]), text(["y", "=~", "p|q"])]);
    assert_eq!(grouping, BTreeSet::from(["job".to_owned(), "le".to_owned()]));
}
