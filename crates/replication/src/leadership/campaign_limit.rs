//! Bounds how often others can make a replica stand for election.
//!
//! Each campaign deposes the current leader. A frontend that runs an election needs a few campaigns
//! in a row when votes are lost. Many more than that do not help, and would keep the group from
//! working. A campaign that does not raise the term (the replica leads, or stands already) does not
//! count.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use api::{ApiError, ErrorCode, Term};
use tokio::time::Instant;

/// Campaigns in a row: as many rounds as an election may take on slow disks, with another replica
/// asked first each time.
const BURST_MAX: u32 = 16;

/// After that, one campaign in this time: an election of several rounds is over by then, or has no
/// majority.
const REFILL_INTERVAL: Duration = Duration::from_secs(1);

/// A token bucket of campaigns.
#[derive(Debug, Default)]
pub(crate) struct CampaignLimit(Mutex<Spent>);

#[derive(Debug, Default)]
struct Spent {
    campaigns: u32,
    /// The time up to which `campaigns` have been refilled.
    since: Option<Instant>,
}

impl CampaignLimit {
    /// Runs `stand`, which makes the replica stand for election, unless that has happened too
    /// often. `term` returns the highest term that the replica has seen.
    pub(crate) async fn run<E: ToString>(
        &self,
        term: impl Fn() -> Term,
        stand: impl Future<Output = Result<(), E>>,
    ) -> Result<(), ApiError> {
        if self.left(Instant::now()) == 0 {
            let what =
                "this replica was asked to stand for election too often; ask another one, or try again in a second";
            return Err(ApiError::new(ErrorCode::Overloaded, what));
        }
        let before = term();
        stand.await.map_err(|error| ApiError::new(ErrorCode::Unavailable, error.to_string()))?;
        if term() > before {
            self.spend();
        }
        Ok(())
    }

    fn left(&self, now: Instant) -> u32 {
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *spent.since.get_or_insert(now);
        let refilled =
            u32::try_from(now.duration_since(since).as_secs() / REFILL_INTERVAL.as_secs()).unwrap_or(u32::MAX);
        spent.campaigns = spent.campaigns.saturating_sub(refilled);
        spent.since = Some(if spent.campaigns == 0 { now } else { since + REFILL_INTERVAL * refilled });
        BURST_MAX.saturating_sub(spent.campaigns)
    }

    fn spend(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).campaigns += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_requests_makes_few_elections() {
        let (limit, term) = (CampaignLimit::default(), Cell::new(1));
        let ask = async |raises: u64| {
            let stand = async {
                term.set(term.get() + raises);
                Ok::<_, Infallible>(())
            };
            limit.run(|| Term(term.get()), stand).await
        };
        for _ in 0..1000 {
            ask(0).await.expect("a campaign that deposes no leader is free");
        }
        for _ in 0..BURST_MAX {
            ask(1).await.unwrap();
        }
        assert_eq!(ask(1).await.unwrap_err().code, ErrorCode::Overloaded);
        let end = Instant::now() + Duration::from_secs(10);
        let mut stood = 0;
        while Instant::now() < end {
            stood += u32::from(ask(1).await.is_ok());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!((9..=11).contains(&stood), "{stood} in 10 s");
        tokio::time::sleep(Duration::from_mins(1)).await;
        for _ in 0..BURST_MAX {
            ask(1).await.expect("after a quiet minute the bucket is full");
        }
    }
}
