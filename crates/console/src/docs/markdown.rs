//! A document of the repository as HTML: headings that can be linked to, and links that work
//! without the repository.

use std::collections::HashMap;

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};
use pulldown_cmark_escape::escape_html;

/// A document as HTML.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) title: String,
    pub(super) html: String,
    /// What can follow `#` in a link to it.
    #[cfg_attr(not(test), expect(dead_code, reason = "links are checked by tests"))]
    pub(super) anchors: Vec<String>,
}

/// Renders the document `name`. `has_terms`: the terms in its tables can be linked to.
/// `is_served`: whether there is a page for a document.
pub(super) fn render(name: &str, markdown: &str, has_terms: bool, is_served: impl Fn(&str) -> bool) -> Rendered {
    let mut writer = Writer { name, has_terms, is_served, ids: Ids::default(), title: String::new(), open: Vec::new() };
    let mut events = Vec::new();
    let mut parsed = Parser::new_ext(markdown, Options::ENABLE_TABLES);
    while let Some(event) = parsed.next() {
        writer.write(event, &mut parsed, &mut events);
    }
    let mut body = String::new();
    html::push_html(&mut body, events.into_iter());
    Rendered { title: writer.title, html: body, anchors: writer.ids.0.into_keys().collect() }
}

struct Writer<'a, F> {
    name: &'a str,
    has_terms: bool,
    is_served: F,
    ids: Ids,
    title: String,
    /// For each link that is open, whether it is one on the page.
    open: Vec<bool>,
}

impl<F: Fn(&str) -> bool> Writer<'_, F> {
    fn write<'m>(&mut self, event: Event<'m>, rest: &mut Parser<'m>, events: &mut Vec<Event<'m>>) {
        match event {
            Event::Start(Tag::Heading { level, classes, attrs, .. }) => {
                let inside = until(rest, |event| matches!(event, Event::End(TagEnd::Heading(_))));
                let text = text(&inside);
                if self.title.is_empty() {
                    self.title.clone_from(&text);
                }
                let id = Some(self.ids.unique(&text).into());
                events.push(Event::Start(Tag::Heading { level, id, classes, attrs }));
                for event in inside {
                    self.write(event, rest, events);
                }
            }
            Event::Start(Tag::Link { dest_url, .. }) => {
                let target = self.target(&dest_url);
                self.open.push(target.is_ok());
                events.push(match target {
                    Ok(href) => raw(&["<a href=\"", &escaped(&href), "\">"]),
                    Err(file) => raw(&["<span class=\"elsewhere\" title=\"", &escaped(&file), "\">"]),
                });
            }
            Event::End(TagEnd::Link) => {
                events.push(raw(&[if self.open.pop() == Some(true) { "</a>" } else { "</span>" }]));
            }
            // The pictures are not in the binary.
            Event::Start(Tag::Image { .. }) => {
                let inside = until(rest, |event| matches!(event, Event::End(TagEnd::Image)));
                events.push(raw(&["<em class=\"picture\">Picture: ", &escaped(&text(&inside)), "</em>"]));
            }
            // A long line scrolls, also by keyboard.
            Event::Start(Tag::CodeBlock(_)) => {
                let inside = until(rest, |event| matches!(event, Event::End(TagEnd::CodeBlock)));
                events.push(raw(&["<pre tabindex=\"0\"><code>", &escaped(&text(&inside)), "</code></pre>\n"]));
            }
            // Without alignment, which would be a style of the element. A wide table scrolls.
            Event::Start(Tag::Table(_)) => {
                events.push(raw(&["<div class=\"wide\" tabindex=\"0\">"]));
                events.push(Event::Start(Tag::Table(Vec::new())));
            }
            Event::End(TagEnd::Table) => {
                events.push(Event::End(TagEnd::Table));
                events.push(raw(&["</div>"]));
            }
            Event::Start(Tag::Strong) if self.has_terms && events.last() == Some(&Event::Start(Tag::TableCell)) => {
                let inside = until(rest, |event| matches!(event, Event::End(TagEnd::Strong)));
                let id = self.ids.unique(&text(&inside));
                events.push(raw(&["<strong id=\"", &escaped(&id), "\">"]));
                events.extend(inside.into_iter().filter(|event| *event != Event::End(TagEnd::Strong)));
                events.push(raw(&["</strong>"]));
            }
            // The documents have none. What looks like it is shown.
            Event::Html(text) | Event::InlineHtml(text) => events.push(Event::Text(text)),
            other => events.push(other),
        }
    }

    /// Where a link leads on the console's port; `Err`: the file that it names in the repository.
    fn target(&self, link: &str) -> Result<String, String> {
        if link.starts_with('#') || link.contains("://") {
            return Ok(link.to_owned());
        }
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let mut parts: Vec<&str> = std::iter::once("docs").chain(self.name.split('/')).collect();
        parts.pop();
        for part in path.split('/') {
            match part {
                "." | "" => {}
                ".." => drop(parts.pop()),
                other => parts.push(other),
            }
        }
        let file = parts.join("/");
        let served = file.strip_prefix("docs/").and_then(|file| file.strip_suffix(".md"));
        if !served.is_some_and(&self.is_served) {
            return Err(format!("{file} in the repository"));
        }
        let page = path.strip_suffix(".md").unwrap_or(path);
        Ok(if anchor.is_empty() { page.to_owned() } else { format!("{page}#{anchor}") })
    }
}

/// The events up to and with the one that ends them.
fn until<'m>(rest: &mut Parser<'m>, is_end: impl Fn(&Event<'m>) -> bool) -> Vec<Event<'m>> {
    let mut inside = Vec::new();
    for event in rest.by_ref() {
        let ends = is_end(&event);
        inside.push(event);
        if ends {
            break;
        }
    }
    inside
}

fn text(events: &[Event<'_>]) -> String {
    let text = |event: &Event<'_>| match event {
        Event::Text(text) | Event::Code(text) => text.to_string(),
        Event::SoftBreak | Event::HardBreak => " ".to_owned(),
        _ => String::new(),
    };
    events.iter().map(text).collect()
}

fn raw<'m>(parts: &[&str]) -> Event<'m> {
    Event::InlineHtml(CowStr::from(parts.concat()))
}

/// The text as it stands in an element, or in a quoted attribute.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    // Writing to a string cannot fail.
    let _ = escape_html(&mut escaped, text);
    escaped
}

/// The ids of a document, and how many headings want each.
#[derive(Debug, Default)]
struct Ids(HashMap<String, usize>);

impl Ids {
    /// GitHub's rule, which the links between the documents follow.
    fn unique(&mut self, text: &str) -> String {
        let kept = text.to_lowercase().replace(' ', "-");
        let slug: String = kept.chars().filter(|it| it.is_alphanumeric() || matches!(it, '-' | '_')).collect();
        let before = self.0.entry(slug.clone()).or_default();
        let id = if *before == 0 { slug } else { format!("{slug}-{before}") };
        *before += 1;
        self.0.entry(id.clone()).or_insert(1);
        id
    }
}
