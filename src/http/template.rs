//! Fills the placeholders of the built-in pages.

use super::embedded::{PEERJS, QRCODE, SIMPLE_PEER, Static};
use super::mounted::Mounted;
use crate::client_options::ClientOptions;

/// The folder in `static/` with parts of pages. It is not served.
pub(super) const PARTS: &str = "parts/";

/// The values of placeholders.
#[derive(Clone, Default)]
pub(crate) struct Values(Vec<(&'static str, String)>);

impl Values {
    /// The values that every page can use.
    pub(super) fn of(mounted: &Mounted, options: ClientOptions) -> Self {
        let origin = options.origin();
        let ClientOptions { host, port, path, key, secure } = options;
        let lan_host = mounted.lan_host.map(|host| host.to_string()).unwrap_or_default();
        let values = Values(Vec::new())
            .with("{{base}}", &format!("{path}broker/"))
            .with("{{path}}", &path)
            .with("{{key}}", &key)
            .with("{{own_origin}}", &origin)
            .with("{{host}}", &host)
            .with("{{port}}", &port.to_string())
            .with("{{secure}}", &secure.to_string())
            .with("{{lan_host}}", &lan_host)
            .with("{{default_key}}", &mounted.parts.config().default_key.to_string())
            .with("{{version}}", env!("CARGO_PKG_VERSION"))
            .with_html("{{peerjs}}", PEERJS.script())
            .with_html("{{qrcode}}", QRCODE.script())
            .with_html("{{simplepeer}}", SIMPLE_PEER.script());
        let (snippet, ask_key) = (values.part("snippet.html"), values.part("ask-key.html"));
        values.with_html("{{snippet}}", snippet).with_html("{{ask_key}}", ask_key)
    }

    /// Adds a text, with its HTML escaped.
    pub(crate) fn with(self, name: &'static str, text: &str) -> Self {
        self.with_html(name, escape(text))
    }

    /// Adds HTML.
    pub(super) fn with_html(mut self, name: &'static str, html: String) -> Self {
        self.0.push((name, html));
        self
    }

    /// A part of pages with its placeholders filled.
    pub(super) fn part(&self, name: &str) -> String {
        let part = Static::get(&format!("{PARTS}{name}"));
        part.map(|part| self.fill(&String::from_utf8_lossy(&part.data))).unwrap_or_default()
    }

    pub(crate) fn fill(&self, template: &str) -> String {
        fill(template, &self.0)
    }
}

/// Replaces each placeholder in one pass, so a value that looks like a placeholder is not replaced.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(template.len() + 512);
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let (before, from) = rest.split_at(start);
        filled.push_str(before);
        match values.iter().find(|(name, _)| from.starts_with(name)) {
            Some((name, value)) => {
                filled.push_str(value);
                rest = from.strip_prefix(name).unwrap_or_default();
            }
            None => {
                filled.push_str("{{");
                rest = from.strip_prefix("{{").unwrap_or_default();
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// A text as HTML, also within attributes.
pub(super) fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_looks_like_a_placeholder_stays() {
        let values = [("{{key}}", "{{path}}".to_owned()), ("{{path}}", "/".to_owned())];
        assert_eq!(fill("<{{key}}> {{ {{path}}", &values), "<{{path}}> {{ /");
    }

    #[test]
    fn a_value_cannot_leave_its_attribute() {
        assert_eq!(escape(r#"a"b<c>&'"#), "a&quot;b&lt;c&gt;&amp;&#39;");
    }
}
