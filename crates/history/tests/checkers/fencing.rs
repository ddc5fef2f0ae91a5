//! I6.

use api::{BatchId, BatchNumber, NodeId, Ordinal, Term};
use history::{Act, ActPlace, Moment};

use crate::story::Story;

fn act(place: ActPlace, term: u64, batch: u64, leader: Option<u8>) -> Act {
    let batch = BatchId { term: Term(term), batch: BatchNumber(batch) };
    Act { at: Moment(0), place, batch, leader: leader.map(|seat| NodeId::new(Ordinal(seat), 7)) }
}

#[track_caller]
fn judged(acts: &[Act], words: &[&str]) {
    let mut story = Story::of(5).finished();
    story.history.acts = acts.to_vec();
    story.broken(words);
}

#[test]
fn terms_and_batches_that_rise_are_accepted() {
    use ActPlace::{Catalog, OrderLog};
    judged(&[], &[]);
    judged(
        &[
            act(Catalog, 1, 1, Some(1)),
            act(Catalog, 1, 2, Some(1)),
            act(OrderLog, 1, 1, Some(1)),
            // The new leader reserves before the observer of the log has seen the old one's last batch.
            act(Catalog, 3, 1, Some(2)),
            act(OrderLog, 1, 2, Some(1)),
            act(OrderLog, 3, 1, None),
            act(Catalog, 3, 9, Some(2)),
        ],
        &[],
    );
}

#[test]
fn a_deposed_leader_does_nothing() {
    for place in [ActPlace::Catalog, ActPlace::OrderLog] {
        let acts = [
            act(place, 1, 1, Some(1)),
            act(place, 2, 1, Some(2)),
            act(place, 1, 2, Some(1)),
            act(place, 2, 2, Some(2)),
        ];
        judged(&acts, &["I6: a deposed leader was not stopped: the"]);
    }
}

#[test]
fn a_batch_takes_effect_once_and_in_turn() {
    let place = ActPlace::Catalog;
    judged(&[act(place, 1, 1, None), act(place, 1, 1, None)], &["I6: a batch took effect out of turn"]);
    judged(&[act(place, 1, 2, None), act(place, 1, 1, None)], &["I6: a batch took effect out of turn"]);
}

#[test]
fn a_term_has_one_leader() {
    let acts = [act(ActPlace::Catalog, 1, 1, Some(1)), act(ActPlace::OrderLog, 1, 1, Some(2))];
    judged(&acts, &["I6: one term had two leaders"]);
}
