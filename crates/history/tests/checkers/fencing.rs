//! I6: deposed leaders are fenced.

use api::{BatchId, BatchNumber, NodeId, Ordinal, Term};
use history::{BatchEffect, EffectTarget, Moment};

use crate::scenario::HistoryScenario;

fn effect(target: EffectTarget, term: u64, batch: u64, leader: Option<u8>) -> BatchEffect {
    let batch = BatchId { term: Term(term), batch: BatchNumber(batch) };
    BatchEffect { at: Moment(0), target, batch, leader: leader.map(|ordinal| NodeId::new(Ordinal(ordinal), 7)) }
}

#[track_caller]
fn checked(effects: &[BatchEffect], words: &[&str]) {
    let mut scenario = HistoryScenario::of(5).finished();
    scenario.history.effects = effects.to_vec();
    scenario.broken(words);
}

#[test]
fn increasing_terms_and_batches_are_accepted() {
    use EffectTarget::{Catalog, OrderLog};
    checked(&[], &[]);
    checked(
        &[
            effect(Catalog, 1, 1, Some(1)),
            effect(Catalog, 1, 2, Some(1)),
            effect(OrderLog, 1, 1, Some(1)),
            // The new leader reserves before the observer of the log sees the last batch of the old
            // one.
            effect(Catalog, 3, 1, Some(2)),
            effect(OrderLog, 1, 2, Some(1)),
            effect(OrderLog, 3, 1, None),
            effect(Catalog, 3, 9, Some(2)),
        ],
        &[],
    );
}

#[test]
fn a_batch_of_a_deposed_leader_is_rejected() {
    for target in [EffectTarget::Catalog, EffectTarget::OrderLog] {
        let effects = [
            effect(target, 1, 1, Some(1)),
            effect(target, 2, 1, Some(2)),
            effect(target, 1, 2, Some(1)),
            effect(target, 2, 2, Some(2)),
        ];
        checked(&effects, &["I6: a deposed leader was not fenced: the"]);
    }
}

#[test]
fn a_batch_takes_effect_once_and_in_order() {
    let target = EffectTarget::Catalog;
    checked(&[effect(target, 1, 1, None), effect(target, 1, 1, None)], &["I6: a batch took effect out of order"]);
    checked(&[effect(target, 1, 2, None), effect(target, 1, 1, None)], &["I6: a batch took effect out of order"]);
}

#[test]
fn a_term_has_one_leader() {
    let effects = [effect(EffectTarget::Catalog, 1, 1, Some(1)), effect(EffectTarget::OrderLog, 1, 1, Some(2))];
    checked(&effects, &["I6: one term had two leaders"]);
}
