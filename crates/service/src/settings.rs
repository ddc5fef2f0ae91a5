//! Configuration: a table of settings per process, read once at the start.
//!
//! Each [`Setting`] is an environment variable *and* a flag (`REST_API_PORT`, `--rest-api-port`; a
//! flag may also be spelled with underscores). A flag overrides the variable, and the variable
//! overrides the default. Parsing does not stop at the first mistake: [`Values`] collects them, and
//! [`Values::finish`] returns all of them.
//!
//! A value that cannot be read is a mistake and is never replaced by the default: text that is not
//! UTF-8, an empty flag (usually an unset shell variable), an empty [secret](Setting::secret). Any
//! other empty variable counts as unset, because container tools set such variables.
//!
//! No message and no debug output shows the value of a secret.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::{self, Display};
use std::str::FromStr;

use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::exit::{ExitCode, ExitError};

/// One setting.
#[derive(Clone, Debug)]
pub struct Setting {
    env: Cow<'static, str>,
    flag: String,
    default: Option<Cow<'static, str>>,
    help: Cow<'static, str>,
    kind: SettingKind,
}

/// The kind of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SettingKind {
    Plain,
    /// The flag takes no value.
    Switch,
    /// The value is never shown.
    Secret,
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
        Self { env, flag, default: None, help: help.into(), kind: SettingKind::Plain }
    }

    /// A setting that is off unless its flag is given (without a value) or its variable is `true`.
    pub fn switch(env: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: SettingKind::Switch, ..Self::new(env, "false", help) }
    }

    /// A setting without a default whose value no message shows. It must not be empty: a secret
    /// that was lost on its way must not count as "no secret".
    pub fn secret(env: impl Into<Cow<'static, str>>, help: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: SettingKind::Secret, ..Self::optional(env, help) }
    }

    /// Gives the flag a name that differs from the variable's.
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

    /// The default value.
    pub fn default(&self) -> Option<&str> {
        self.default.as_deref()
    }

    /// The help text.
    pub fn help(&self) -> &str {
        &self.help
    }

    fn arg(&self) -> Arg {
        let default = match &self.default {
            Some(default) if self.kind != SettingKind::Switch => format!(" [default: {default}]"),
            _ => String::new(),
        };
        let help = format!("{} [env: {}]{default}", self.help, self.env);
        let arg = Arg::new(self.env.to_string()).long(self.flag.clone()).help(help);
        let arg = if self.kind == SettingKind::Switch {
            arg.action(ArgAction::SetTrue)
        } else {
            // As bytes, so that text that is not UTF-8 is reported with the other mistakes, under
            // the setting's name.
            arg.value_name("VALUE").allow_hyphen_values(true).value_parser(ValueParser::os_string())
        };
        match self.flag.replace('-', "_") {
            underscored if underscored != self.flag => arg.alias(underscored),
            _ => arg,
        }
    }
}

/// A subcommand with these settings as its flags.
pub fn command(name: &'static str, about: &'static str, settings: &[Setting]) -> Command {
    Command::new(name).about(about).args(settings.iter().map(Setting::arg))
}

/// The source of environment variables: the process, or a map in tests.
pub trait EnvironmentVariables {
    /// The value of a variable, if it is set.
    fn var(&self, name: &str) -> Option<OsString>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEnvironment;

impl EnvironmentVariables for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }
}

impl EnvironmentVariables for BTreeMap<&str, &str> {
    fn var(&self, name: &str) -> Option<OsString> {
        self.get(name).map(OsString::from)
    }
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes(pub Vec<String>);

impl Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in the configuration:", if self.0.len() == 1 { "a mistake" } else { "mistakes" })?;
        self.0.iter().try_for_each(|mistake| writeln!(f, "  - {mistake}"))
    }
}

impl From<Mistakes> for ExitError {
    fn from(mistakes: Mistakes) -> Self {
        Self::new(ExitCode::Usage, mistakes)
    }
}

