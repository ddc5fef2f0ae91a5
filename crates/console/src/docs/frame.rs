//! What is around a document on its page: the list of documents, the theme, the way back.

use std::fmt::Write;

use super::markdown::{Rendered, escaped};

/// The page of a document. `all`: the names of all documents, and their texts.
pub(super) fn page<'a>(name: &str, rendered: &Rendered, all: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    // The port may be behind a path of another host, so all links are relative.
    let up = "../".repeat(1 + name.matches('/').count());
    let mut list = String::new();
    for (other, markdown) in all {
        let current = if other == name { " aria-current=\"page\"" } else { "" };
        let title = escaped(title(markdown));
        // Writing to a string cannot fail.
        let _ = writeln!(list, "<li><a href=\"{up}docs/{other}\"{current}>{title}</a></li>");
    }
    let (title, body, version) = (escaped(&rendered.title), &rendered.html, env!("CARGO_PKG_VERSION"));
    format!(
        r##"<!doctype html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} – toy store</title>
<link rel="icon" href="{up}assets/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="{up}assets/theme.css">
<link rel="stylesheet" href="{up}assets/docs.css">
<script type="module" src="{up}assets/docs.js"></script>
</head>
<body>
<a class="skip" href="#document">Skip to the document</a>
<header class="top">
<p><a href="{up}">Toy store: console</a></p>
<button type="button" id="theme">Dark</button>
</header>
<div class="page">
<nav aria-label="Documents"><details open><summary>Documents</summary>
<ul>
{list}</ul></details></nav>
<main id="document">
{body}</main>
</div>
<footer>From the program itself, version {version}: docs/{name}.md of its repository.</footer>
</body>
</html>
"##
    )
}

/// The first heading, which is the first line.
fn title(markdown: &str) -> &str {
    markdown.lines().next().unwrap_or_default().trim_start_matches(['#', ' '])
}
