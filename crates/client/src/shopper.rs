//! One shopper: session after session.

use api::OrderId;
use api::public::NewOrder;
use tokio::time::Instant;

use crate::Acknowledged;
use crate::patient::PatientStore;
use crate::record::Recorder;
use crate::store::Purchase;
use crate::wish::{Wish, Wishes};

/// A shopper on the way into the store.
#[derive(Debug)]
pub(crate) struct Shopper {
    /// The way to the store.
    pub(crate) store: PatientStore,
    /// What to look at and to order.
    pub(crate) wishes: Wishes,
    /// Where acknowledged orders go; without it nothing is ordered.
    pub(crate) recorder: Option<Recorder>,
}

/// A shopper after shopping.
#[derive(Debug)]
pub(crate) struct Visit {
    /// The way to the store, the connection still open.
    pub(crate) store: PatientStore,
    /// What was acknowledged to this shopper.
    pub(crate) orders: Vec<Acknowledged>,
}

impl Shopper {
    /// Goes through `sessions` sessions; fewer if it is late, if told to stop, or if nothing works any more.
    pub(crate) async fn shop(mut self, sessions: u32, closing: Option<Instant>) -> Visit {
        let mut orders = Vec::new();
        for _ in 0..sessions {
            if !self.store.goes_on() || closing.is_some_and(|closing| Instant::now() >= closing) {
                break;
            }
            let wish = self.wishes.next().expect("wishes have no end");
            if let Some(order) = self.session(wish).await {
                orders.push(order.clone());
                if !self.record(order).await {
                    break;
                }
            }
            self.store.tally().session_done();
        }
        Visit { store: self.store, orders }
    }

    /// False if the file cannot be written any more.
    async fn record(&self, order: Acknowledged) -> bool {
        match &self.recorder {
            Some(recorder) => recorder.record(order).await,
            None => true,
        }
    }

    /// A look at a product, and perhaps an order. What fails is in the tally.
    async fn session(&self, wish: Wish) -> Option<Acknowledged> {
        let product = self.store.product(&wish.product).await.ok()?;
        let enough = product.quantity.take(wish.quantity).is_some();
        if !(wish.order && enough && self.recorder.is_some()) {
            return None;
        }
        let order_id = OrderId::random();
        let order = NewOrder { name: wish.product, quantity: wish.quantity };
        match self.store.order(order_id, &order).await.ok()? {
            Purchase::Placed(number) => {
                Some(Acknowledged { number, name: order.name, quantity: order.quantity, order_id })
            }
            Purchase::SoldOut => None,
        }
    }
}
