//! Configuration: a table of settings per process, read once at the start.
//!
//! Each [`Setting`] is an environment variable *and* a flag (`REST_API_PORT`, `--rest-api-port`; the underscore
//! spelling of a flag works too). A flag wins over the variable, the variable over the default; an empty variable counts as unset.
//! Parsing does not stop at the first mistake: [`Values`] collects them, and [`Values::finish`] tells them all.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::str::FromStr;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// One thing that can be configured.
#[derive(Clone, Debug)]
pub struct Setting {
    env: Cow<'static, str>,
    flag: String,
    default: Option<Cow<'static, str>>,
    help: Cow<'static, str>,
    switch: bool,
}

impl Setting {
    /// A setting with a default.
    pub fn new(
        env: impl Into<Cow<'static, str>>,
        default: impl Into<Cow<'static, str>>,
        help: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { default: Some(default.into()), ..Self::optional(env, help) }
    }

    /// A setting without a default.
    pub fn optional(env: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>) -> Self {
        let env = env.into();
        let flag = env.to_lowercase().replace('_', "-");
        Self { env, flag, default: None, help: help.into(), switch: false }
    }

    /// Off unless the flag is given (it takes no value) or the variable says `true`.
    pub fn switch(env: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>) -> Self {
        Self { switch: true, ..Self::new(env, "false", help) }
    }

    /// Another flag name than the variable's own.
    #[must_use]
    pub fn with_flag(self, flag: &str) -> Self {
        Self { flag: flag.into(), ..self }
    }

    /// The environment variable.
    pub fn env(&self) -> &str {
        &self.env
    }

    /// The flag, without its dashes.
    pub fn flag(&self) -> &str {
        &self.flag
    }

    /// What it is when nobody says anything.
    pub fn default(&self) -> Option<&str> {
        self.default.as_deref()
    }

    /// What it means.
    pub fn help(&self) -> &str {
        &self.help
    }

    fn arg(&self) -> Arg {
        let default = match &self.default {
            Some(default) if !self.switch => format!(" [default: {default}]"),
            _ => String::new(),
        };
        let help = format!("{} [env: {}]{default}", self.help, self.env);
        let arg = Arg::new(self.env.to_string()).long(self.flag.clone()).help(help);
        let arg = if self.switch {
            arg.action(ArgAction::SetTrue)
        } else {
            arg.value_name("VALUE").allow_hyphen_values(true)
        };
        match self.flag.replace('-', "_") {
            underscored if underscored != self.flag => arg.alias(underscored),
            _ => arg,
        }
    }
}

/// A subcommand that takes these settings.
pub fn command(name: &'static str, about: &'static str, settings: &[Setting]) -> Command {
    Command::new(name).about(about).args(settings.iter().map(Setting::arg))
}

/// Where environment variables come from: the process, or a test's own map.
pub trait Environment {
    /// The variable's value, if it is set.
    fn var(&self, name: &str) -> Option<String>;
}

/// The process's own environment.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Environment for BTreeMap<&str, &str> {
    fn var(&self, name: &str) -> Option<String> {
        self.get(name).map(ToString::to_string)
    }
}

/// All that is wrong with a configuration, a line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<String>);

impl Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in the configuration:", if self.0.len() == 1 { "a mistake" } else { "mistakes" })?;
        self.0.iter().try_for_each(|mistake| writeln!(f, "  - {mistake}"))
    }
}

/// The settings' raw values, and the mistakes that were found in them so far.
#[derive(Debug)]
pub struct Values {
    raw: BTreeMap<String, (String, String)>,
    mistakes: Vec<String>,
}

impl Values {
    /// Looks every setting up: flag, then variable, then default.
    pub fn read(settings: &[Setting], matches: &ArgMatches, environment: &dyn Environment) -> Self {
        let mut raw = BTreeMap::new();
        for setting in settings {
            let env = setting.env.as_ref();
            let flag = if matches.value_source(env) != Some(ValueSource::CommandLine) {
                None
            } else if setting.switch {
                Some("true".to_owned())
            } else {
                matches.get_one::<String>(env).cloned()
            };
            let named = |value| (format!("{env} (--{})", setting.flag), value);
            let value = flag
                .or_else(|| environment.var(env).filter(|value| !value.is_empty()))
                .or_else(|| setting.default.as_ref().map(ToString::to_string));
            raw.insert(env.to_owned(), named(value.unwrap_or_default()));
        }
        Self { raw, mistakes: Vec::new() }
    }

