//! Serves the documentation as pages, so that it can be read without internet.

use std::collections::HashMap;
use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse, web};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use serde_json::{Value, json};

use super::cached::cached;
use super::documents::{self, GROUPS};
use super::handler::{Mounted, NO_CACHE, NOSNIFF, with};
use super::html::{OF_PAGES, Values, escape};
use super::{forwarded, html, not_found};
use peerbroker_core::vocabulary::expected;

/// URL of files that this server does not have.
const REPOSITORY: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/");

/// The file with the texts of all sections, in which the pages search.
const INDEX: &str = "index.json";

/// All documents. Rendered once, because that costs more than an answer should: see [`prepare`].
static DOCUMENTS: LazyLock<Vec<Document>> = LazyLock::new(|| {
    let rendered = |(group, documents): &(&'static str, &'static [(&str, &str)])| {
        let group = *group;
        documents.iter().map(move |(name, text)| Document::render(group, name, text))
    };
    GROUPS.iter().flat_map(rendered).collect()
});

/// The name of a document if the page below `broker/` is one, or of their index. The empty name is the list
/// of all.
pub(super) fn requested(page: &str) -> Option<&str> {
    if page == "docs" { Some("") } else { page.strip_prefix("docs/") }
}

/// Renders the documents before their first request, on the blocking pool: clients of this worker do not
/// wait.
pub(super) async fn prepare(page: &str) {
    if requested(page).is_some() && LazyLock::get(&DOCUMENTS).is_none() {
        // If it fails, the page renders them itself.
        let _ = web::block(|| LazyLock::force(&DOCUMENTS).len()).await;
    }
}

/// A document, the list of all, or the index for the search.
pub(super) async fn page(mounted: &Mounted, request: &HttpRequest, name: &str) -> HttpResponse {
    if name == INDEX {
        return with(cached(request, INDEX, index().into_bytes().into()).await, [NOSNIFF, NO_CACHE]);
    }
    let document = DOCUMENTS.iter().find(|document| document.name == name);
    let (title, contents, html) = match document {
        Some(Document { title, contents, html, .. }) => (title.as_str(), contents.as_str(), html.clone()),
        None if name.is_empty() => ("Documentation", "", list()),
        None => return not_found::page(mounted, request),
    };
    let values = Values::of(mounted, forwarded::client_options(mounted, request))
        .with_html("documents", links(name))
        .with_html("contents", contents.to_owned())
        .with_html("document", html);
    let content = values.part("document.html");
    let text = html::in_frame(title, content, values);
    let page = cached(request, "page.html", text.into_bytes().into()).await;
    with(with(page, OF_PAGES), [NOSNIFF, NO_CACHE])
}

/// The groups, each with its documents.
fn groups() -> impl Iterator<Item = (&'static str, &'static [Document])> {
    let groups = DOCUMENTS.chunk_by(|one, next| one.group == next.group);
    groups.filter_map(|documents| Some((documents.first()?.group, documents)))
}

