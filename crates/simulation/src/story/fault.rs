//! A fault as a part of a story: when it began and ended, where, and a sentence.

use crate::network::MachineId;
use crate::trace::Millis;

/// A fault.
#[derive(Clone, Debug)]
pub(crate) struct RecordedFault {
    pub(crate) kind: &'static str,
    pub(crate) begin: Millis,
    pub(crate) end: Option<Millis>,
    /// The machines that it happens to.
    pub(crate) lanes: Vec<MachineId>,
    /// The machines that they are cut off from.
    pub(crate) cuts: Vec<MachineId>,
    pub(crate) sentence: String,
}

impl RecordedFault {
    /// Whether it lasts until its process is started again.
    pub(super) fn ends_with_start(&self) -> bool {
        !self.is_of_disk() && !matches!(self.kind, "pause" | "partition" | "one-way-partition" | "frozen-link")
    }

    pub(super) fn is_of_disk(&self) -> bool {
        matches!(self.kind, "slow-disk" | "failed-sync" | "failed-write" | "full-disk")
    }

    /// Whether it ends when the network is healed, or when everything is.
    pub(super) fn ends_with_healing(&self, all: bool) -> bool {
        match self.kind {
            "partition" | "one-way-partition" => true,
            "frozen-link" => false,
            _ => all && !self.ends_with_start(),
        }
    }
}

/// What happens to `who`, in words. `what` are the details that the trace has.
pub(super) fn sentence(who: &str, kind: &str, what: &str) -> String {
    let happens = match kind {
        "kill" => "is killed",
        "power-loss" | "power-loss-of-all" => "loses power",
        "stop" | "stop-all" => "is asked to stop",
        "pause" => "is frozen",
        "slow-disk" => "has a slow disk",
        "failed-sync" => "has a disk whose next sync fails",
        "failed-write" => "has a disk whose next write fails",
        "full-disk" => "has a full disk",
        "wiped-disk" => "is killed and gets an empty disk",
        "rewound-disk" => "is killed and gets an older copy of its disk",
        "removed-member" if what == "asked to stop" => "is asked to stop, because it is being removed",
        "removed-member" => "is being removed from its group",
        _ => return format!("{who}: {what}"),
    };
    let detail = detail(what);
    if detail.is_empty() { format!("{who} {happens}") } else { format!("{who} {happens} ({detail})") }
}

/// The details that the sentence does not have already.
fn detail(what: &str) -> String {
    if let Some((back, damage)) = what.split_once("CrashDamage { ") {
        let damage = damage.trim_end_matches(" }").replace('_', " ");
        return format!("{back}{damage}");
    }
    let said = ["killed", "paused", "asked to stop", "to be removed", "the disk is full", "the next sync fails"];
    let said = said.iter().chain(&["the next write fails", "killed; back with an empty disk"]);
    let said = said.chain(&["killed; back with an older copy of its disk"]).filter(|said| what.starts_with(**said));
    let rest = said.max_by_key(|said| said.len()).map_or(what, |said| &what[said.len()..]);
    rest.trim_start_matches([';', ',', ' ']).to_owned()
}

/// The longest error message in a sentence, in bytes.
const MESSAGE_MAX: usize = 300;

/// An error message without what a reader of a story does not need: paths of source files, and
/// what an operator should do.
pub(super) fn shortened(what: &str) -> String {
    let what = match what.strip_prefix("panicked: panicked at ").and_then(|rest| rest.split_once('\n')) {
        Some((_, message)) => format!("it found a bug in itself (a panic): {message}"),
        None => what.to_owned(),
    };
    let mut what = what.replace('\n', " ");
    // The first sentence says what was found; the others say what an operator can do.
    if let Some((found, _)) = what.split_once(". ") {
        what.truncate(found.len());
    }
    if what.len() > MESSAGE_MAX {
        what.truncate(what.floor_char_boundary(MESSAGE_MAX));
        what.push('…');
    }
    what
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_says_what_happens_and_the_details_once() {
        assert_eq!(sentence("order-1", "kill", "killed; back in 30 ms"), "order-1 is killed (back in 30 ms)");
        assert_eq!(sentence("order-1", "pause", "paused for 30 ms"), "order-1 is frozen (for 30 ms)");
        assert_eq!(sentence("order-1", "stop", "asked to stop"), "order-1 is asked to stop");
        assert_eq!(
            sentence("order-2", "wiped-disk", "killed; back with an empty disk in 30 ms"),
            "order-2 is killed and gets an empty disk (in 30 ms)"
        );
        assert_eq!(
            sentence("order-2", "power-loss", "back in 5 ms; CrashDamage { lost_writes: 2, torn_writes: 0 }"),
            "order-2 loses power (back in 5 ms; lost writes: 2, torn writes: 0)"
        );
    }

    #[test]
    fn a_panic_is_its_message() {
        let what = "panicked: panicked at /a/b.rs:1:2:\nfollower log reversion";
        assert_eq!(shortened(what), "it found a bug in itself (a panic): follower log reversion");
    }
}
