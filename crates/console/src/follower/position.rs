//! How far the events of one process have been read. Pure.

use api::event::{Gap, Recorded, StreamStart};
use serde::de::DeserializeOwned;

use super::sse::Message;

/// Up to where the events of a process have been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The start of the process to which the numbers belong.
    incarnation: Option<u64>,
    /// The number of the last event.
    since: u64,
    /// Events up to this number happened before the process was known.
    past: u64,
}

/// What follows from a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The stream has begun. `restarted`: the process is another start of it than before.
    Opened { restarted: bool },
    /// It is another start of the process: read its events from the first one.
    Restart,
    /// So many events are missing.
    Missed(u64),
    /// The next event.
    Event { recorded: Recorded, past: bool },
}

impl Position {
    /// The number of the last event that was read.
    pub(super) fn since(&self) -> u64 {
        self.since
    }

    /// Takes the next message.
    ///
    /// # Errors
    /// If it cannot be parsed.
    pub(super) fn take(&mut self, message: &Message) -> Result<Vec<Step>, String> {
        match message.name.as_str() {
            "start" => {
                let StreamStart { incarnation, newest } = parse(message)?;
                Ok(self.start(incarnation, newest))
            }
            "gap" => {
                let Gap { missed } = parse(message)?;
                Ok(self.miss(missed).into_iter().collect())
            }
            "event" => Ok(self.event(parse(message)?)),
            _ => Ok(Vec::new()),
        }
    }

    fn start(&mut self, incarnation: u64, newest: u64) -> Vec<Step> {
        match self.incarnation.replace(incarnation) {
            None => self.past = newest,
            Some(known) if known == incarnation => {}
            Some(_) => {
                let opened = Step::Opened { restarted: true };
                // The stream starts after a number that belonged to the earlier start.
                let began_at_first = std::mem::take(&mut self.since) == 0;
                self.past = 0;
                return if began_at_first { vec![opened] } else { vec![opened, Step::Restart] };
            }
        }
        vec![Step::Opened { restarted: false }]
    }

    fn miss(&mut self, missed: u64) -> Option<Step> {
        // What happened before the process was known is not missing.
        let is_past = self.since == 0 && self.past > 0;
        self.since += missed;
        (missed > 0 && !is_past).then_some(Step::Missed(missed))
    }

    fn event(&mut self, recorded: Recorded) -> Vec<Step> {
        let sequence = recorded.sequence;
        if sequence <= self.since {
            return Vec::new();
        }
        let missed = self.miss(sequence - self.since - 1);
        self.since = sequence;
        missed.into_iter().chain([Step::Event { recorded, past: sequence <= self.past }]).collect()
    }
}

fn parse<T: DeserializeOwned>(message: &Message) -> Result<T, String> {
    serde_json::from_str(&message.data).map_err(|error| format!("a message cannot be parsed: {error}"))
}

#[cfg(test)]
mod tests {
    use api::event::Event;

    use super::*;

    /// Takes messages, and shows the steps: `open` and `new` for the begin of a stream, of another
    /// start of the process; `!` for reading it anew, `-n` for missing events, the number of an
    /// event, in parentheses if it is past.
    fn steps(position: &mut Position, messages: &[(&str, serde_json::Value)]) -> String {
        let steps = messages.iter().flat_map(|(name, data)| {
            position.take(&Message { name: (*name).to_owned(), data: data.to_string() }).unwrap()
        });
        let shown = steps.map(|step| match step {
            Step::Opened { restarted: false } => "open".to_owned(),
            Step::Opened { restarted: true } => "new".to_owned(),
            Step::Restart => "!".to_owned(),
            Step::Missed(missed) => format!("-{missed}"),
            Step::Event { recorded, past: true } => format!("({})", recorded.sequence),
            Step::Event { recorded, past: false } => recorded.sequence.to_string(),
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    fn start(incarnation: u64, newest: u64) -> (&'static str, serde_json::Value) {
        ("start", serde_json::to_value(StreamStart { incarnation, newest }).unwrap())
    }

    fn gap(missed: u64) -> (&'static str, serde_json::Value) {
        ("gap", serde_json::to_value(Gap { missed }).unwrap())
    }

    fn event(sequence: u64) -> (&'static str, serde_json::Value) {
        ("event", serde_json::to_value(Recorded { sequence, at_us: 1, event: Event::LeaseHeld {} }).unwrap())
    }

    #[test]
    fn what_happened_before_the_process_was_known_is_past_and_not_missing() {
        let mut position = Position::default();
        assert_eq!(
            steps(&mut position, &[start(1, 12), gap(10), event(11), event(12), event(13)]),
            "open (11) (12) 13"
        );
        assert_eq!(position.since(), 13);
    }

    #[test]
    fn a_stream_that_broke_is_continued_and_missing_events_are_counted() {
        let mut position = Position::default();
        steps(&mut position, &[start(1, 0), event(1), event(2)]);
        assert_eq!(steps(&mut position, &[start(1, 9), gap(3), event(6), event(9)]), "open -3 6 -2 9");
        assert_eq!(steps(&mut position, &[start(1, 9), event(9), event(10)]), "open 10", "an event is taken once");
    }

    #[test]
    fn another_start_of_the_process_is_read_from_its_first_event() {
        let mut position = Position::default();
        steps(&mut position, &[start(1, 0), event(1), event(2)]);
        // It has had more events than the earlier one, so the stream does not begin at the first.
        assert_eq!(steps(&mut position, &[start(2, 5)]), "new !");
        assert_eq!(position.since(), 0);
        assert_eq!(steps(&mut position, &[start(2, 6), event(1), event(2)]), "open 1 2");
    }

    #[test]
    fn garbage_is_an_error_and_unknown_messages_are_ignored() {
        let mut position = Position::default();
        let message = |name: &str| Message { name: name.to_owned(), data: "x".to_owned() };
        assert!(position.take(&message("event")).is_err());
        assert_eq!(position.take(&message("news")), Ok(Vec::new()));
    }
}