fn links(current: &str) -> String {
    let link = |Document { name, title, .. }: &Document| {
        let here = if name == current { r#" aria-current="page""# } else { "" };
        format!("<li><a href=\"docs/{name}\"{here}>{}</a></li>\n", escape(title))
    };
    let group = |(group, documents): (&str, &[Document])| {
        let links: String = documents.iter().map(link).collect();
        format!("<li><p>{group}</p><ul class=\"plain\">\n{links}</ul></li>\n")
    };
    groups().map(group).collect()
}

fn list() -> String {
    let entry = |Document { name, title, summary, .. }: &Document| {
        let title = escape(title);
        let summary = escape(summary);
        format!("<h3><a href=\"docs/{name}\">{title}</a></h3><p>{summary}</p>\n")
    };
    let group = |(group, documents): (&str, &[Document])| {
        format!("<h2>{group}</h2>\n{}", documents.iter().map(entry).collect::<String>())
    };
    "<h1>Documentation</h1>\n".to_owned() + &groups().map(group).collect::<String>()
}

/// The sections of all documents as JSON.
fn index() -> String {
    json!(DOCUMENTS.iter().flat_map(|document| &document.sections).collect::<Vec<_>>()).to_string()
}

/// A document as HTML.
struct Document {
    group: &'static str,
    name: String,
    title: String,
    /// The text of its first paragraph.
    summary: String,
    /// Links to its sections.
    contents: String,
    /// The texts of its sections as JSON.
    sections: Vec<Value>,
    html: String,
}

impl Document {
    fn render(group: &'static str, name: &str, text: &str) -> Self {
        let mut events: Vec<Event<'_>> = Parser::new_ext(text, Options::ENABLE_TABLES).collect();
        let from_paragraph = events.iter().skip_while(|event| !matches!(event, Event::Start(Tag::Paragraph)));
        let paragraph = from_paragraph.take_while(|event| !matches!(event, Event::End(TagEnd::Paragraph)));
        let summary = paragraph.filter_map(plain).collect();
        let mut document = None;
        let mut anchors = HashMap::new();
        let mut contents = String::new();
        let mut sections = Vec::new();
        // A section goes from its heading to the next one.
        let is_heading = |event: &Event<'_>| matches!(event, Event::Start(Tag::Heading { .. }));
        for section in events.chunk_by_mut(|_, next| !is_heading(next)) {
            let Some((Event::Start(Tag::Heading { level, id, .. }), rest)) = section.split_first_mut() else {
                continue;
            };
            let end = rest.iter().position(|event| matches!(event, Event::End(TagEnd::Heading(_))));
            let (heading, body) = rest.split_at(expected(end.ok_or(name), "the end of a heading"));
            let title: String = heading.iter().filter_map(plain).collect();
            let anchor = anchor(&title, &mut anchors);
            if *level == HeadingLevel::H2 {
                let anchor = escape(&anchor);
                let title = escape(&title);
                contents += &format!("<li><a href=\"docs/{name}#{anchor}\">{title}</a></li>\n");
            }
            let body =
                body.iter().map(|event| plain(event).unwrap_or(if ends_words(event) { " " } else { "" }));
            let text = body.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
            let document = document.get_or_insert_with(|| title.clone());
            sections.push(json!({
                "document": document, "title": title, "href": format!("docs/{name}#{anchor}"), "text": text
            }));
            *id = Some(anchor.into());
        }
        let title = document.unwrap_or_else(|| name.to_owned());
        let mut html = String::with_capacity(text.len() * 2);
        let mut anchor = None;
        let shown = name_cells(events).into_iter().flat_map(|event| {
            let link = section_link(&event, &mut anchor, name);
            link.into_iter().chain([shown(event, name)])
        });
        pulldown_cmark::html::push_html(&mut html, shown);
        Document { group, name: name.to_owned(), title, summary, contents, sections, html }
    }
}

/// True if words before and after the event are apart.
fn ends_words(event: &Event<'_>) -> bool {
    matches!(event, Event::End(end) if !matches!(end, TagEnd::Emphasis | TagEnd::Strong | TagEnd::Link))
}

/// A link to a section behind its heading, for people who want to send it to somebody. `anchor` is that of
/// the last heading.
fn section_link<'a>(event: &Event<'a>, anchor: &mut Option<CowStr<'a>>, document: &str) -> Option<Event<'a>> {
    match event {
        Event::Start(Tag::Heading { level, id, .. }) if *level != HeadingLevel::H1 => anchor.clone_from(id),
        Event::End(TagEnd::Heading(_)) => {
            let anchor = escape(&anchor.take()?);
            let link = format!(
                r##" <a class="section-link" href="docs/{document}#{anchor}" aria-label="Link to this section">#</a>"##
            );
            return Some(Event::InlineHtml(link.into()));
        }
        _ => {}
    }
    None
}

fn plain<'a>(event: &'a Event<'a>) -> Option<&'a str> {
    match event {
        Event::Text(text) | Event::Code(text) => Some(text),
        Event::SoftBreak | Event::HardBreak => Some(" "),
        _ => None,
    }
}

/// The anchor that GitHub gives to a heading, because links between documents use it.
fn anchor(title: &str, taken: &mut HashMap<String, usize>) -> String {
    let title = title.to_lowercase();
    let kept = title.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
    let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
    let times = taken.entry(anchor.clone()).and_modify(|times| *times += 1).or_default();
    if *times == 0 { anchor } else { format!("{anchor}-{times}") }
}

/// Columns of a table whose cells need no names on a phone, which shows the rows of all tables as cards.
const PAIR: usize = 2;

/// Most characters of code that a desk shows in one line: names of flags and the like. Other texts would
/// leave no room to the columns behind them.
const LONGEST_NAME: usize = 34;

/// Names the column of each cell, for cards, and leaves no header cell empty: people who hear a table would
/// hear a header without a name.
fn name_cells(events: Vec<Event<'_>>) -> Vec<Event<'_>> {
    let mut shown = Vec::with_capacity(events.len());
    let mut columns = Vec::new();
    let mut column = 0;
    let mut events = events.into_iter().peekable();
    let mut in_head = false;
    while let Some(event) = events.next() {
        match &event {
            Event::Start(Tag::TableHead) => (in_head, columns) = (true, Vec::new()),
            Event::End(TagEnd::TableHead) => in_head = false,
            Event::Start(Tag::TableRow) => column = 0,
            Event::Start(Tag::TableCell) if in_head => {
                columns.push(String::new());
                if events.next_if(|next| matches!(next, Event::End(TagEnd::TableCell))).is_some() {
                    shown.push(Event::Html("<td></td>".into()));
                    continue;
                }
            }
            Event::Start(Tag::TableCell) => {
                let name = columns.get(column).map(|name| escape(name)).unwrap_or_default();
                column += 1;
                shown.push(Event::Html(format!(r#"<td data-column="{name}">"#).into()));
                continue;
            }
            Event::End(TagEnd::TableCell) if !in_head => {
                shown.push(Event::Html("</td>".into()));
                continue;
            }
            event if in_head => {
                if let (Some(name), Some(text)) = (columns.last_mut(), plain(event)) {
                    name.push_str(text);
                }
            }
            _ => {}
        }
        shown.push(event);
    }
    shown
}

/// An event as this server shows it. Blocks that may be too wide scroll, also by keyboard.
fn shown<'a>(event: Event<'a>, document: &str) -> Event<'a> {
    match event {
        // Pictures are not in the binary, so they are links.
        Event::Start(
            Tag::Link { link_type, dest_url, title, id } | Tag::Image { link_type, dest_url, title, id },
        ) => {
            let dest_url = address(&dest_url, document).into();
            Event::Start(Tag::Link { link_type, dest_url, title, id })
        }
        Event::End(TagEnd::Image) => Event::End(TagEnd::Link),
        // Long names of flags and variables may break behind `_`.
        Event::Code(text) => {
            let class = if text.chars().count() > LONGEST_NAME { r#" class="long""# } else { "" };
            Event::InlineHtml(format!("<code{class}>{}</code>", escape(&text).replace('_', "_<wbr>")).into())
        }
        Event::Start(Tag::CodeBlock(_)) => Event::Html(r#"<pre tabindex="0"><code>"#.into()),
        Event::End(TagEnd::CodeBlock) => Event::Html("</code></pre>\n".into()),
        // Without alignments, which would become `style` attributes: the policy of the pages forbids those.
        Event::Start(Tag::Table(columns)) => {
            let class = if columns.len() == PAIR { "rows pair" } else { "rows" };
            Event::Html(format!(r#"<div class="wide" tabindex="0"><table class="{class}">"#).into())
        }
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
        (_, Some(name)) if documents::has(name) => format!("docs/{name}{anchor}"),
        _ => match file.strip_prefix("../") {
            Some(file) => format!("{REPOSITORY}{file}{anchor}"),
            None => format!("{REPOSITORY}docs/{file}{anchor}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::public::html::Static;

    #[test]
    fn a_document_is_rendered_with_the_anchors_and_links_of_this_server() {
        let text = "# The *title* & more\n\nFirst `wo_rds`\nof it.\n\n## One, two\n\n[a](#one-two-1) [b](PROTOCOL.md#c) \
                    [d](../d/e.rs) ![f](f/g.svg) [k](BENCHMARKS.md) [h](https://h.test/i.md#j)\n\n## One two\n\n    <code>\n\n|k `l`|\n|-:|\n|m|\n\n\
                    ||o|p|\n|-|-|-|\n|q||r|\n\n|s|t|u|v|\n|-|-|-|-|\n|w|x|y|z|\n";
        let Document { title, summary, contents, sections, html, .. } = Document::render("Start", "A", text);
        assert_eq!((title.as_str(), summary.as_str()), ("The title & more", "First wo_rds of it."));
        assert_eq!(
            contents,
            "<li><a href=\"docs/A#one-two\">One, two</a></li>\n<li><a href=\"docs/A#one-two-1\">One two</a></li>\n"
        );
        assert_eq!(
            json!(sections),
            json!([
                { "document": title, "title": title, "href": "docs/A#the-title--more", "text": "First wo_rds of it." },
                { "document": title, "title": "One, two", "href": "docs/A#one-two", "text": "a b d f k h" },
                { "document": title, "title": "One two", "href": "docs/A#one-two-1", "text": "<code> k l m o p q r s t u v w x y z" },
            ])
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
            r##"<h2 id="one-two-1">One two <a class="section-link" href="docs/A#one-two-1" "##,
            r#"<table class="rows"><thead><tr><th>k <code>l</code></th></tr></thead><tbody>"#,
            r#"<tr><td data-column="k l">m</td></tr>"#,
            r#"<table class="rows"><thead><tr><td></td><th>o</th><th>p</th></tr></thead><tbody>"#,
            r#"<tr><td data-column="">q</td><td data-column="o"></td><td data-column="p">r</td></tr>"#,
            r#"<table class="rows"><thead><tr><th>s</th>"#,
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("style="), "{html}");
    }

    #[test]
    fn every_document_for_operators_and_users_is_served() {
        let files =
            std::fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> =
            files.filter_map(|file| file.strip_suffix(".md").map(str::to_owned)).collect();
        names.retain(|name| !["ARCHITECTURE", "BENCHMARKS", "CALLS-MEASURED"].contains(&name.as_str()));
        let mut served: Vec<&str> = DOCUMENTS.iter().map(|document| &*document.name).collect();
        names.sort();
        served.sort_unstable();
        assert_eq!(served, names);
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
