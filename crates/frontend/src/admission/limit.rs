//! How many at once: a number that finds itself.
//!
//! The right number of requests in flight is the one at which the services behind are just busy: fewer waste them, more only wait. Whoever has the queue
//! knows: the order leader refuses an order that would wait too long. So the number follows these refusals, the way TCP finds its window
//! (additive increase, multiplicative decrease: Chiu and Jain, 1989): a refusal takes a fifth, answers slowly give it back. Several
//! frontends before one leader share it like that.
//!
//! It does not follow latencies. Orders go in batches: on a slow disk every batch takes long, however few orders are in it. To let in fewer then
//! makes the batches smaller and nobody faster.

use tokio::time::Instant;

/// The least room: as much as a group of shoppers needs.
pub(super) const FLOOR: u32 = 64;

/// So many answers make room for one more: from the floor to 512 within a second at 4000 orders per second.
const ANSWERS_PER_STEP: f64 = 8.0;

/// What remains after a refusal.
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

    /// Learns from an answer to a request that began at `begun`: whether it was refused for overload. Before its place is given back.
    pub(super) fn answered(&mut self, begun: Instant, overloaded: bool, now: Instant) {
        if overloaded {
            // Refusals come in crowds. Those that began before the last decrease say nothing about whether it was enough.
            if self.decreased.is_none_or(|at| begun > at) {
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
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::*;

    fn full(ceiling: u32) -> Limit {
        let mut limit = Limit::new(ceiling);
        while limit.enter() {}
        limit
    }

    #[test]
    fn no_more_enter_than_there_is_room_for() {
        let mut limit = full(100);
        assert_eq!((limit.in_flight(), limit.has_room()), (100, false));
        limit.leave();
        assert!(limit.enter() && !limit.enter());
    }

    #[test]
    fn refusals_make_it_smaller_once_per_crowd_and_never_too_small() {
        let (mut limit, mut now) = (full(512), Instant::now());
        let begun = now;
        for _ in 0..100 {
            now += Duration::from_millis(1);
            limit.answered(begun, true, now);
        }
        assert_eq!(limit.get(), 409, "one crowd");
        now += Duration::from_millis(1);
        limit.answered(now, true, now);
        assert_eq!(limit.get(), 327, "the next one");
        for _ in 0..100 {
            now += Duration::from_millis(1);
            limit.answered(now, true, now);
        }
        assert_eq!(limit.get(), FLOOR);
    }

    #[test]
    fn answers_give_it_back_up_to_the_ceiling_however_late_they_are_if_it_is_used() {
        let (mut limit, begun) = (full(512), Instant::now());
        let late = begun + Duration::from_secs(3);
        limit.answered(begun, true, late);
        limit.answered(begun, false, late);
        assert_eq!(limit.get(), 409);
        for _ in 0..8 * 512 {
            limit.answered(begun, false, late);
        }
        assert_eq!(limit.get(), 512);
        limit.answered(late + Duration::from_millis(1), true, late + Duration::from_millis(1));
        while limit.in_flight() > 0 {
            limit.leave();
        }
        for _ in 0..8 * 512 {
            limit.answered(begun, false, late);
        }
        assert_eq!(limit.get(), 409, "nobody needs more");
    }

    /// Four frontends before a leader that works on four orders at a time, 10 ms each, and has 100 places in its queue. What counts is that it is never idle, that
    /// the frontends come to let in about what it takes, and that none of them is shut out.
    #[test]
    fn under_a_flood_frontends_share_what_the_leader_takes() {
        const QUEUE_MAX: usize = 100;
        let start = Instant::now();
        let mut limits: Vec<_> = (0..4).map(|_| Limit::new(512)).collect();
        let (mut queue, mut placed, mut refused) = (VecDeque::new(), [0_u32; 4], 0_u32);
        for tick in 0_u32..3000 {
            let now = start + tick * Duration::from_millis(10);
            // Each lets in what it can; turns differ, so that no one is always first.
            for turn in 0..4 {
                let frontend = (turn + tick as usize) % 4;
                while limits[frontend].enter() {
                    if queue.len() < QUEUE_MAX {
                        queue.push_back((frontend, now));
                    } else {
                        limits[frontend].answered(now, true, now);
                        limits[frontend].leave();
                        refused += 1;
                        break;
                    }
                }
            }
            for _ in 0..4 {
                let (frontend, begun) = queue.pop_front().expect("the leader is never idle");
                limits[frontend].answered(begun, false, now);
                limits[frontend].leave();
                placed[frontend] += 1;
            }
        }
        assert!(limits.iter().all(|limit| limit.get() < 100), "{limits:?}");
        assert!(placed.iter().all(|placed| *placed > 12_000 / 16), "{placed:?}");
        assert!(refused < 12_000, "at most one refusal per turn: {refused}");
    }
}
