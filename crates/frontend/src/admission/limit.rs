//! How many at once: a number that finds itself.
//!
//! The right number of requests in flight is the one at which the services behind are just busy: fewer waste them, more only wait. It differs between a disk that
//! syncs in 0.2 ms and one that takes 50, and with the number of frontends. So it follows what is seen, the way TCP finds its window (additive
//! increase, multiplicative decrease: Chiu and Jain, 1989): while answers come in time and all places are taken there is slowly more room,
//! and when answers come late there is a fifth less, at once.

use std::time::Duration;

use tokio::time::Instant;

/// An answer that takes longer than this has waited behind others. An idle store takes milliseconds, one on a slow disk a tenth of a second, an
/// election less than half of this. It is a tenth of what a shopper waits at most, so that there is time to act.
pub(super) const LATE_AFTER: Duration = Duration::from_millis(500);

/// The least room. As much as a group of shoppers needs; an election or a restart that makes everything late for a second must not shut them out.
pub(super) const FLOOR: u32 = 64;

/// So many answers in time make room for one more: from the floor to 512 within a second at 4000 orders per second.
const ANSWERS_PER_STEP: f64 = 8.0;

/// What remains after late answers.
const DECREASE: f64 = 0.8;

/// The limit and what counts against it. Pure: the time is told.
#[derive(Debug)]
pub(super) struct Limit {
    ceiling: f64,
    room: f64,
    in_flight: u32,
    decreased: Option<Instant>,
}

impl Limit {
    /// Begins at the ceiling: nothing is known to be slow.
    pub(super) fn new(ceiling: u32) -> Self {
        let ceiling = f64::from(ceiling.max(FLOOR));
        Self { ceiling, room: ceiling, in_flight: 0, decreased: None }
    }

    /// How many may be in flight now.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between the floor and the ceiling")]
    pub(super) fn get(&self) -> u32 {
        self.room as u32
    }

    /// How many are.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether one more would be let in.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight < self.get()
    }

    /// Takes a place, if there is one.
    pub(super) fn enter(&mut self) -> bool {
        let room = self.has_room();
        self.in_flight += u32::from(room);
        room
    }

    /// Gives a place back.
    pub(super) fn leave(&mut self) {
        assert!(self.in_flight > 0, "only who has entered leaves");
        self.in_flight -= 1;
    }

    /// Learns from an answer to a request that began at `begun`; before its place is given back.
    pub(super) fn answered(&mut self, begun: Instant, overloaded: bool, now: Instant) {
        if overloaded || now.saturating_duration_since(begun) > LATE_AFTER {
            // Late answers come in crowds. Those that began before the last decrease say nothing about whether it was enough.
            let is_news = self.decreased.is_none_or(|at| begun > at);
            if is_news {
                self.room = (self.room * DECREASE).max(f64::from(FLOOR));
                self.decreased = Some(now);
            }
        } else if 2 * self.in_flight > self.get() {
            // Only who uses the room learns whether there could be more.
            self.room = (self.room + 1.0 / ANSWERS_PER_STEP).min(self.ceiling);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_TIME: Duration = Duration::from_millis(20);

    fn full(ceiling: u32) -> Limit {
        let mut limit = Limit::new(ceiling);
        while limit.enter() {}
        limit
    }

    /// One after the other, `count` requests that took `latency`; as many come in as go.
    fn answers(limit: &mut Limit, count: usize, latency: Duration, now: &mut Instant) {
        for _ in 0..count {
            *now += Duration::from_millis(1);
            limit.answered(*now - latency, false, *now);
            limit.leave();
            while limit.enter() {}
        }
    }

    #[test]
    fn no_more_enter_than_there_is_room_for() {
        let mut limit = full(100);
        assert_eq!((limit.in_flight(), limit.has_room()), (100, false));
        limit.leave();
        assert!(limit.enter() && !limit.enter());
    }

    #[test]
    fn late_answers_make_it_smaller_once_per_crowd_and_never_too_small() {
        let (mut limit, mut now) = (full(512), Instant::now() + Duration::from_mins(1));
        answers(&mut limit, 1000, Duration::from_secs(1), &mut now);
        assert_eq!(limit.get(), 409, "one crowd");
        answers(&mut limit, 1000, Duration::from_secs(1), &mut now);
        assert_eq!(limit.get(), 327, "the next one");
        answers(&mut limit, 50_000, Duration::from_secs(1), &mut now);
        assert_eq!(limit.get(), FLOOR);
    }

    #[test]
    fn answers_in_time_make_room_again_up_to_the_ceiling_if_it_is_used() {
        let (mut limit, mut now) = (full(512), Instant::now() + Duration::from_mins(1));
        for _ in 0..20 {
            now += IN_TIME;
            limit.answered(now, true, now);
        }
        assert_eq!(limit.get(), FLOOR, "a refusal for overload counts as late");
        while limit.in_flight() > 0 {
            limit.leave();
        }
        limit.answered(now - IN_TIME, false, now);
        assert_eq!(limit.get(), FLOOR, "nobody needs more");
        while limit.enter() {}
        answers(&mut limit, 8 * 448, IN_TIME, &mut now);
        assert_eq!(limit.get(), 512);
        answers(&mut limit, 1000, IN_TIME, &mut now);
        assert_eq!(limit.get(), 512);
    }

    /// A service that works on `AT_ONCE` requests at a time, 10 ms each; a flood before it. What counts is that it is never idle and that nobody waits long.
    #[test]
    fn under_a_flood_it_settles_where_the_service_is_busy_and_nobody_waits_long() {
        const AT_ONCE: usize = 4;
        let start = Instant::now();
        let (mut limit, mut waiting) = (Limit::new(512), std::collections::VecDeque::new());
        let mut longest_of_late_half = Duration::ZERO;
        for tick in 0_u32..3000 {
            let now = start + tick * Duration::from_millis(10);
            while limit.enter() {
                waiting.push_back(now);
            }
            let done = now + Duration::from_millis(10);
            for _ in 0..AT_ONCE {
                let begun = waiting.pop_front().expect("the service is never idle");
                limit.answered(begun, false, done);
                limit.leave();
                if tick > 1500 {
                    longest_of_late_half = longest_of_late_half.max(done - begun);
                }
            }
        }
        // 400 per second: 200 in flight take just the half second.
        assert!((100..=250).contains(&limit.get()), "{}", limit.get());
        assert!(longest_of_late_half < 2 * LATE_AFTER, "{longest_of_late_half:?}");
    }
}
