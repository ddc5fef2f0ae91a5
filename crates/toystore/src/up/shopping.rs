//! Who shops in a store that `up` runs: shoppers whom the console starts and stops, and those of
//! `--shop`.

use std::sync::Arc;

use api::{Address, ProductName};
use client::{ContinuousConfig, ContinuousShoppers, RunType};
use store_console::control::SHOPPERS_MAX;
use store_console::{ControlError, Shoppers};
use tokio_util::sync::CancellationToken;

use super::action::invalid;

/// The run of `--shop`, as the console shows it. While it lasts, its shoppers are the store's
/// shoppers. As soon as the console asks for others, it ends early, and prints its summary.
#[derive(Clone, Debug)]
pub struct ShopRun {
    shoppers: Shoppers,
    /// Whether the store stops with it (`--once`). Then the console must not end it.
    is_once: bool,
    stop: CancellationToken,
    ended: CancellationToken,
}

impl ShopRun {
    /// A run with that configuration, which `stop` ends.
    pub(super) fn new(config: &client::Config, is_once: bool, stop: &CancellationToken) -> Self {
        let orders = match config.run_type {
            RunType::Session | RunType::SessionCheck => config.order_probability,
            RunType::Query | RunType::Check => 0.0,
        };
        let count = u16::try_from(config.shoppers).unwrap_or(SHOPPERS_MAX).min(SHOPPERS_MAX);
        Self {
            shoppers: Shoppers { count, order_probability: orders, hot_product: None },
            is_once,
            stop: stop.child_token(),
            ended: CancellationToken::new(),
        }
    }

    /// Ends the run early.
    pub(super) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Its shoppers, as the console shows them.
    pub(super) fn shoppers(&self) -> &Shoppers {
        &self.shoppers
    }

    /// To be called when its shoppers are done.
    pub(super) fn ended(&self) {
        self.ended.cancel();
    }
}

/// The shoppers of a store.
#[derive(Debug)]
pub(super) struct Shopping {
    shoppers: Shoppers,
    running: Option<ContinuousShoppers>,
    /// The shoppers before, who may wait for a last response. There are never more than two sets.
    leaving: Option<ContinuousShoppers>,
    run: Option<ShopRun>,
}

impl Shopping {
    /// The shoppers of `run`, or none.
    pub(super) fn new(run: Option<ShopRun>) -> Self {
        let order_probability = client::Config::default().order_probability;
        let none = Shoppers { count: 0, order_probability, hot_product: None };
        let shoppers = run.as_ref().map_or(none, |run| run.shoppers.clone());
        Self { shoppers, running: None, leaving: None, run }
    }

    /// Who shops now.
    pub(super) fn shoppers(&self) -> &Shoppers {
        &self.shoppers
    }

    /// Waits until the shoppers of `--shop` are done. From then on there are none.
    pub(super) async fn run_ended(&mut self) {
        match &self.run {
            Some(run) => run.ended.cancelled().await,
            None => std::future::pending().await,
        }
        self.run = None;
        self.shoppers.count = 0;
    }

    /// Replaces all shoppers.
    ///
    /// # Errors
    /// If the run of `--shop --once` decides how long the store runs, or none can be started.
    pub(super) fn change(
        &mut self,
        shoppers: Shoppers,
        frontends: Vec<Address>,
        products: Arc<[ProductName]>,
    ) -> Result<(), ControlError> {
        if self.run.as_ref().is_some_and(|run| run.is_once) {
            return Err(invalid("the shoppers of --shop --once cannot be changed: the store stops when they are done"));
        }
        let Shoppers { count, order_probability, hot_product } = shoppers.clone();
        let config = ContinuousConfig { frontends, products, shoppers: count, order_probability, hot_product };
        let started =
            (count > 0).then(|| ContinuousShoppers::start(&config)).transpose().map_err(ControlError::Failed)?;
        if let Some(run) = self.run.take() {
            run.stop.cancel();
        }
        self.stop();
        (self.running, self.shoppers) = (started, shoppers);
        Ok(())
    }

    /// Lets all shoppers leave.
    pub(super) fn stop(&mut self) {
        self.leaving = self.running.take();
        if let Some(leaving) = &self.leaving {
            leaving.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shopping(is_once: bool) -> (Shopping, ShopRun, CancellationToken) {
        let stop = CancellationToken::new();
        let config = client::Config { shoppers: 300, run_type: RunType::Query, ..client::Config::default() };
        let run = ShopRun::new(&config, is_once, &stop);
        (Shopping::new(Some(run.clone())), run, stop)
    }

    fn change(shopping: &mut Shopping, count: u16) -> Result<(), ControlError> {
        let shoppers = Shoppers { count, order_probability: 0.25, hot_product: None };
        let frontends = vec![Address::new("127.0.0.1", 1)];
        shopping.change(shoppers, frontends, [ProductName::new("Tux").unwrap()].into())
    }

    #[tokio::test]
    async fn the_run_of_up_shop_is_shown_until_it_ends() {
        let (mut shopping, run, _) = shopping(false);
        assert_eq!(*shopping.shoppers(), Shoppers { count: 256, order_probability: 0.0, hot_product: None });
        run.ended();
        shopping.run_ended().await;
        assert_eq!(shopping.shoppers().count, 0);
    }

    #[tokio::test]
    async fn the_console_replaces_the_run_of_up_shop() {
        let (mut shopping, run, stop) = shopping(false);
        change(&mut shopping, 2).unwrap();
        assert!(run.stop().is_cancelled() && !stop.is_cancelled());
        run.ended();
        assert_eq!((shopping.shoppers().count, shopping.running.is_some()), (2, true));
        change(&mut shopping, 0).unwrap();
        assert_eq!((shopping.shoppers().count, shopping.running.is_none()), (0, true));
    }

    #[tokio::test]
    async fn the_console_does_not_end_a_store_that_runs_once() {
        let (mut shopping, run, _) = shopping(true);
        assert!(matches!(change(&mut shopping, 0), Err(ControlError::Invalid(_))));
        assert!(!run.stop().is_cancelled());
    }
}
