//! What several checks have found.

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use crate::check_result::CheckResult;

/// What several checks have found: what is broken, and what could not be checked. The result, the
/// verdict, the exit code, and the lines in text, Markdown, HTML and JSON all follow from these two
/// lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checks {
    broken: Vec<String>,
    not_checked: Vec<String>,
}

impl Checks {
    /// Adds something that must hold and does not.
    pub fn broken(&mut self, what: impl Into<String>) {
        self.broken.push(what.into());
    }

    /// Adds violations of which only the first ones may be listed; `total` counts all of them.
    pub fn violations(&mut self, listed: &[impl ToString], total: u64) {
        self.broken.extend(listed.iter().map(ToString::to_string));
        if let Some(more) = total.checked_sub(listed.len() as u64).filter(|more| *more > 0) {
            self.broken.push(format!("… and {more} more violations"));
        }
    }

    /// Adds something that could not be checked, and why.
    pub fn not_checked(&mut self, what: impl Into<String>) {
        self.not_checked.push(what.into());
    }

    /// Adds a check that `of` things need and that could be made for `checked` of them. `what`
    /// continues the sentence "3 of 5 …".
    pub fn counted(&mut self, checked: u64, of: u64, what: &str) {
        if checked < of {
            self.not_checked(format!("{checked} of {of} {what}"));
        }
    }

    /// Adds the findings of a part, each with its `context`.
    pub fn add(&mut self, context: &str, part: &Self) {
        let named = |line: &String| format!("{context}: {line}");
        self.broken.extend(part.broken.iter().map(named));
        self.not_checked.extend(part.not_checked.iter().map(named));
    }

    /// The result of all checks together: a violation outweighs everything else, and a check that
    /// could not be made outweighs those that passed.
    pub fn result(&self) -> CheckResult {
        let complete = if self.not_checked.is_empty() { CheckResult::Passed } else { CheckResult::NotChecked };
        complete.and(CheckResult::of(self.broken.is_empty()))
    }

    /// Each finding with its result: what is broken first.
    pub(crate) fn findings(&self) -> impl Iterator<Item = (CheckResult, String)> {
        let broken = self.broken.iter().map(|line| (CheckResult::Failed, format!("BROKEN: {line}")));
        broken.chain(self.not_checked.iter().map(|line| (CheckResult::NotChecked, format!("NOT CHECKED: {line}"))))
    }

    /// The verdict in one sentence; `held` if everything was checked and nothing is broken.
    pub fn verdict(&self, held: impl Into<String>) -> String {
        match (self.result(), &self.not_checked[..]) {
            (CheckResult::Failed, _) => "THE STORE BROKE ITS PROMISES".into(),
            (CheckResult::NotChecked, [one]) => format!("NOT ALL CHECKED: {one}"),
            (CheckResult::NotChecked, [first, others @ ..]) => {
                format!("NOT ALL CHECKED: {first}; and {} more", others.len())
            }
            (CheckResult::NotChecked, []) | (CheckResult::Passed, _) => held.into(),
        }
    }
}

/// One line for each finding; nothing if everything was checked and nothing is broken.
impl Display for Checks {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.findings().try_for_each(|(_, finding)| writeln!(f, "{finding}"))
    }
}

/// A report as JSON: its own fields, and the `result` of its checks, what is `broken`, and what was
/// `not_checked`.
///
/// # Panics
/// If the report has no JSON form as an object.
pub fn json(report: &impl Serialize, checks: &Checks) -> String {
    #[derive(Serialize)]
    struct CheckedReport<'a, T> {
        #[serde(flatten)]
        report: &'a T,
        result: CheckResult,
        #[serde(flatten)]
        checks: &'a Checks,
    }
    let report = CheckedReport { report, result: checks.result(), checks };
    serde_json::to_string_pretty(&report).expect("a report has a JSON form")
}

#[cfg(test)]
mod tests {
    use service::lifecycle::ExitCode;

    use super::*;

    #[derive(Serialize)]
    struct Orders {
        orders: u64,
    }

    #[test]
    fn a_check_that_was_not_made_for_all_has_not_passed() {
        let counted = |checked, of| {
            let mut checks = Checks::default();
            checks.counted(checked, of, "orders were read again");
            checks
        };
        for (checked, of) in [(0, 109), (108, 109)] {
            let checks = counted(checked, of);
            assert_eq!(checks.result(), CheckResult::NotChecked);
            let line = format!("{checked} of {of} orders were read again");
            assert_eq!(checks.to_string(), format!("NOT CHECKED: {line}\n"));
            assert_eq!(checks.verdict("all is well"), format!("NOT ALL CHECKED: {line}"));
        }
        assert_eq!([counted(109, 109), counted(0, 0)].map(|checks| checks.result()), [CheckResult::Passed; 2]);
        assert_eq!(counted(109, 109).verdict("all is well"), "all is well");
    }

    #[test]
    fn text_json_and_exit_code_agree() {
        let mut part = Checks::default();
        part.not_checked("the store is gone");
        let mut checks = Checks::default();
        checks.add("round 1", &part);
        checks.violations(&["I1: an order is lost"], 3);
        let json: serde_json::Value = serde_json::from_str(&json(&Orders { orders: 7 }, &checks)).unwrap();
        assert_eq!(
            checks.to_string(),
            "BROKEN: I1: an order is lost\nBROKEN: … and 2 more violations\nNOT CHECKED: round 1: the store is gone\n"
        );
        assert_eq!((&json["orders"], &json["result"]), (&7.into(), &"failed".into()));
        assert_eq!(json["not_checked"][0], "round 1: the store is gone");
        assert_eq!(checks.result().exit_code(false), ExitCode::Software, "a violation outweighs all else");
    }
}