/// The raw values of the settings, and the mistakes found so far.
#[derive(Debug)]
pub struct Values {
    raw: BTreeMap<String, Raw>,
    mistakes: Vec<String>,
}

/// The raw value of one setting.
struct Raw {
    /// The name in messages: variable and flag.
    name: String,
    value: Given,
    secret: bool,
}

#[derive(PartialEq, Eq)]
enum Given {
    Unset,
    Text(String),
    /// Already recorded as a mistake.
    Unreadable,
}

impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Given::Unset => f.write_str("unset"),
            Given::Text(_) if self.secret => f.write_str("(a secret)"),
            Given::Text(text) => write!(f, "{text:?}"),
            Given::Unreadable => f.write_str("(unreadable)"),
        }
    }
}

impl Values {
    /// Reads every setting: flag, then variable, then default. Values that cannot be read are
    /// recorded as mistakes.
    pub fn read(settings: &[Setting], matches: &ArgMatches, environment: &dyn EnvironmentVariables) -> Self {
        let mut values = Self { raw: BTreeMap::new(), mistakes: Vec::new() };
        for setting in settings {
            let name = format!("{} (--{})", setting.env, setting.flag);
            let given = given(setting, matches, environment).map(|given| given.unwrap_or(Given::Unset));
            let value = given.unwrap_or_else(|wrong| {
                values.mistake(format!("{name} {wrong}"));
                Given::Unreadable
            });
            values
                .raw
                .insert(setting.env.to_string(), Raw { name, value, secret: setting.kind == SettingKind::Secret });
        }
        values
    }

    /// The value of a required setting. `None` means that a mistake was recorded.
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

    /// The value of an optional setting. A value that cannot be parsed is recorded as a mistake.
    pub fn optional<T: FromStr<Err: Display>>(&mut self, env: &str) -> Option<T> {
        let Raw { name, value: Given::Text(value), secret } = self.entry(env) else { return None };
        match value.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let original = error.to_string();
                let error = plain_message(&original);
                let wrong = if *secret { format!("{name} {error}") } else { format!("{name} is {value:?}: {error}") };
                self.mistake(wrong);
                None
            }
        }
    }

    /// Like [`Values::required`], with a value within `bounds`.
    pub fn within<T>(&mut self, env: &str, bounds: std::ops::RangeInclusive<T>) -> Option<T>
    where
        T: FromStr<Err: Display> + PartialOrd + Display,
    {
        let value = self.required::<T>(env)?;
        if bounds.contains(&value) {
            return Some(value);
        }
        let name = self.name(env);
        self.mistake(format!("{name} is {value}: it must be between {} and {}", bounds.start(), bounds.end()));
        None
    }

    /// Like [`optional`](Self::optional), with a value within `bounds`.
    pub fn optional_within<T>(&mut self, env: &str, bounds: std::ops::RangeInclusive<T>) -> Option<T>
    where
        T: FromStr<Err: Display> + PartialOrd + Display,
    {
        self.is_set(env).then(|| self.within(env, bounds)).flatten()
    }

    /// Whether a setting has a value, even one that cannot be read.
    pub fn is_set(&self, env: &str) -> bool {
        self.entry(env).value != Given::Unset
    }

    /// The name of a setting in messages: variable and flag.
    pub fn name(&self, env: &str) -> String {
        self.entry(env).name.clone()
    }

    /// Records a mistake that only the caller can detect, such as two settings that contradict each
    /// other. The same mistake is reported once, because a setting may be read for more than one
    /// purpose.
    pub fn mistake(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.mistakes.contains(&what) {
            self.mistakes.push(what);
        }
    }

    /// Returns the finished configuration, or all mistakes.
    ///
    /// # Panics
    /// If `config` is `None` although no mistake was recorded.
    pub fn finish<T>(self, config: Option<T>) -> Result<T, Mistakes> {
        if !self.mistakes.is_empty() {
            return Err(Mistakes(self.mistakes));
        }
        Ok(config.expect("a value is missing only if a mistake was recorded"))
    }

    fn entry(&self, env: &str) -> &Raw {
        self.raw.get(env).unwrap_or_else(|| panic!("{env} is not in this process's table of settings"))
    }
}

