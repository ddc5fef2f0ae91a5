//! The result of a check.

/// The result of a check. A check that could not be made has not passed.
///
/// Ordered by severity: the result of several checks is the greatest one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
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
}
