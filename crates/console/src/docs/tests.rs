use std::collections::BTreeMap;

use super::*;

/// All documents by name, with what can follow `#`.
fn anchors() -> BTreeMap<&'static str, Vec<String>> {
    DOCUMENTS.iter().map(|document| (document.name, document.render().anchors)).collect()
}

/// The values of an attribute in a page.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let parts = html.split(attribute).skip(1);
    parts.map(|rest| rest.split('"').next().expect("a split has a first part")).collect()
}

fn assert_leads_somewhere(link: &str, from: &str, anchors: &BTreeMap<&'static str, Vec<String>>) {
    let (page, anchor) = link.split_once('#').unwrap_or((link, ""));
    let found = anchors.get(page).unwrap_or_else(|| panic!("{from}: there is no document {page}"));
    assert!(anchor.is_empty() || found.iter().any(|it| it == anchor), "{from}: {page} has no {anchor}");
}

#[test]
fn every_explanation_leads_to_a_paragraph() {
    let anchors = anchors();
    let explanations = include_str!("../../page/explain.js");
    let links: Vec<_> = explanations.split("'docs/").skip(1).map(|rest| rest.split('\'').next().unwrap()).collect();
    assert!(links.len() > 20, "{links:?}");
    for link in links {
        assert_leads_somewhere(link, "explain.js", &anchors);
    }
}

#[test]
fn every_link_between_documents_leads_to_a_paragraph() {
    let anchors = anchors();
    let mut links = 0;
    for Document { name, .. } in DOCUMENTS {
        let html = find(name).unwrap().render().html;
        for href in values(&html, "href=\"").into_iter().filter(|href| !href.contains("://")) {
            let mut parts: Vec<_> = name.split('/').collect();
            let (page, anchor) = href.split_once('#').unwrap_or((href, ""));
            if !page.is_empty() {
                parts.pop();
            }
            for part in page.split('/').filter(|part| !part.is_empty()) {
                match part {
                    ".." => drop(parts.pop()),
                    other => parts.push(other),
                }
            }
            assert_leads_somewhere(&format!("{}#{anchor}", parts.join("/")), name, &anchors);
            links += 1;
        }
    }
    assert!(links > 50, "{links}");
}

#[test]
fn a_page_asks_nobody_else_and_its_ids_are_unique() {
    for document in DOCUMENTS {
        let rendered = document.render();
        let page = frame::page(document.name, &rendered, DOCUMENTS.iter().map(|it| (it.name, it.markdown)));
        for src in values(&page, "src=\"") {
            assert!(src.ends_with("../assets/docs.js"), "{src}");
        }
        assert!(!page.contains(" style=\"") && !page.contains("<img"), "{}", document.name);
        let mut ids = values(&page, " id=\"");
        ids.sort_unstable();
        let all = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), all, "{}: {ids:?}", document.name);
        assert!(!rendered.title.is_empty() && page.contains("aria-current=\"page\""));
    }
}

#[test]
fn what_is_not_served_is_named() {
    let served = |name: &str| name == "lessons/x";
    let html = |markdown| markdown::render("lessons/y", markdown, false, served).html;
    assert_eq!(html("[a](x.md#b)"), "<p><a href=\"x#b\">a</a></p>\n");
    assert_eq!(html("[a](#b)"), "<p><a href=\"#b\">a</a></p>\n");
    assert_eq!(html("[a](../lessons/x.md)"), "<p><a href=\"../lessons/x\">a</a></p>\n");
    assert_eq!(
        html("[`a`](../../crates/a.rs)"),
        "<p><span class=\"elsewhere\" title=\"crates/a.rs in the repository\"><code>a</code></span></p>\n"
    );
    assert_eq!(html("![a \"b\"](c.png)"), "<p><em class=\"picture\">Picture: a &quot;b&quot;</em></p>\n");
    assert_eq!(html("a <script>b"), "<p>a &lt;script&gt;b</p>\n");
}

#[test]
fn headings_and_terms_have_anchors() {
    let rendered = markdown::render("x", "# A `b`: c's\n## d\n## d\n", false, |_| false);
    assert_eq!(rendered.title, "A b: c's");
    assert_eq!(
        rendered.html,
        "<h1 id=\"a-b-cs\">A <code>b</code>: c's</h1>\n<h2 id=\"d\">d</h2>\n<h2 id=\"d-1\">d</h2>\n"
    );
    let table = "| a | b |\n|---|--:|\n| **one two** | **x** |\n";
    let html = markdown::render("x", table, true, |_| false).html;
    assert!(html.contains("<td><strong id=\"one-two\">one two</strong></td><td><strong id=\"x\">"), "{html}");
}
