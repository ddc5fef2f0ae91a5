//! "Do I still lead?", asked once for all who want to know.
//!
//! A linearizable read needs a round trip to a majority that *begins* after the read did. So one round trip serves everyone
//! who asked before it began; who comes while it is under way is served by the next one.

use api::Term;
use replication::{ProposeError, Replica};
use tokio::sync::{mpsc, oneshot};

use crate::machine::Catalog;

/// Most who wait: as many as there are connections (`service::http::Limits`). Past it an asker waits for a place.
const WAITING_MAX: usize = 16_384;

type Answer = Result<Term, ProposeError>;

/// Where the question is asked.
#[derive(Clone, Debug)]
pub(crate) struct Confirmations(mpsc::Sender<oneshot::Sender<Answer>>);

/// Where it is answered.
#[derive(Debug)]
pub(crate) struct Questions(mpsc::Receiver<oneshot::Sender<Answer>>);

pub(crate) fn confirmations() -> (Confirmations, Questions) {
    let (ask, questions) = mpsc::channel(WAITING_MAX);
    (Confirmations(ask), Questions(questions))
}

impl Confirmations {
    /// This replica led, in the returned term, at some moment after the call.
    pub(crate) async fn confirm(&self) -> Answer {
        let (answer, answered) = oneshot::channel();
        self.0.send(answer).await.map_err(|_| ProposeError::Stopped)?;
        answered.await.map_err(|_| ProposeError::Stopped)?
    }
}

impl Questions {
    /// Answers until nobody can ask any more.
    pub(crate) async fn answer(mut self, replica: Replica<Catalog>) {
        let mut waiting = Vec::new();
        while self.0.recv_many(&mut waiting, WAITING_MAX).await > 0 {
            let answer = replica.confirm().await;
            for asker in waiting.drain(..) {
                // An asker whose client hung up is gone.
                let _ = asker.send(answer.clone());
            }
        }
    }
}
