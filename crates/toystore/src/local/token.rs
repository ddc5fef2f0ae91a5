//! The token that `up` generates for its processes, and keeps in a file for users and other
//! subcommands.

use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use service::{Token, access};

/// The file's name in the data directory. Only the owner can read it. It can be used as
/// `INTERNAL_TOKEN_FILE`.
pub(crate) const FILE: &str = "internal-token";

/// Reads the token from the data directory, or creates a new one.
///
/// # Errors
/// Names the file, and why it contains no token.
pub(crate) fn load_or_create(data_dir: &Path) -> Result<Token, String> {
    let path = data_dir.join(FILE);
    let message = |what: String| format!("{}: {what}; remove the file to have a new token generated", path.display());
    std::fs::create_dir_all(data_dir).map_err(|error| format!("{}: {error}", data_dir.display()))?;
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            let token = Token::random();
            writeln!(file, "{}", token.secret()).map_err(|error| message(error.to_string()))?;
            Ok(token)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => access::token_in(&path).map_err(message),
        Err(error) => Err(message(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_owner_can_read_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let first = load_or_create(&data).unwrap();
        assert_eq!(std::fs::metadata(data.join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load_or_create(&data).unwrap().secret(), first.secret());
        std::fs::write(data.join(FILE), "short").unwrap();
        let error = load_or_create(&data).unwrap_err();
        assert!(error.contains("internal-token") && error.contains("remove the file"), "{error}");
    }
}
