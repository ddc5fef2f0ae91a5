//! The result of a check.

use serde::Serialize;
use service::lifecycle::ExitCode;

/// The result of a check. A check that could not be made has not passed.
///
/// Ordered by severity: the result of several checks is the greatest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// Everything was checked, and nothing was violated.
    #[default]
    Passed,
    /// No violation was found, but something could not be checked.
    NotChecked,
    /// Something that must hold was violated.
    Failed,
}

impl CheckResult {
    /// The result of a check that was made: [`Passed`](Self::Passed) or [`Failed`](Self::Failed).
    pub fn of(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Failed }
    }

    /// The more severe of the two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }

    /// The exit code of a program that has checked a store and then written its report, if it could
    /// be written. What was found about the store outweighs the report's files.
    pub fn exit_code(self, is_written: bool) -> ExitCode {
        match self {
            Self::Failed => ExitCode::Software,
            Self::NotChecked => ExitCode::Unverified,
            Self::Passed if is_written => ExitCode::Ok,
            Self::Passed => ExitCode::Io,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_follows_the_most_severe_result() {
        use CheckResult::{Failed, NotChecked, Passed};
        let combined = |results: [CheckResult; 3]| results.into_iter().fold(Passed, CheckResult::and);
        assert_eq!(combined([NotChecked, Failed, Passed]), Failed);
        assert_eq!(combined([Passed, NotChecked, Passed]), NotChecked);
        let codes = [Failed, NotChecked, Passed].map(|result| [true, false].map(|written| result.exit_code(written)));
        let (broken, open) = ([ExitCode::Software; 2], [ExitCode::Unverified; 2]);
        assert_eq!(codes, [broken, open, [ExitCode::Ok, ExitCode::Io]]);
    }
}
