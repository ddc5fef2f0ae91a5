//! Access control: the secret that the internal ports share, and where a process without it
//! listens.
//!
//! A client that reaches an internal port can change everything in the store. Hence the *protected
//! mode*: a process without `INTERNAL_TOKEN` listens only on the loopback addresses of its machine,
//! and refuses to start if it is configured to listen elsewhere.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use crate::Token;
use crate::settings::{Setting, Values};

/// The longest token file, in bytes. A token file has one line, so a longer file is something else.
const FILE_BYTES_MAX: u64 = 4096;

/// The access settings of a process that listens on internal ports.
#[derive(Clone, Debug)]
pub struct Access {
    /// The secret of the internal ports, if there is one.
    pub token: Option<Token>,
    /// The address that the ports listen on.
    pub bind_host: IpAddr,
}

/// The settings of every process that sends requests to internal ports.
pub fn token_settings() -> Vec<Setting> {
    vec![
        Setting::secret(
            "INTERNAL_TOKEN",
            "Shared secret of the internal ports, 8 or more visible ASCII characters. As a flag, every user of the machine can read it in the process list",
        ),
        Setting::optional(
            "INTERNAL_TOKEN_FILE",
            "File whose only line is the shared secret; an alternative to INTERNAL_TOKEN",
        ),
    ]
}

/// Reads [`token_settings`]. `None` if there is no token, or if a mistake was recorded.
pub fn read_token(values: &mut Values) -> Option<Token> {
    let token = values.optional("INTERNAL_TOKEN");
    let file = values.optional::<PathBuf>("INTERNAL_TOKEN_FILE");
    if values.is_set("INTERNAL_TOKEN") && values.is_set("INTERNAL_TOKEN_FILE") {
        let (token, file) = (values.name("INTERNAL_TOKEN"), values.name("INTERNAL_TOKEN_FILE"));
        values.mistake(format!("both {token} and {file} are set; set only one of them"));
        return None;
    }
    let Some(path) = file else { return token };
    match token_in(&path) {
        Ok(token) => Some(token),
        Err(wrong) => {
            let name = values.name("INTERNAL_TOKEN_FILE");
            values.mistake(format!("{name}: {}: {wrong}", path.display()));
            None
        }
    }
}

/// Reads the token from a file with one line.
///
/// # Errors
/// If the file has no token. The message shows nothing of the file's content.
pub fn token_in(path: &Path) -> Result<Token, String> {
    let read = || -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| error.to_string())?;
    Token::new(text.trim_end_matches(['\r', '\n'])).map_err(|wrong| format!("its only line {wrong}"))
}

impl Access {
    /// The settings of a process that listens on internal ports.
    pub fn settings() -> Vec<Setting> {
        let help = "Address that the ports listen on. An address other than loopback (127.0.0.1, ::1) requires a token \
                    [default: 0.0.0.0 with INTERNAL_TOKEN, 127.0.0.1 without]";
        [vec![Setting::optional("BIND_HOST", help)], token_settings()].concat()
    }

    /// Reads the settings.
    pub fn read(values: &mut Values) -> Option<Self> {
        let bind_host = values.optional::<IpAddr>("BIND_HOST");
        let token = read_token(values);
        let has_token = ["INTERNAL_TOKEN", "INTERNAL_TOKEN_FILE"].iter().any(|env| values.is_set(env));
        if !values.is_set("BIND_HOST") {
            let bind_host = if has_token { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
            return Some(Self { token, bind_host: bind_host.into() });
        }
        let bind_host = bind_host?;
        if !has_token && !bind_host.to_canonical().is_loopback() {
            let (bind, secret) = (values.name("BIND_HOST"), values.name("INTERNAL_TOKEN"));
            values.mistake(format!(
                "{bind} is {bind_host}, but there is no token: any client that reaches the internal ports could change everything. Set \
                 {secret} (the same for all processes of the store), or listen on 127.0.0.1"
            ));
            return None;
        }
        Some(Self { token, bind_host })
    }

    /// Logs a warning if the process has no token: what this means, and how to change it.
    pub fn log(&self) {
        if self.token.is_none() {
            tracing::warn!(
                bind_host = %self.bind_host,
                "no token is set, so the ports listen on the loopback interface only; to listen elsewhere, set INTERNAL_TOKEN (or \
                 INTERNAL_TOKEN_FILE) to the same secret for all processes of the store"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::settings::{Mistakes, command};

    const SECRET: &str = "a-long-secret";

    fn read(variables: &[(&str, &str)]) -> Result<Access, Mistakes> {
        let settings = Access::settings();
        let matches = command("x", "y", &settings).try_get_matches_from(["x"]).unwrap();
        let mut values = Values::read(&settings, &matches, &variables.iter().copied().collect::<BTreeMap<_, _>>());
        let access = Access::read(&mut values);
        values.finish(access)
    }

    #[test]
    fn without_a_token_the_ports_listen_on_loopback_only() {
        let bound = |variables: &[(&str, &str)]| read(variables).unwrap().bind_host.to_string();
        assert_eq!(bound(&[]), "127.0.0.1");
        assert_eq!(bound(&[("BIND_HOST", "::1")]), "::1");
        assert_eq!(bound(&[("BIND_HOST", "127.1.2.3")]), "127.1.2.3");
        assert_eq!(bound(&[("INTERNAL_TOKEN", SECRET)]), "0.0.0.0");
        assert_eq!(bound(&[("INTERNAL_TOKEN", SECRET), ("BIND_HOST", "::")]), "::");
        for open in ["0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1"] {
            let mistakes = read(&[("BIND_HOST", open)]).unwrap_err().0;
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].starts_with("BIND_HOST (--bind-host) is ") && mistakes[0].contains("INTERNAL_TOKEN"));
        }
    }

    #[test]
    fn a_token_that_cannot_be_read_is_reported_once_and_opens_nothing() {
        let wrong = [("INTERNAL_TOKEN", ""), ("INTERNAL_TOKEN", "short"), ("INTERNAL_TOKEN_FILE", "/nowhere/token")];
        for variable in wrong {
            let mistakes = read(&[variable, ("BIND_HOST", "::")]).unwrap_err().0;
            assert_eq!(mistakes.len(), 1, "{mistakes:?}");
            assert!(mistakes[0].starts_with(variable.0), "{mistakes:?}");
        }
    }

    #[test]
    fn a_token_may_come_from_a_file_but_not_from_both_settings() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let file = path.to_str().unwrap();
        for text in [SECRET.to_owned(), format!("{SECRET}\n"), format!("{SECRET}\r\n")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(&[("INTERNAL_TOKEN_FILE", file)]).unwrap().token.unwrap().secret(), SECRET);
        }
        let both = read(&[("INTERNAL_TOKEN_FILE", file), ("INTERNAL_TOKEN", SECRET)]).unwrap_err().0;
        assert!(both[0].contains("set only one of them"), "{both:?}");
        for text in ["", "\n", "short", "two-long-lines\nof-secrets"] {
            std::fs::write(&path, text).unwrap();
            let mistakes = read(&[("INTERNAL_TOKEN_FILE", file)]).unwrap_err().0;
            assert!(mistakes[0].contains(file) && !mistakes[0].contains("of-secrets"), "{mistakes:?}");
        }
    }
}
