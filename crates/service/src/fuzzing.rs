//! Properties that hold for any text as the value of a setting: nothing panics, and every mistake
//! is reported with the name of the setting.
//!
//! The property tests below and the fuzz targets in `fuzz/` call these functions. The fuzz targets
//! build this crate with `--cfg fuzzing`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use crate::Token;
use crate::logging::LogConfig;
use crate::settings::{Setting, Values, command};

/// Reads `text` as a setting of every kind, from a variable and from a flag.
pub fn settings(text: &str) {
    // Neither an environment nor a command line can contain NUL.
    if text.contains('\0') {
        return;
    }
    let table: Vec<_> = [
        Setting::new("NUMBER", "7", "A number"),
        Setting::optional("HOST", "An address"),
        Setting::secret("TOKEN", "A secret"),
        Setting::switch("SWITCH", "A switch"),
    ]
    .into_iter()
    .chain(LogConfig::settings())
    .collect();
    let variables: BTreeMap<_, _> = table.iter().map(|setting| (setting.env(), text)).collect();
    let flags = ["fuzz", "--number", text, "--host", text];
    for (args, variables) in [(&flags[..1], variables), (&flags[..], BTreeMap::new())] {
        let Ok(matches) = command("fuzz", "", &table).try_get_matches_from(args) else { continue };
        let mut values = Values::read(&table, &matches, &variables);
        let number = values.within::<u16>("NUMBER", 1..=100);
        assert!(number.is_none_or(|number| (1..=100).contains(&number)));
        let read = (values.optional::<IpAddr>("HOST"), values.required::<bool>("SWITCH"), LogConfig::read(&mut values));
        let token = values.optional::<Token>("TOKEN");
        assert!(token.is_none_or(|token| Token::from_str(token.secret()).is_ok() && token.matches(text.as_bytes())));
        if let Err(mistakes) = values.finish(number.zip(read.1).zip(read.2)) {
            let named = |mistake: &String| table.iter().any(|setting| mistake.contains(setting.env()));
            assert!(mistakes.0.iter().all(named), "{mistakes}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_text_is_handled(text in any::<String>()) {
            settings(&text);
        }

        #[test]
        fn text_that_looks_like_a_value_is_handled(text in "-{0,2}[0-9]{0,6}|[0-9a-f:.]{0,20}|(true|false|json|text|info|a=debug,b)?") {
            settings(&text);
        }
    }
}
