//! The files of a report.

use std::io;
use std::path::Path;

use crate::document::Document;
use crate::save::save;

impl Document {
    /// Writes `report.html`, `report.md`, and the plots of the latter in `plots/`.
    ///
    /// # Errors
    /// As [`save`].
    pub fn save(&self, dir: &Path) -> io::Result<()> {
        self.save_figures(&dir.join("plots"))?;
        save(&dir.join("report.html"), self.html().as_bytes())?;
        save(&dir.join("report.md"), self.markdown("plots").as_bytes())
    }

    /// Writes each plot as an SVG file.
    ///
    /// # Errors
    /// As [`save`].
    pub fn save_figures(&self, dir: &Path) -> io::Result<()> {
        self.figures().try_for_each(|(name, svg)| save(&dir.join(format!("{name}.svg")), svg.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use crate::Figure;
    use crate::testing::{document, plot};

    #[test]
    fn a_report_is_a_page_and_markdown_with_its_plots() {
        let dir = tempfile::tempdir().unwrap();
        let (document, target) = (document(), dir.path().join("new"));
        document.save(&target).unwrap();
        let read = |name: &str| std::fs::read_to_string(target.join(name)).unwrap();
        assert_eq!((read("report.html"), read("report.md")), (document.html(), document.markdown("plots")));
        assert_eq!((read("plots/latency.svg"), read("plots/folded.svg")), (plot().svg(), plot().svg()));
    }
}
