//! Who waits for an order.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use api::OrderId;
use tokio::sync::oneshot::{Receiver, error::RecvError};

use super::{Answer, Intake};

/// One request's wait for its order's answer. Dropped before, it takes the order out of the queue, if it is there and nobody else waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    intake: Intake,
    order_id: OrderId,
    answer: Receiver<Answer>,
    answered: bool,
}

impl Waiting {
    pub(super) fn new(intake: Intake, order_id: OrderId, answer: Receiver<Answer>) -> Self {
        Self { intake, order_id, answer, answered: false }
    }
}

impl Future for Waiting {
    /// An error if the intake is gone.
    type Output = Result<Answer, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(context));
        self.answered = true;
        Poll::Ready(answer)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.answered {
            // First, so that the intake sees that this one is gone.
            self.answer.close();
            self.intake.left(self.order_id);
        }
    }
}
