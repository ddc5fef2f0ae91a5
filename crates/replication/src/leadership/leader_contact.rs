//! How recently a replica heard from its leader: the evidence for keeping or replacing the leader.
//!
//! A frontend that does not hear from a leader cannot tell whether the leader is gone or the
//! network between the two is bad. The replicas can: a working leader sends each of them a message
//! every heartbeat. So each replica notes when the last one arrived. That alone is not enough. A
//! leader whose followers' answers are lost keeps sending and commits nothing, and a leader that
//! works is useless if no frontend reaches it. So every message of a leader reports two ages: the
//! time since a majority last acknowledged it, and the time since a frontend that watches it last
//! asked for its status. Ages only grow on their way, and no clocks are compared.
//!
//! A majority may be long in acknowledging because its disks are slow, or because its answers are
//! lost. A replica tells the two apart: it knows which messages it has answered, and whether the
//! leader reports a majority since then.
//!
//! What follows from the ages is decided in one place, [`LeaderContact::is_fresh`]: by the
//! frontends, and again by every replica that is asked to stand for election
//! ([`campaign`](super::campaign)).

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use api::replica::LeaderContact;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::consensus::types::{RaftDataMetrics, Vote};

/// Sent with every append: the leader's two ages in milliseconds, separated by a comma. The first
/// is empty until a majority has acknowledged the leader.
const HEADER: HeaderName = HeaderName::from_static("x-replication-contact");

/// What one replica knows about its leader. Shared by the sender and the receiver of appends.
#[derive(Debug)]
pub(crate) struct ContactTracker {
    heard: Mutex<Option<LastMessage>>,
    /// The oldest message that was answered and that the leader's reports do not cover: its leader,
    /// and when it arrived.
    uncounted: Mutex<Option<(Vote, Instant)>>,
    asked: Mutex<Instant>,
    /// openraft's metrics, once it runs.
    acknowledged: OnceLock<watch::Receiver<RaftDataMetrics>>,
}

/// The last message from a leader.
#[derive(Clone, Copy, Debug)]
struct LastMessage {
    vote: Vote,
    /// When the first message of this leader arrived.
    first: Instant,
    at: Instant,
    reported: ReportedAges,
}

/// What a leader reports with its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReportedAges {
    quorum: Option<Duration>,
    asked: Duration,
}

impl ContactTracker {
    pub(crate) fn new() -> Self {
        Self {
            heard: Mutex::default(),
            uncounted: Mutex::default(),
            asked: Mutex::new(Instant::now()),
            acknowledged: OnceLock::new(),
        }
    }

    /// Connects openraft's metrics, which say when a majority last acknowledged this replica.
    pub(crate) fn watch(&self, metrics: watch::Receiver<RaftDataMetrics>) {
        self.acknowledged.get_or_init(|| metrics);
    }

    /// Notes that a frontend that watches the leader has asked this replica.
    pub(crate) fn asked(&self) {
        *lock(&self.asked) = Instant::now();
    }

    /// Notes a message from the leader with this vote; the replica knows no later one.
    pub(crate) fn heard(&self, vote: Vote, reported: ReportedAges) {
        let at = Instant::now();
        let mut heard = lock(&self.heard);
        let first = heard.filter(|known| known.vote == vote).map_or(at, |known| known.first);
        if heard.is_none_or(|known| known.vote <= vote) {
            *heard = Some(LastMessage { vote, first, at, reported });
        }
        // The report took as long as the message that a majority has answered.
        let answered_by_majority = |arrived| reported.quorum.is_some_and(|quorum| arrived + quorum <= at);
        lock(&self.uncounted).take_if(|(leader, arrived)| *leader == vote && answered_by_majority(*arrived));
    }

    /// Notes that a message of this leader that arrived at `arrived` is answered.
    pub(crate) fn answered(&self, vote: Vote, arrived: Instant) {
        let mut uncounted = lock(&self.uncounted);
        if uncounted.is_none_or(|(leader, _)| leader != vote) {
            *uncounted = Some((vote, arrived));
        }
    }

    /// The contact to the leader that was elected with `vote`, if it was heard from.
    pub(crate) fn of(&self, vote: Vote) -> Option<LeaderContact> {
        let heard = lock(&self.heard).filter(|heard| heard.vote == vote)?;
        let since = heard.at.elapsed();
        let quorum = heard.reported.quorum.map_or(heard.first.elapsed(), |told| told + since);
        let uncounted = lock(&self.uncounted).filter(|(leader, _)| *leader == vote);
        // Until its last message: what it did not say since then is silence, not deafness.
        let uncounted = uncounted.map(|(_, arrived)| heard.at.saturating_duration_since(arrived));
        Some(contact(since, quorum, heard.reported.asked + since, uncounted))
    }

    /// This replica's own contact, if it leads; `None` until its first entry was acknowledged.
    pub(crate) fn own(&self) -> Option<LeaderContact> {
        let reported = self.reported();
        Some(contact(Duration::ZERO, reported.quorum?, reported.asked, None))
    }

    /// The time since a majority acknowledged this leader.
    pub(crate) fn quorum(&self) -> Option<Duration> {
        let acknowledged = self.acknowledged.get()?.borrow().millis_since_quorum_ack?;
        Some(Duration::from_millis(acknowledged))
    }

