//! How a process is, four times a second, and the counters of a frontend.

use std::time::Duration;

use api::catalog::STOCK_PATH;
use api::order::LEDGER_PATH;
use api::replica::STATUS_PATH;
use service::health::METRICS;
use service::json_client::RequestPath;
use tokio::time::{MissedTickBehavior, interval};

use super::{Follower, Observation, Polling, Report};
use crate::source::ServiceKind;
use crate::traffic::Sample;

/// How often a process is asked.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The answers come from memory. A process that does not answer twice in a row is unreachable: it
/// is dead, frozen, or on a machine that is.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(400);

/// Rendering the metrics takes a millisecond, or more on a busy machine.
const METRICS_TIMEOUT: Duration = Duration::from_secs(1);

/// The path of a frontend's cache.
const CACHE_PATH: &str = "/cache";

/// The newest orders to show.
const TAIL_ORDERS: usize = 8;

impl Follower {
    pub(super) async fn poll_all(&self, polling: &Polling) {
        let scrapes = async {
            if self.process.service == ServiceKind::Frontend {
                self.scrape(polling.scrape_interval).await;
            }
        };
        tokio::join!(self.poll(polling), scrapes);
    }

    async fn poll(&self, polling: &Polling) {
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let report = self.ask(polling).await;
            self.report(Observation::Polled(report.map(Box::new))).await;
        }
    }

    /// How the process is; `None` if it does not answer.
    async fn ask(&self, polling: &Polling) -> Option<Report> {
        let (client, at) = (&self.context.client, &self.process.internal);
        let status = client.get(at, STATUS_PATH, ANSWER_TIMEOUT);
        let report = match self.process.service {
            ServiceKind::Frontend => {
                let cache = client.get(at, CACHE_PATH, ANSWER_TIMEOUT).await.ok()?;
                Report { cache: Some(cache), ..Report::default() }
            }
            // A replica of an earlier version has neither of the other paths.
            ServiceKind::Catalog => {
                let stock = client.get(at, STOCK_PATH, ANSWER_TIMEOUT);
                let (status, stock) = tokio::join!(status, stock);
                Report { replica: Some(status.ok()?), stock: stock.ok(), ..Report::default() }
            }
            ServiceKind::Order => {
                let compared_at = *polling.compared_at.borrow();
                let path = format!("{LEDGER_PATH}?last={TAIL_ORDERS}&at={compared_at}");
                let ledger = client.get(at, RequestPath::filled(LEDGER_PATH, &path), ANSWER_TIMEOUT);
                let (status, ledger) = tokio::join!(status, ledger);
                Report { replica: Some(status.ok()?), ledger: ledger.ok(), ..Report::default() }
            }
        };
        Some(report)
    }

    async fn scrape(&self, every: Duration) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.context.client.text(&self.process.internal, METRICS, METRICS_TIMEOUT).await {
                Ok(text) => self.report(Observation::Scraped(Box::new(Sample::read(&text)))).await,
                Err(error) => tracing::debug!(process = %self.name, error, "cannot read the metrics"),
            }
        }
    }
}
