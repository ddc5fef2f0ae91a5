//! An adaptive concurrency limit.
//!
//! The best number of requests in flight is the one that just keeps the services behind the
//! frontend busy: fewer leave them idle, and more only wait. The order leader knows its queue, and
//! refuses an order that would wait too long. So the limit follows these refusals as TCP's
//! congestion window follows lost packets (additive increase, multiplicative decrease: Chiu and
//! Jain, 1989). A refusal reduces the limit by a fifth, and successful requests slowly raise it
//! again. Several frontends share a leader fairly in this way.
//!
//! The limit does not follow latency. Orders are committed in batches: on a slow disk every batch
//! takes long, however few orders it contains. A lower limit would make the batches smaller, and no
//! order faster.

use tokio::time::Instant;

/// The limit never falls below this; it is enough for a small group of shoppers.
pub(super) const LIMIT_MIN: u32 = 64;

/// Successful requests that raise the limit by one. At 4,000 orders per second, the limit rises
/// from its minimum to 512 within a second.
const SUCCESSES_PER_INCREMENT: f64 = 8.0;

/// The factor by which a refusal reduces the limit.
const DECREASE: f64 = 0.8;

/// The limit, and the number of requests in flight that count against it. Time is passed as an
/// argument.
#[derive(Debug)]
pub(super) struct AdaptiveLimit {
    max: f64,
    current: f64,
    in_flight: u32,
    last_decrease: Option<Instant>,
}

impl AdaptiveLimit {
    /// Starts at the maximum, because no service is known to be slow yet.
    pub(super) fn new(max: u32) -> Self {
        let max = f64::from(max.max(LIMIT_MIN));
        Self { max, current: max, in_flight: 0, last_decrease: None }
    }

    /// How many requests may be in flight now.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between LIMIT_MIN and the maximum")]
    pub(super) fn get(&self) -> u32 {
        self.current as u32
    }

    /// How many requests are in flight.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether another request would be admitted.
    pub(super) fn has_capacity(&self) -> bool {
        self.in_flight < self.get()
    }

    /// Counts another request in flight if there is capacity. Returns whether there was.
    pub(super) fn try_acquire(&mut self) -> bool {
        let has_capacity = self.has_capacity();
        self.in_flight += u32::from(has_capacity);
        has_capacity
    }

    /// Ends a request that [`Self::try_acquire`] has admitted.
    pub(super) fn release(&mut self) {
        assert!(self.in_flight > 0, "only an admitted request is released");
        self.in_flight -= 1;
    }

    /// Adapts the limit to the outcome of a request that was admitted at `started`. `overloaded`
    /// says whether a service refused it for overload. Must be called before the request is
    /// released.
    pub(super) fn record(&mut self, started: Instant, overloaded: bool, now: Instant) {
        if overloaded {
            // Refusals come in bursts. A request from before the last decrease does not show
            // whether that decrease was enough.
            if self.last_decrease.is_none_or(|at| started > at) {
                self.current = (self.current * DECREASE).max(f64::from(LIMIT_MIN));
                self.last_decrease = Some(now);
            }
        } else if 2 * self.in_flight > self.get() {
            // While the limit is not used, success does not show that it could be higher.
            self.current = (self.current + 1.0 / SUCCESSES_PER_INCREMENT).min(self.max);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use super::*;

    fn exhausted(max: u32) -> AdaptiveLimit {
        let mut limit = AdaptiveLimit::new(max);
        while limit.try_acquire() {}
        limit
    }

    #[test]
    fn no_more_requests_are_admitted_than_the_limit_allows() {
        let mut limit = exhausted(100);
        assert_eq!((limit.in_flight(), limit.has_capacity()), (100, false));
        limit.release();
        assert!(limit.try_acquire() && !limit.try_acquire());
    }

    #[test]
    fn refusals_lower_the_limit_once_per_burst_and_never_below_the_minimum() {
        let (mut limit, mut now) = (exhausted(512), Instant::now());
        let started = now;
        for _ in 0..100 {
            now += Duration::from_millis(1);
            limit.record(started, true, now);
        }
        assert_eq!(limit.get(), 409, "one burst");
        now += Duration::from_millis(1);
        limit.record(now, true, now);
        assert_eq!(limit.get(), 327, "the next burst");
        for _ in 0..100 {
            now += Duration::from_millis(1);
            limit.record(now, true, now);
        }
        assert_eq!(limit.get(), LIMIT_MIN);
    }

    #[test]
    fn successes_raise_a_limit_that_is_in_use_up_to_the_maximum_however_slow_they_are() {
        let (mut limit, started) = (exhausted(512), Instant::now());
        let late = started + Duration::from_secs(3);
        limit.record(started, true, late);
        limit.record(started, false, late);
        assert_eq!(limit.get(), 409);
        for _ in 0..8 * 512 {
            limit.record(started, false, late);
        }
        assert_eq!(limit.get(), 512);
        limit.record(late + Duration::from_millis(1), true, late + Duration::from_millis(1));
        while limit.in_flight() > 0 {
            limit.release();
        }
        for _ in 0..8 * 512 {
            limit.record(started, false, late);
        }
        assert_eq!(limit.get(), 409, "a limit that is not in use stays");
    }

    /// Four frontends share a leader that works on four orders at a time, 10 ms each, and has a
    /// queue of 100. The leader must never be idle, the limits must settle near the leader's
    /// capacity, and no frontend may be starved.
    #[test]
    fn under_overload_frontends_share_the_leaders_capacity() {
        const QUEUE_MAX: usize = 100;
        let start = Instant::now();
        let mut limits: Vec<_> = (0..4).map(|_| AdaptiveLimit::new(512)).collect();
        let (mut queue, mut placed, mut refused) = (VecDeque::new(), [0_u32; 4], 0_u32);
        for tick in 0_u32..3000 {
            let now = start + tick * Duration::from_millis(10);
            // Each frontend admits what it can. A different one is first in every tick.
            for offset in 0..4 {
                let frontend = (offset + tick as usize) % 4;
                while limits[frontend].try_acquire() {
                    if queue.len() < QUEUE_MAX {
                        queue.push_back((frontend, now));
                    } else {
                        limits[frontend].record(now, true, now);
                        limits[frontend].release();
                        refused += 1;
                        break;
                    }
                }
            }
            for _ in 0..4 {
                let (frontend, started) = queue.pop_front().expect("the leader is never idle");
                limits[frontend].record(started, false, now);
                limits[frontend].release();
                placed[frontend] += 1;
            }
        }
        assert!(limits.iter().all(|limit| limit.get() < 100), "{limits:?}");
        assert!(placed.iter().all(|placed| *placed > 12_000 / 16), "{placed:?}");
        assert!(refused < 12_000, "at most one refusal per frontend and tick: {refused}");
    }
}
