//! The way to a leader, which requests that go it at the same time go together.
//!
//! A request for each order costs the two processes more than anything else that they do for it, and a small batch costs the leader as much as a large one; the same is
//! true of looks that the cache does not answer. So who comes leaves at once only if nobody is under way. Otherwise it waits until as many wait as are under way, or
//! until a request comes back; then all who wait leave together. Where many shoppers keep coming, one half of them travels while the other half gathers. There is no
//! timer. At most a few requests are under way to one leader at a time.
//!
//! To whoever sends it, a [question](Errand::Question) is as if it had travelled alone: it has its own answer, and its failure is that of its request. It leaves after it was
//! asked, and so it is answered as of then or later. Who does not want to wait any more, gets off: before the departure nothing is sent, and a request that nobody
//! waits for is given up.
//!
//! # Caveats
//! * An answer comes with those of its company. Orders that travel together are in the same batch of the leader, or in the next.
//! * Of three shoppers on an idle machine the third waits for one of the others: for a part of the time that a request takes.
//! * While [traces](service::trace) are on, each travels alone: then its request is part of its own trace.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{Address, TOGETHER_MAX};
use service::call::{CallError, Caller};
use service::trace;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

/// A request that takes longer keeps nobody from leaving any more: its connection may be dead, or the leader is paused. It goes on by itself. There are never
/// more of those than orders that wait, which admission bounds.
const SLOW: Duration = Duration::from_millis(250);

/// What is asked of a leader.
pub(crate) trait Errand: Clone + Debug + Send + Sync + 'static {
    /// One wants to know that.
    type Question: Clone + Debug + Send + Sync + 'static;
    /// It is told this.
    type Answer: Debug + Send + 'static;

    /// One question by itself.
    fn alone(
        &self,
        caller: &Caller,
        leader: &Address,
        question: &Self::Question,
        deadline: Instant,
    ) -> impl Future<Output = Answered<Self>> + Send;

    /// Several in one request, at most [`TOGETHER_MAX`]: as many answers, in their order.
    fn together(
        &self,
        caller: &Caller,
        leader: &Address,
        questions: &[Self::Question],
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<Answered<Self>>, CallError>> + Send;
}

type Answered<E> = Result<<E as Errand>::Answer, CallError>;

/// The ways to the replicas. Clones share them.
#[derive(Debug)]
pub(crate) struct Courier<E: Errand>(Arc<Shared<E>>);

impl<E: Errand> Clone for Courier<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Shared<E: Errand> {
    errand: E,
    under_way_max: usize,
    /// See [`SLOW`].
    slow: Duration,
    ways: Mutex<BTreeMap<Address, Way<E>>>,
}

/// The way to one replica; it is there as long as someone is on it.
#[derive(Debug)]
struct Way<E: Errand> {
    waiting: VecDeque<Passenger<E>>,
    /// Requests, but for slow ones.
    requests: usize,
    /// The questions in them.
    aboard: usize,
}

impl<E: Errand> Default for Way<E> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), requests: 0, aboard: 0 }
    }
}

#[derive(Debug)]
struct Passenger<E: Errand> {
    question: E::Question,
    deadline: Instant,
    answer: oneshot::Sender<Answered<E>>,
}

impl<E: Errand> Courier<E> {
    /// With so many requests to one leader at the same time, at most. If it were one, the leader would wait for the next orders while an answer is on
    /// its way. It works on two batches at a time, and for each of them one request may be there and one on its way: four. Since each must be as large as those
    /// before it together, there are rarely more than two.
    ///
    /// # Panics
    /// If it is none.
    pub(crate) fn new(errand: E, under_way_max: usize) -> Self {
        Self::with_slow(errand, under_way_max, SLOW)
    }

    /// With another [`SLOW`].
    fn with_slow(errand: E, under_way_max: usize, slow: Duration) -> Self {
        assert!(under_way_max > 0, "no order would ever leave");
        Self(Arc::new(Shared { errand, under_way_max, slow, ways: Mutex::default() }))
    }

    /// Asks the replica at `leader`. When the future is dropped, nobody waits for the answer.
    pub(crate) async fn ask(
        &self,
        caller: Caller,
        leader: Address,
        question: &E::Question,
        deadline: Instant,
    ) -> Answered<E> {
        if trace::is_on() {
            return self.0.errand.alone(&caller, &leader, question, deadline).await;
        }
        let (answer, answered) = oneshot::channel();
        let departing = {
            let mut ways = self.ways();
            let way = ways.entry(leader.clone()).or_default();
            way.waiting.push_back(Passenger { question: question.clone(), deadline, answer });
            way.board(self.0.under_way_max)
        };
        if let Some(passengers) = departing {
            Coach { courier: self.clone(), caller, leader: leader.clone() }.depart(passengers);
        }
        let lost = |_| Err(CallError::Unknown { address: leader, what: "its request was given up".into() });
        answered.await.unwrap_or_else(lost)
    }