    /// The value of a setting that must be there. `None` means that a mistake was noted.
    pub fn required<T: FromStr<Err: Display>>(&mut self, env: &str) -> Option<T> {
        match self.optional(env) {
            None if !self.is_set(env) => {
                let name = self.name(env);
                self.mistake(format!("{name} is missing"));
                None
            }
            value => value,
        }
    }

    /// The value of a setting that may be absent. A value that cannot be parsed is noted as a mistake.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, env: &str) -> Option<T> {
        let (name, value) = self.entry(env).clone();
        if value.is_empty() {
            return None;
        }
        match value.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.mistake(format!("{name} is {value:?}: {error}"));
                None
            }
        }
    }

    /// Like [`Values::required`], and within `bounds`.
    pub fn within<T>(&mut self, env: &str, bounds: std::ops::RangeInclusive<T>) -> Option<T>
    where
        T: FromStr<Err: Display> + PartialOrd + Display,
    {
        let value = self.required::<T>(env)?;
        if bounds.contains(&value) {
            return Some(value);
        }
        let name = self.name(env);
        self.mistake(format!("{name} is {value}: it must be from {} to {}", bounds.start(), bounds.end()));
        None
    }

    /// Whether a setting has a value.
    pub fn is_set(&self, env: &str) -> bool {
        !self.entry(env).1.is_empty()
    }

    /// How a message names a setting: variable and flag.
    pub fn name(&self, env: &str) -> String {
        self.entry(env).0.clone()
    }

    /// Notes a mistake that only the caller can see, such as two settings that contradict each other. The same again is told once: a
    /// setting may be read for more than one purpose.
    pub fn mistake(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.mistakes.contains(&what) {
            self.mistakes.push(what);
        }
    }

    /// The finished configuration, or everything that is wrong.
    ///
    /// # Panics
    /// If `config` is `None` although no mistake was noted.
    pub fn finish<T>(self, config: Option<T>) -> Result<T, Mistakes> {
        if !self.mistakes.is_empty() {
            return Err(Mistakes(self.mistakes));
        }
        Ok(config.expect("a value is missing only if a mistake was noted"))
    }

    fn entry(&self, env: &str) -> &(String, String) {
        self.raw.get(env).unwrap_or_else(|| panic!("{env} is not in this process's table of settings"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(args: &[&str], environment: &BTreeMap<&str, &str>) -> Values {
        let settings = [
            Setting::new("CACHE_SIZE", "7", "products"),
            Setting::optional("INTERNAL_TOKEN", "secret"),
            Setting::switch("SHOP", "shop once"),
        ];
        let matches = command("x", "y", &settings).try_get_matches_from([&["x"], args].concat()).unwrap();
        Values::read(&settings, &matches, environment)
    }

    #[test]
    fn flag_beats_variable_beats_default() {
        let environment = BTreeMap::from([("CACHE_SIZE", "8"), ("INTERNAL_TOKEN", "")]);
        assert_eq!(values(&[], &BTreeMap::new()).required::<u16>("CACHE_SIZE"), Some(7));
        assert_eq!(values(&[], &environment).required::<u16>("CACHE_SIZE"), Some(8));
        assert_eq!(values(&["--cache-size", "9"], &environment).required::<u16>("CACHE_SIZE"), Some(9));
        assert_eq!(values(&["--cache_size=9"], &environment).required::<u16>("CACHE_SIZE"), Some(9));
        assert_eq!(values(&[], &environment).optional::<String>("INTERNAL_TOKEN"), None);
        assert_eq!(values(&["--shop"], &environment).required::<bool>("SHOP"), Some(true));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let environment = BTreeMap::from([("CACHE_SIZE", "many"), ("SHOP", "perhaps")]);
        let mut values = values(&[], &environment);
        let _ = (
            values.within::<u16>("CACHE_SIZE", 0..=10),
            values.required::<String>("INTERNAL_TOKEN"),
            values.required::<bool>("SHOP"),
        );
        let mistakes = values.finish(Some(())).unwrap_err().0;
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        assert!(mistakes[0].starts_with("CACHE_SIZE (--cache-size) is \"many\""), "{mistakes:?}");
        assert_eq!(mistakes[1], "INTERNAL_TOKEN (--internal-token) is missing");
    }

    #[test]
    fn bounds_are_named() {
        let mut values = values(&["--cache-size", "11"], &BTreeMap::new());
        assert_eq!(values.within::<u16>("CACHE_SIZE", 0..=10), None);
        let mistakes = values.finish(Some(())).unwrap_err();
        assert!(mistakes.to_string().contains("it must be from 0 to 10"), "{mistakes}");
    }
}
