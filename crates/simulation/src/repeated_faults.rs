//! The faults of an earlier run, to repeat all or some of them in another run of the same seed.
//!
//! What is drawn for a fault depends on what happened before it, so a run in which one fault is
//! left out would have other faults from then on. Therefore a run is repeated from what the first
//! one has drawn: each fault with its time, its machines and its duration, and the state of the
//! faults' random numbers behind it. With all faults, the repeated run is the first one.

use crate::fault_injection::DrawnFault;
use crate::random::Random;
use crate::trace::Millis;

/// A fault that a run has drawn.
#[derive(Clone, Debug)]
pub(crate) struct PlannedFault {
    /// The time until the next fault; `None` behind the last one.
    pub(crate) gap: Option<Millis>,
    /// `None` if there was no machine that it could happen to, or if it is left out.
    pub(crate) fault: Option<DrawnFault>,
    /// The random numbers after the fault was drawn.
    pub(crate) random_after: Random,
}

/// The faults that a run repeats, one after the other.
#[derive(Clone, Debug)]
pub(crate) struct RepeatedFaults {
    faults: std::vec::IntoIter<PlannedFault>,
}

impl RepeatedFaults {
    /// The faults for which `kept` is true. The others do not happen, but their time passes.
    pub(crate) fn new(faults: &[PlannedFault], kept: impl Fn(usize) -> bool) -> Self {
        let mut repeated = faults.to_vec();
        for (at, planned) in repeated.iter_mut().enumerate() {
            planned.fault = planned.fault.take().filter(|_| kept(at));
        }
        Self { faults: repeated.into_iter() }
    }

    pub(crate) fn next(&mut self) -> Option<PlannedFault> {
        self.faults.next()
    }
}
