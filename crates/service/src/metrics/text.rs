//! Reads the text format of Prometheus, as far as the store's processes use it: one sample per
//! line, without time stamps. (The crates for it bring a regular expression engine and a calendar.)

/// The value of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricLine<'a> {
    /// The name, without labels.
    pub name: &'a str,
    labels: &'a str,
    /// The value.
    pub value: f64,
}

/// The samples of a text. Comments and lines that cannot be read are left out.
pub fn lines(text: &str) -> impl Iterator<Item = MetricLine<'_>> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(MetricLine::read)
}

impl<'a> MetricLine<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        Some(Self { name, labels: labels.strip_suffix('}')?, value: value.parse().ok()? })
    }

    /// The value of a label. The values that are asked for have no quotes, commas or escapes.
    pub fn label(&self, name: &str) -> Option<&'a str> {
        self.labels.split("\",").find_map(|pair| {
            let (key, value) = pair.split_once("=\"")?;
            (key == name).then(|| value.strip_suffix('"').unwrap_or(value))
        })
    }

    /// The value of a counter.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a counter is a whole number")]
    pub fn count(&self) -> u64 {
        self.value as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_with_and_without_labels() {
        let text =
            "# HELP a x\n# TYPE a counter\na 7\nb{x=\"1\",route=\"/products/{name}\",le=\"+Inf\"} 2.5\nbad\nc{ x\n";
        let found: Vec<_> = lines(text).collect();
        assert_eq!(found.iter().map(|line| (line.name, line.value)).collect::<Vec<_>>(), [("a", 7.0), ("b", 2.5)]);
        let label = |name| found[1].label(name);
        assert_eq!(
            [label("x"), label("route"), label("le"), label("y")],
            [Some("1"), Some("/products/{name}"), Some("+Inf"), None]
        );
        assert_eq!((found[0].label("x"), found[0].count()), (None, 7));
    }
}
