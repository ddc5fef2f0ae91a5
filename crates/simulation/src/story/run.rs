//! Runs that are recorded, and runs that repeat a part of another one.

use std::any::Any;
use std::sync::{Arc, PoisonError};

use crate::network::NetworkConditions;
use crate::options::SimulationOptions;
use crate::repeated_faults::{PlannedFault, RepeatedFaults};
use crate::report::{SimulationFailure, SimulationReport};
use crate::simulation::Simulation;
use crate::story::recorder::StoryRecorder;

/// What a seed's run leaves out of what the seed has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cuts {
    /// The faults of the whole run, and which of them happen. `None`: the seed draws them.
    pub(crate) faults: Option<(Vec<PlannedFault>, Vec<bool>)>,
    /// Whether the network loses, repeats and delays messages.
    pub(crate) conditions: [bool; CONDITIONS.len()],
    /// Whether no disk goes back in time.
    pub(crate) no_rewind: bool,
    /// Clients that do not shop.
    pub(crate) absent: Vec<u32>,
    /// How long faults may be injected, in ms, if shorter than the seed says.
    pub(crate) length: Option<u64>,
}

/// What can be wrong with the network all the time.
pub(crate) const CONDITIONS: [fn(&mut NetworkConditions); 4] = [
    |conditions| conditions.dropped = 0,
    |conditions| conditions.duplicated = 0,
    |conditions| conditions.delayed = 0,
    |conditions| conditions.packets_lost = 0,
];

/// Whether a seed's network does that at all.
pub(crate) fn conditions_of(seed: u64, options: SimulationOptions) -> [bool; CONDITIONS.len()] {
    let conditions = Simulation::new(seed, options, None).plan.conditions;
    let rates = [conditions.dropped, conditions.duplicated, conditions.delayed, conditions.packets_lost];
    rates.map(|rate| rate > 0)
}

/// How long the seed injects faults, in ms.
pub(crate) fn length_of(seed: u64, options: SimulationOptions) -> u64 {
    Simulation::new(seed, options, None).plan.length
}

fn simulation(seed: u64, options: SimulationOptions, cuts: &Cuts) -> Simulation {
    let mut simulation = Simulation::new(seed, options, None);
    if let Some((faults, kept)) = &cuts.faults {
        simulation.repeated = Some(RepeatedFaults::new(faults, |at| kept[at]));
    }
    for (off, switch_off) in cuts.conditions.iter().zip(CONDITIONS) {
        if *off {
            switch_off(&mut simulation.plan.conditions);
        }
    }
    if cuts.no_rewind {
        simulation.cluster.rewind = None;
    }
    if let Some(length) = cuts.length {
        simulation.plan.length = length.min(simulation.plan.length);
    }
    simulation.absent_shoppers.clone_from(&cuts.absent);
    simulation
}

/// Runs a seed with less than it has.
pub(crate) fn run_cut(seed: u64, options: SimulationOptions, cuts: &Cuts) -> SimulationReport {
    simulation(seed, options, cuts).run()
}

/// A recorded run.
pub(crate) struct Recorded {
    pub(crate) report: SimulationReport,
    pub(crate) recorder: StoryRecorder,
    /// The faults that were drawn.
    pub(crate) plan: Vec<PlannedFault>,
}

/// Runs a seed, with less than it has, and records it.
pub(crate) fn run_recorded(seed: u64, options: SimulationOptions, cuts: &Cuts) -> Recorded {
    let simulation = simulation(seed, options, cuts);
    let (environment, planned) = (simulation.cluster.environment.clone(), Arc::clone(&simulation.planned));
    {
        let mut shared = environment.lock();
        let lanes = (0..simulation.cluster.machines.len()).map(|id| shared.network.name(id).to_owned()).collect();
        shared.trace.start_recording(Box::new(StoryRecorder::new(lanes)));
    }
    let report = simulation.run();
    let recorder: Box<dyn Any> = environment.lock().trace.take_recorder().expect("it was started");
    let recorder = *recorder.downcast::<StoryRecorder>().expect("it is the one that was started");
    let plan = std::mem::take(&mut *planned.lock().unwrap_or_else(PoisonError::into_inner));
    Recorded { report, recorder, plan }
}

/// What distinguishes a failure from another one: not the times, numbers and names in it.
pub(crate) fn signature(failure: &SimulationFailure) -> String {
    let text = match failure {
        SimulationFailure::Invariant(violation) => {
            let text = format!("{violation:?}");
            return text.split([' ', '{']).next().unwrap_or_default().to_owned();
        }
        SimulationFailure::UnexpectedExit { code, what, .. } => format!("exit {code}: {what}"),
        other => other.to_string(),
    };
    text.chars().filter(|letter| !letter.is_ascii_digit()).take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_repeated_are_the_same_run() {
        for seed in [2, 5, 13] {
            let options = SimulationOptions::default();
            let Recorded { report: first, plan, .. } = run_recorded(seed, options, &Cuts::default());
            let all = vec![true; plan.len()];
            let cuts = |kept| Cuts { faults: Some((plan.clone(), kept)), ..Cuts::default() };
            assert_eq!(run_cut(seed, options, &cuts(all.clone())), first);
            if plan.iter().any(|planned| planned.fault.is_some()) {
                let none = run_cut(seed, options, &cuts(vec![false; all.len()]));
                assert_ne!(none.trace_hash, first.trace_hash);
                assert!(none.is_clean(), "{none}");
            }
        }
    }

    #[test]
    fn a_signature_has_no_times_and_names() {
        let exit = |who: &str, at_ms, what: &str| {
            signature(&SimulationFailure::UnexpectedExit {
                who: who.to_owned(),
                at_ms,
                code: 74,
                what: what.to_owned(),
            })
        };
        assert_eq!(exit("order-1", 3, "entry 4.11 is lost"), exit("order-2", 7, "entry 5.9 is lost"));
        assert_ne!(exit("order-1", 3, "entry 4.11 is lost"), exit("order-1", 3, "the disk is gone"));
    }
}