    fn ways(&self) -> MutexGuard<'_, BTreeMap<Address, Way<E>>> {
        self.0.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E: Errand> Way<E> {
    /// One more request, with those who still want to go, as many as fit; `None` if they wait for more, or nobody waits. Nobody waits for nothing: whoever
    /// is under way asks again.
    fn board(&mut self, under_way_max: usize) -> Option<Vec<Passenger<E>>> {
        if self.requests == under_way_max || self.waiting.len() < self.aboard {
            return None;
        }
        let mut passengers = Vec::new();
        while passengers.len() < TOGETHER_MAX
            && let Some(passenger) = self.waiting.pop_front()
        {
            if !passenger.answer.is_closed() {
                passengers.push(passenger);
            }
        }
        self.requests += usize::from(!passengers.is_empty());
        self.aboard += passengers.len();
        Some(passengers).filter(|passengers| !passengers.is_empty())
    }

    fn arrived(&mut self, passengers: usize) {
        self.requests -= 1;
        self.aboard -= passengers;
    }
}

/// One of the requests under way to a replica; when it is answered, it takes the next ones.
#[derive(Clone)]
struct Coach<E: Errand> {
    courier: Courier<E>,
    caller: Caller,
    leader: Address,
}

impl<E: Errand> Coach<E> {
    fn depart(self, passengers: Vec<Passenger<E>>) {
        tokio::spawn(self.run(passengers));
    }

    async fn run(self, mut passengers: Vec<Passenger<E>>) {
        loop {
            let aboard = passengers.len();
            let mut trip = std::pin::pin!(self.carry(passengers));
            let is_slow = timeout(self.courier.0.slow, &mut trip).await.is_err();
            let next = self.on_way(|way| {
                way.arrived(aboard);
                way.board(self.courier.0.under_way_max)
            });
            if is_slow {
                // Others may leave instead; it goes on by itself.
                if let Some(next) = next {
                    self.clone().depart(next);
                }
                return trip.await;
            }
            match next {
                Some(next) => passengers = next,
                None => return,
            }
        }
    }

    /// Does something on its way, which is forgotten when nobody is under way any more: then nobody waits either.
    fn on_way<T>(&self, act: impl FnOnce(&mut Way<E>) -> T) -> T {
        let mut ways = self.courier.ways();
        let way = ways.get_mut(&self.leader).expect("who is under way keeps the way");
        let done = act(way);
        if way.requests == 0 {
            assert!(way.waiting.is_empty(), "who waits, waits for someone under way");
            ways.remove(&self.leader);
        }
        done
    }

    /// One request, given up when nobody waits for it any more.
    async fn carry(&self, passengers: Vec<Passenger<E>>) {
        let deadline = passengers.iter().map(|passenger| passenger.deadline).max().expect("somebody is aboard");
        let (questions, mut waiting): (Vec<_>, Vec<_>) =
            passengers.into_iter().map(|passenger| (passenger.question, passenger.answer)).unzip();
        let answers = tokio::select! {
            biased;
            answers = self.answers(&questions, deadline) => answers,
            () = all_gone(&mut waiting) => return,
        };
        for (waiting, answer) in waiting.into_iter().zip(answers) {
            // Who has got off does not want to know.
            let _ = waiting.send(answer);
        }
    }

    /// As many answers as questions.
    async fn answers(&self, questions: &[E::Question], deadline: Instant) -> Vec<Answered<E>> {
        let Self { caller, leader, courier } = self;
        let errand = &courier.0.errand;
        if let [question] = questions {
            return vec![errand.alone(caller, leader, question, deadline).await];
        }
        let number = questions.len();
        let failure = match errand.together(caller, leader, questions, deadline).await {
            Ok(answers) if answers.len() == number => return answers,
            Ok(answers) => {
                let what = format!("{} answers to {number} questions", answers.len());
                CallError::Unknown { address: leader.clone(), what }
            }
            Err(error) => error,
        };
        questions.iter().map(|_| Err(failure.clone())).collect()
    }
}

async fn all_gone<T>(waiting: &mut [oneshot::Sender<T>]) {
    for waiting in waiting {
        waiting.closed().await;
    }
}

#[cfg(test)]
mod tests;
