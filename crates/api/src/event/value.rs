//! Values in events: durations with their unit, and texts that are bounded.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest text in an event, in bytes: an error message is cut to this.
pub const EVENT_TEXT_MAX: usize = 200;

macro_rules! duration {
    ($(#[$doc:meta])* $name:ident, $as:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl From<Duration> for $name {
            fn from(duration: Duration) -> Self {
                Self(u64::try_from(duration.$as()).unwrap_or(u64::MAX))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

duration! {
    /// A duration in ms.
    Milliseconds, as_millis
}
duration! {
    /// A duration in µs.
    Microseconds, as_micros
}

/// A text of an event that comes from elsewhere, such as an error: bounded in length.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(Cow<'static, str>);

impl Text {
    /// The text of `what`, cut to [`EVENT_TEXT_MAX`] bytes.
    pub fn of(what: impl fmt::Display) -> Self {
        let mut text = what.to_string();
        if text.len() > EVENT_TEXT_MAX {
            text.truncate(text.floor_char_boundary(EVENT_TEXT_MAX));
            text.push('…');
        }
        Self(text.into())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character() {
        let text = Text::of("é".repeat(EVENT_TEXT_MAX)).to_string();
        assert!(text.len() <= EVENT_TEXT_MAX + '…'.len_utf8() && text.ends_with("é…"), "{text}");
    }
}
