//! Writes reports to files, atomically.

use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes a file atomically, and creates its directory if necessary. The previous file stays until
/// the new one is complete.
///
/// # Errors
/// If the directory or the file cannot be written. The message names the path.
pub fn save(path: &Path, content: &[u8]) -> io::Result<()> {
    // Write to a device or a pipe instead of replacing it.
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        return std::fs::write(path, content).map_err(|error| named(path, &error));
    }
    let mut file = create_temp(path)?;
    file.write_all(content).map_err(|error| named(path, &error))?;
    persist(file, path)
}

/// Creates a temporary file that replaces `path` when it is [persisted](persist) and that is
/// removed otherwise.
///
/// # Errors
/// As [`save`].
pub fn create_temp(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let create = || {
        std::fs::create_dir_all(folder)?;
        // Readable for all, like any other report: by default, temporary files are private.
        let mut builder = tempfile::Builder::new();
        builder.prefix(".report-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
        builder.tempfile_in(folder)
    };
    create().map_err(|error| named(path, &error))
}

/// Replaces `path` with the temporary file.
///
/// # Errors
/// As [`save`].
pub fn persist(mut file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.flush().map_err(|error| named(path, &error))?;
    file.persist(path).map(drop).map_err(|error| named(path, &error.error))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_is_not_completed_leaves_the_previous_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/report.json");
        save(&path, b"first").unwrap();
        let mut second = create_temp(&path).unwrap();
        second.write_all(b"sec").unwrap();
        drop(second);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        save(&path, b"second").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn an_error_names_the_path() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), b"").unwrap();
        let path = dir.path().join("file/report.json");
        let error = save(&path, b"x").unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: ", path.display())), "{error}");
        assert!(save(Path::new("/dev/full"), b"x").unwrap_err().to_string().starts_with("/dev/full: "));
    }
}
