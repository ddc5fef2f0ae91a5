//! The page of a story: one HTML file with its style sheet, its modules and its data.

use std::fmt::Write;

/// The most bytes of a page.
pub const PAGE_BYTES_MAX: usize = 3_000_000;

const FRAME: &str = include_str!("../../page/story.html");
const STYLES: [&str; 2] = [include_str!("../../../console/page/theme.css"), include_str!("../../page/story.css")];

/// The modules, each after those that it imports.
const MODULES: [&str; 11] = [
    include_str!("../../../console/page/escape.js"),
    include_str!("../../../console/page/events.js"),
    include_str!("../../page/markup.js"),
    include_str!("../../page/format.js"),
    include_str!("../../page/story.js"),
    include_str!("../../page/diagram.js"),
    include_str!("../../page/overview.js"),
    include_str!("../../page/log.js"),
    include_str!("../../page/panel.js"),
    include_str!("../../page/head.js"),
    include_str!("../../page/main.js"),
];

/// The page with this title and this JSON.
pub(super) fn html(title: &str, json: &str) -> String {
    // Split first, so that nothing in the data or the title is taken for a place to fill.
    let (before, after) = FRAME.split_once("{{data}}").expect("the frame has a place for the data");
    let (start, styled) = before.split_once("{{title}}").expect("the frame has a place for the title");
    let styled = styled.replace("{{styles}}", &STYLES.concat());
    let after = after.replace("{{script}}", &script());
    [start, &escaped(title), &styled, &embedded(json), &after].concat()
}

/// All modules as one: a page without other files has nothing to import from.
fn script() -> String {
    let mut script = String::new();
    for module in MODULES {
        let mut is_import = false;
        for line in module.lines() {
            is_import |= line.starts_with("import ");
            if !is_import {
                // Writing to a string cannot fail.
                let _ = writeln!(script, "{}", line.strip_prefix("export ").unwrap_or(line));
            }
            is_import &= !line.ends_with(';');
        }
    }
    script
}

/// JSON that can stand in a `script` element, whatever its texts are: no `<` can end the element or
/// begin a comment.
fn embedded(json: &str) -> String {
    json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_leave_the_data() {
        let json = serde_json::to_string(&["</script><script>alert(1)</script>", "<!--", "{{data}}"]).unwrap();
        let page = html("a <b> & {{data}}", &json);
        assert_eq!(page.matches("</script>").count(), 2, "the data and the modules");
        assert!(!page.contains("<!--") && page.contains("a &lt;b&gt; &amp;"));
        let data =
            page.split("type=\"application/json\" id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
        let read: Vec<String> = serde_json::from_str(data).unwrap();
        assert_eq!(read[0], "</script><script>alert(1)</script>");
    }

    #[test]
    fn the_page_needs_no_other_file() {
        let page = html("x", "{}");
        for left in ["\nimport ", "\nexport ", "{{data}}", "{{title}}", "{{styles}}", "{{script}}"] {
            assert!(!page.contains(left), "{left}");
        }
        for external in ["src=", "href=\"http", "@import", "url(", "fetch("] {
            assert!(!page.contains(external), "{external}");
        }
        assert!(page.len() < 200_000, "{} bytes without data", page.len());
    }
}
