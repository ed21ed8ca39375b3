//! Serves the documentation as pages, so that it can be read without internet.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::embedded::Docs;
use super::mounted::Mounted;
use super::template::{Values, escape};
use super::{forwarded, html, not_found};

/// Where files are that this server does not have.
const REPOSITORY: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/");

/// The order of the list. Other documents follow.
const ORDER: [&str; 16] = [
    "MIGRATING",
    "DEPLOY",
    "OPERATING",
    "KEYS",
    "API",
    "DASHBOARD",
    "LIMITS",
    "LOGS",
    "TLS",
    "PROXY",
    "CLUSTER",
    "TROUBLESHOOTING",
    "SECURITY",
    "PROTOCOL",
    "CHOOSING",
    "EMBEDDING",
];

/// All documents. Rendered once, because that costs more than an answer should: see [`prepare`].
static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    let mut documents: Vec<Document> = Docs::iter()
        .filter_map(|file| {
            let text = Docs::get(&file)?.data;
            Some(Document::render(file.strip_suffix(".md")?, &String::from_utf8_lossy(&text)))
        })
        .collect();
    let place = |name: &str| ORDER.iter().position(|known| *known == name).unwrap_or(ORDER.len());
    documents.sort_by(|a, b| (place(&a.name), &a.name).cmp(&(place(&b.name), &b.name)));
    documents
});

/// The name of a document if the page below `broker/` is one. The empty name is the list of all.
pub(super) fn requested(page: &str) -> Option<&str> {
    if page == "docs" { Some("") } else { page.strip_prefix("docs/") }
}

/// Renders the documents before the first page of them is asked for, on the blocking pool: clients of this worker do not wait.
pub(super) async fn prepare(page: &str) {
    if requested(page).is_some() && LazyLock::get(&DOCUMENTS).is_none() {
        // If it fails, the page renders them itself.
        let _ = web::block(|| LazyLock::force(&DOCUMENTS).len()).await;
    }
}

/// One document, or the list of all.
pub(super) fn page(mounted: &Mounted, request: &HttpRequest, name: &str) -> HttpResponse {
    let document = DOCUMENTS.iter().find(|document| document.name == name);
    let (title, contents, html) = match document {
        Some(Document { title, contents, html, .. }) => (title.as_str(), contents.as_str(), html.clone()),
        None if name.is_empty() => ("Documentation", "", list()),
        None => return not_found::page(mounted, request),
    };
    let values = Values::of(mounted, forwarded::client_options(mounted, request))
        .with_html("{{documents}}", links(name))
        .with_html("{{contents}}", contents.to_owned())
        .with_html("{{document}}", html);
    let content = values.part("document.html");
    html::framed(StatusCode::OK, title, content, values)
}