    fn reported(&self) -> ReportedAges {
        ReportedAges { quorum: self.quorum(), asked: lock(&self.asked).elapsed() }
    }

    /// Adds the leader's report to a message.
    pub(crate) fn write_report(&self, headers: &mut HeaderMap) {
        let ReportedAges { quorum, asked } = self.reported();
        let quorum = quorum.map(|quorum| quorum.as_millis().to_string()).unwrap_or_default();
        let text = format!("{quorum},{}", asked.as_millis());
        headers.insert(HEADER, HeaderValue::try_from(text).expect("digits and a comma"));
    }
}

impl ReportedAges {
    /// What the sender of a message has reported; nothing if the header is absent or malformed.
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let read = || {
            let (quorum, asked) = headers.get(HEADER)?.to_str().ok()?.split_once(',')?;
            let millis = |text: &str| text.parse::<u32>().ok().map(|ms| Duration::from_millis(ms.into()));
            Some(Self { quorum: millis(quorum), asked: millis(asked)? })
        };
        read().unwrap_or_default()
    }
}

fn contact(heard: Duration, quorum: Duration, asked: Duration, uncounted: Option<Duration>) -> LeaderContact {
    let millis = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    LeaderContact {
        heard_ms: millis(heard),
        quorum_ms: millis(quorum),
        asked_ms: millis(asked),
        uncounted_ms: uncounted.map(millis),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use api::{NodeId, Ordinal};
    use tokio::time::advance;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn vote(term: u64, ordinal: u8) -> Vote {
        Vote::new_committed(term, NodeId::new(Ordinal(ordinal), 1))
    }

    fn reported(quorum_ms: Option<u64>, asked_ms: u64) -> ReportedAges {
        ReportedAges { quorum: quorum_ms.map(Duration::from_millis), asked: Duration::from_millis(asked_ms) }
    }

    #[tokio::test(start_paused = true)]
    async fn the_ages_of_the_last_message_grow() {
        let contact = ContactTracker::new();
        assert_eq!(contact.of(vote(5, 1)), None);
        contact.heard(vote(5, 1), reported(Some(40), 20));
        advance(100 * MS).await;
        let known = LeaderContact { heard_ms: 100, quorum_ms: 140, asked_ms: 120, uncounted_ms: None };
        assert_eq!(contact.of(vote(5, 1)), Some(known));
        assert_eq!(contact.of(vote(6, 2)), None, "nothing was heard of another leader");
        contact.heard(vote(4, 3), reported(Some(0), 0));
        assert_eq!(contact.of(vote(5, 1)), Some(known), "an earlier leader's message is late");
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_no_majority_acknowledges_is_not_fresh_after_a_while() {
        let contact = ContactTracker::new();
        for _ in 0..11 {
            contact.heard(vote(5, 1), reported(None, 0));
            assert!(contact.of(vote(5, 1)).unwrap().is_fresh());
            advance(100 * MS).await;
        }
        contact.heard(vote(5, 1), reported(None, 0));
        assert!(!contact.of(vote(5, 1)).unwrap().is_fresh(), "although it is heard");
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_the_leader_never_reports_are_lost() {
        let (slow, prompt) = (ContactTracker::new(), ContactTracker::new());
        for quorum_ms in [0, 100, 200, 300, 400] {
            for contact in [&slow, &prompt] {
                contact.heard(vote(5, 1), reported(Some(quorum_ms), 0));
            }
            prompt.answered(vote(5, 1), Instant::now());
            advance(100 * MS).await;
        }
        assert!(slow.of(vote(5, 1)).unwrap().is_fresh(), "it has not answered, so it cannot know");
        assert_eq!(prompt.of(vote(5, 1)).unwrap().uncounted_ms, Some(300), "the first answer is in the report");
        assert!(!prompt.of(vote(5, 1)).unwrap().is_fresh());
        advance(200 * MS).await;
        assert_eq!(prompt.of(vote(5, 1)).unwrap().uncounted_ms, Some(300), "silence adds nothing");
        prompt.heard(vote(5, 1), reported(Some(90), 0));
        assert!(prompt.of(vote(5, 1)).unwrap().is_fresh(), "they have arrived after all");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_to_a_leader_that_was_alone_for_long_gets_its_time() {
        let contact = ContactTracker::new();
        contact.heard(vote(5, 1), reported(Some(900), 0));
        contact.answered(vote(5, 1), Instant::now());
        advance(100 * MS).await;
        assert!(contact.of(vote(5, 1)).unwrap().is_fresh());
    }

    #[tokio::test(start_paused = true)]
    async fn a_report_is_read_back_and_a_malformed_one_is_ignored() {
        let contact = ContactTracker::new();
        advance(70 * MS).await;
        let mut headers = HeaderMap::new();
        contact.write_report(&mut headers);
        assert_eq!(ReportedAges::read(&headers), reported(None, 70));
        for (text, expected) in [
            ("12,34", reported(Some(12), 34)),
            ("", ReportedAges::default()),
            ("-1,x", ReportedAges::default()),
            ("5000000000,1", reported(None, 1)),
        ] {
            headers.insert(HEADER, HeaderValue::from_static(text));
            assert_eq!(ReportedAges::read(&headers), expected, "{text:?}");
        }
    }
}