/// Replaces messages of the standard library, which describe what its parsers do, by what a person
/// should write.
fn plain_message(error: &str) -> &str {
    match error {
        "invalid digit found in string" | "cannot parse integer from empty string" => "it must be a whole number",
        "number too large to fit in target type" => "it is too large",
        "number too small to fit in target type" => "it is too small",
        "number would be zero for non-zero type" => "it must not be 0",
        "invalid float literal" | "cannot parse float from empty string" => "it must be a number",
        "provided string was not `true` or `false`" => "it must be true or false",
        "invalid IP address syntax" => "it must be an IP address, such as 127.0.0.1 or ::1",
        other => other,
    }
}

/// The given value of a setting, or why it cannot be read.
fn given(
    setting: &Setting,
    matches: &ArgMatches,
    environment: &dyn EnvironmentVariables,
) -> Result<Option<Given>, &'static str> {
    const EMPTY: &str = "is empty; omit it, or set a value";
    let text = |value: OsString| value.into_string().map_err(|_| "is not UTF-8 text");
    let env = setting.env.as_ref();
    if matches.value_source(env) == Some(ValueSource::CommandLine) {
        if setting.kind == SettingKind::Switch {
            return Ok(Some(Given::Text("true".to_owned())));
        }
        let flag = text(matches.get_one::<OsString>(env).cloned().unwrap_or_default())?;
        return if flag.is_empty() { Err(EMPTY) } else { Ok(Some(Given::Text(flag))) };
    }
    match environment.var(env) {
        Some(value) if !value.is_empty() => return text(value).map(|text| Some(Given::Text(text))),
        Some(_) if setting.kind == SettingKind::Secret => return Err(EMPTY),
        Some(_) | None => {}
    }
    Ok(setting.default.as_ref().map(|default| Given::Text(default.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(args: &[&str], environment: &dyn EnvironmentVariables) -> Values {
        let settings = [
            Setting::new("CACHE_SIZE", "7", "products"),
            Setting::secret("INTERNAL_TOKEN", "secret"),
            Setting::optional("DATA_DIR", "files"),
            Setting::switch("SHOP", "shop once"),
        ];
        let matches = command("x", "y", &settings).try_get_matches_from([&["x"], args].concat()).unwrap();
        Values::read(&settings, &matches, environment)
    }

    /// An environment in which every variable is set and none is valid text.
    struct Garbled;

    impl EnvironmentVariables for Garbled {
        fn var(&self, _: &str) -> Option<OsString> {
            use std::os::unix::ffi::OsStringExt;
            Some(OsString::from_vec(b"\xff\xfe-a-long-secret".to_vec()))
        }
    }

    fn no_variables() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::new()
    }

    /// The mistakes after all settings were read.
    fn mistakes(mut values: Values) -> Vec<String> {
        let _ = (values.required::<u16>("CACHE_SIZE"), values.required::<bool>("SHOP"));
        let _ = (values.optional::<String>("DATA_DIR"), values.optional::<crate::Token>("INTERNAL_TOKEN"));
        values.finish(Some(())).err().map(|mistakes| mistakes.0).unwrap_or_default()
    }

    #[test]
    fn a_value_that_cannot_be_read_is_a_mistake_and_never_the_default() {
        let names = ["CACHE_SIZE", "INTERNAL_TOKEN", "DATA_DIR", "SHOP"];
        let reported = mistakes(values(&[], &Garbled));
        assert_eq!(reported.len(), names.len(), "one mistake each: {reported:?}");
        for (reported, name) in reported.iter().zip(names) {
            assert!(reported.starts_with(name) && reported.ends_with("is not UTF-8 text"), "{reported}");
        }

        let reported = mistakes(values(&["--cache-size", "", "--data-dir="], &no_variables()));
        assert_eq!(reported.len(), 2, "{reported:?}");
        assert!(reported.iter().all(|reported| reported.contains("is empty")), "{reported:?}");

        let settings = [Setting::optional("DATA_DIR", "files")];
        let args = ["x".into(), "--data-dir".into(), Garbled.var("DATA_DIR").unwrap()];
        let matches = command("x", "y", &settings).try_get_matches_from(args).unwrap();
        let values = Values::read(&settings, &matches, &no_variables());
        assert!(values.is_set("DATA_DIR"), "an unreadable value is not the same as no value");
        assert_eq!(values.finish(Some(())).unwrap_err().0, ["DATA_DIR (--data-dir) is not UTF-8 text"]);
    }

    #[test]
    fn a_secret_is_never_shown_and_never_lost() {
        for (secret, what) in [("", "is empty"), ("hunter2", "must be"), ("hunter2 hunter2", "must be")] {
            let from_variable = values(&[], &BTreeMap::from([("INTERNAL_TOKEN", secret)]));
            let from_flag = values(&["--internal-token", secret], &no_variables());
            for values in [from_variable, from_flag] {
                assert!(!format!("{values:?}").contains("hunter2"), "{values:?}");
                let reported = mistakes(values);
                assert_eq!(reported.len(), 1, "{secret:?}: {reported:?}");
                assert!(
                    reported[0].starts_with("INTERNAL_TOKEN (--internal-token) ") && reported[0].contains(what),
                    "{reported:?}"
                );
                assert!(!reported[0].contains("hunter2"), "{reported:?}");
            }
        }
    }

    #[test]
    fn a_flag_overrides_the_variable_and_the_variable_the_default() {
        let environment = BTreeMap::from([("CACHE_SIZE", "8"), ("DATA_DIR", "")]);
        assert_eq!(values(&[], &no_variables()).required::<u16>("CACHE_SIZE"), Some(7));
        assert_eq!(values(&[], &environment).required::<u16>("CACHE_SIZE"), Some(8));
        assert_eq!(values(&["--cache-size", "9"], &environment).required::<u16>("CACHE_SIZE"), Some(9));
        assert_eq!(values(&["--cache_size=9"], &environment).required::<u16>("CACHE_SIZE"), Some(9));
        assert_eq!(values(&[], &environment).optional::<String>("DATA_DIR"), None);
        assert_eq!(values(&["--shop"], &environment).required::<bool>("SHOP"), Some(true));
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
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
    fn messages_of_parsers_are_replaced_by_plain_ones() {
        let message = |number: &str| plain_message(&number.parse::<u16>().unwrap_err().to_string()).to_owned();
        assert_eq!(message("x"), "it must be a whole number");
        assert_eq!(message(""), "it must be a whole number");
        assert_eq!(message("70000"), "it is too large");
        assert_eq!(plain_message(&"-200".parse::<i8>().unwrap_err().to_string()), "it is too small");
        assert_eq!(plain_message(&"0".parse::<std::num::NonZeroU8>().unwrap_err().to_string()), "it must not be 0");
        assert_eq!(plain_message(&"x".parse::<f64>().unwrap_err().to_string()), "it must be a number");
        assert_eq!(plain_message(&"".parse::<f64>().unwrap_err().to_string()), "it must be a number");
        assert_eq!(plain_message(&"yes".parse::<bool>().unwrap_err().to_string()), "it must be true or false");
        let address = "localhost".parse::<std::net::IpAddr>().unwrap_err().to_string();
        assert!(plain_message(&address).starts_with("it must be an IP address"));
    }

    #[test]
    fn bounds_are_named() {
        let mut values = values(&["--cache-size", "11"], &no_variables());
        assert_eq!(values.within::<u16>("CACHE_SIZE", 0..=10), None);
        let mistakes = values.finish(Some(())).unwrap_err();
        assert!(mistakes.to_string().contains("it must be between 0 and 10"), "{mistakes}");
    }
}