fn links(current: &str) -> String {
    DOCUMENTS.iter().fold(String::new(), |mut links, Document { name, title, .. }| {
        let here = if name == current { r#" aria-current="page""# } else { "" };
        let _infallible = writeln!(links, r#"<li><a href="docs/{name}"{here}>{}</a></li>"#, escape(title));
        links
    })
}

fn list() -> String {
    DOCUMENTS.iter().fold("<h1>Documentation</h1>\n".to_owned(), |mut list, document| {
        let Document { name, title, summary, .. } = document;
        let (title, summary) = (escape(title), escape(summary));
        let _infallible = writeln!(list, r#"<h2><a href="docs/{name}">{title}</a></h2><p>{summary}</p>"#);
        list
    })
}

/// A document as HTML.
struct Document {
    name: String,
    title: String,
    /// The text of its first paragraph.
    summary: String,
    /// Links to its sections.
    contents: String,
    html: String,
}

impl Document {
    fn render(name: &str, text: &str) -> Self {
        let mut events: Vec<Event<'_>> = Parser::new_ext(text, Options::ENABLE_TABLES).collect();
        let summary = text_of(&events, |tag| matches!(tag, Tag::Paragraph)).next().unwrap_or_default();
        let headings: Vec<String> = text_of(&events, |tag| matches!(tag, Tag::Heading { .. })).collect();
        let mut titles = headings.iter();
        let (mut anchors, mut contents) = (HashMap::new(), String::new());
        for event in &mut events {
            let Event::Start(Tag::Heading { level, id, .. }) = event else { continue };
            let title = titles.next().map(String::as_str).unwrap_or_default();
            let anchor = anchor(title, &mut anchors);
            if *level == HeadingLevel::H2 {
                let (anchor, title) = (escape(&anchor), escape(title));
                let _infallible =
                    writeln!(contents, r##"<li><a href="docs/{name}#{anchor}">{title}</a></li>"##);
            }
            *id = Some(anchor.into());
        }
        let mut html = String::with_capacity(text.len() * 2);
        pulldown_cmark::html::push_html(&mut html, events.into_iter().map(|event| shown(event, name)));
        let title = headings.into_iter().next().unwrap_or_else(|| name.to_owned());
        Document { name: name.to_owned(), title, summary, contents, html }
    }
}

/// The texts of the elements that begin with such a tag.
fn text_of<'a>(
    events: &'a [Event<'a>],
    is_wanted: impl Fn(&Tag<'a>) -> bool,
) -> impl Iterator<Item = String> {
    let starts = events.iter().enumerate();
    starts.filter_map(move |(at, event)| match event {
        Event::Start(tag) if is_wanted(tag) => {
            let end = Event::End(tag.to_end());
            let inside = events.iter().skip(at + 1).take_while(|event| **event != end);
            Some(inside.filter_map(plain).collect())
        }
        _ => None,
    })
}

fn plain<'a>(event: &'a Event<'a>) -> Option<&'a str> {
    match event {
        Event::Text(text) | Event::Code(text) => Some(text),
        Event::SoftBreak | Event::HardBreak => Some(" "),
        _ => None,
    }
}

/// The anchor that GitHub gives to a heading, because links between documents use those.
fn anchor(title: &str, taken: &mut HashMap<String, usize>) -> String {
    let title = title.to_lowercase();
    let kept = title.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
    let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
    let times = taken.entry(anchor.clone()).and_modify(|times| *times += 1).or_default();
    if *times == 0 { anchor } else { format!("{anchor}-{times}") }
}

/// An event as this server shows it. Blocks that may be too wide scroll, also by keyboard.
fn shown<'a>(event: Event<'a>, document: &str) -> Event<'a> {
    match event {
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            let dest_url = address(&dest_url, document).into();
            Event::Start(Tag::Link { link_type, dest_url, title, id })
        }
        // Pictures are not in the binary.
        Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
            let dest_url = address(&dest_url, document).into();
            Event::Start(Tag::Link { link_type, dest_url, title, id })
        }
        Event::End(TagEnd::Image) => Event::End(TagEnd::Link),
        // Long names of flags and variables may break behind `_`.
        Event::Code(text) => {
            Event::InlineHtml(format!("<code>{}</code>", escape(&text).replace('_', "_<wbr>")).into())
        }
        Event::Start(Tag::CodeBlock(_)) => Event::Html(r#"<pre tabindex="0"><code>"#.into()),
        Event::End(TagEnd::CodeBlock) => Event::Html("</code></pre>\n".into()),
        // Without alignments, which would become `style` attributes: the policy of the pages forbids those.
        Event::Start(Tag::Table(_)) => Event::Html(r#"<div class="wide" tabindex="0"><table>"#.into()),
        Event::End(TagEnd::Table) => Event::Html("</tbody></table></div>\n".into()),
        event => event,
    }
}

/// The address of a link, relative to `broker/`, which is the base of all pages.
fn address(link: &str, document: &str) -> String {
    if link.contains("://") {
        return link.to_owned();
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let anchor = if anchor.is_empty() { String::new() } else { format!("#{anchor}") };
    match (file, file.strip_suffix(".md")) {
        ("", _) => format!("docs/{document}{anchor}"),
        (_, Some(name)) if Docs::get(file).is_some() => format!("docs/{name}{anchor}"),
        _ => match file.strip_prefix("../") {
            Some(file) => format!("{REPOSITORY}{file}{anchor}"),
            None => format!("{REPOSITORY}docs/{file}{anchor}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::embedded::Static;

    #[test]
    fn a_document_is_rendered_with_the_anchors_and_links_of_this_server() {
        let text = "# The *title* & more\n\nFirst `wo_rds`\nof it.\n\n## One, two\n\n[a](#one-two-1) [b](PROTOCOL.md#c) \
                    [d](../d/e.rs) ![f](f/g.svg) [k](BENCHMARKS.md) [h](https://h.test/i.md#j)\n\n## One two\n\n    <code>\n\n|k|l|\n|-:|-|\n|m|n|\n";
        let Document { title, summary, contents, html, .. } = Document::render("A", text);
        assert_eq!((title.as_str(), summary.as_str()), ("The title & more", "First wo_rds of it."));
        assert_eq!(
            contents,
            "<li><a href=\"docs/A#one-two\">One, two</a></li>\n<li><a href=\"docs/A#one-two-1\">One two</a></li>\n"
        );
        for part in [
            r#"<h1 id="the-title--more">The <em>title</em> &amp; more</h1>"#,
            r##"<a href="docs/A#one-two-1">a</a> <a href="docs/PROTOCOL#c">b</a>"##,
            r#"<a href="https://github.com/peerbroker/peerbroker/blob/main/d/e.rs">d</a>"#,
            r#"<a href="https://github.com/peerbroker/peerbroker/blob/main/docs/f/g.svg">f</a>"#,
            r#"<a href="https://github.com/peerbroker/peerbroker/blob/main/docs/BENCHMARKS.md">k</a>"#,
            r##"<a href="https://h.test/i.md#j">h</a>"##,
            r#"<pre tabindex="0"><code>&lt;code&gt;"#,
            "First <code>wo_<wbr>rds</code>",
            "<th>k</th>",
            "<td>m</td>",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("style="), "{html}");
    }

    #[test]
    fn every_link_between_documents_and_from_the_pages_leads_somewhere() {
        let has = |target: &str| {
            let (name, anchor) = target.split_once('#').unwrap_or((target, ""));
            name.is_empty()
                || DOCUMENTS.iter().any(|document| {
                    let id = format!(r#" id="{anchor}""#);
                    document.name == name && (anchor.is_empty() || document.html.contains(&id))
                })
        };
        let pages = Static::iter().filter_map(|name| Some((Static::get(&name)?.data, name)));
        let pages =
            pages.map(|(data, name)| (name.into_owned(), String::from_utf8_lossy(&data).into_owned()));
        let documents = DOCUMENTS.iter().map(|document| (document.name.clone(), document.html.clone()));
        let mut links = 0;
        for (page, text) in pages.chain(documents) {
            for target in text.split(r#"href="docs/"#).skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(has(target), "{page}: docs/{target}");
                links += 1;
            }
        }
        assert!(links > 100, "{links} links");
    }
}
