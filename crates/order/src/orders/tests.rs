use api::{BatchId, BatchNumber};

use super::*;

fn at(term: u64, index: u64) -> LogPosition {
    LogPosition { term: Term(term), index }
}

fn id(n: u128) -> OrderId {
    OrderId(uuid::Uuid::from_u128(n))
}

fn line(n: u128, name: &str, quantity: u64) -> OrderLine {
    OrderLine { order_id: id(n), name: ProductName::new(name).unwrap(), quantity: Quantity::new(quantity).unwrap() }
}

fn place(term: u64, batch: u64, orders: &[OrderLine]) -> OrderCommand {
    OrderCommand::Place { id: BatchId { term: Term(term), batch: BatchNumber(batch) }, orders: orders.to_vec() }
}

/// The reply to a batch without refusals.
fn placed(outcomes: &[PlaceOutcome]) -> OrderReply {
    OrderReply::Decided { orders: outcomes.to_vec(), refused: Vec::new() }
}

/// The outcome of an order whose id already had this number.
fn already_placed(n: u64) -> PlaceOutcome {
    PlaceOutcome::AlreadyDecided(FinalAnswer::Placed(number(n)))
}

fn number(n: u64) -> OrderNumber {
    OrderNumber::new(n).unwrap()
}

fn begun(term: u64, remembered: usize) -> Orders {
    let mut orders = Orders::with_dedup_window(DedupWindow { orders: remembered, refusals: remembered });
    assert_eq!(orders.apply(at(term, 1), OrderCommand::Begin { term: Term(term) }), OrderReply::Begun);
    orders
}

#[test]
fn orders_are_numbered_in_order_without_gaps() {
    let mut orders = begun(1, 10);
    let first = orders.apply(at(1, 2), place(1, 1, &[line(1, "Tux", 2), line(2, "Whale", 1)]));
    let second = orders.apply(at(1, 3), place(1, 2, &[line(3, "Tux", 5)]));
    assert_eq!(first, placed(&[PlaceOutcome::Placed(number(1)), PlaceOutcome::Placed(number(2))]));
    assert_eq!(second, placed(&[PlaceOutcome::Placed(number(3))]));
    assert_eq!(orders.count(), 3);

    let whale = Order { number: number(2), name: ProductName::new("Whale").unwrap(), quantity: Quantity::ONE };
    assert_eq!(orders.get(number(2)), Some(whale.clone()));
    assert_eq!(orders.find(id(2)), Some(whale));
    assert_eq!(orders.get(number(4)), None);
    assert_eq!(orders.after(1).map(|order| order.order_id).collect::<Vec<_>>(), [id(2), id(3)]);
}

#[test]
fn an_id_keeps_its_number() {
    let mut orders = begun(1, 10);
    orders.apply(at(1, 2), place(1, 1, &[line(1, "Tux", 2)]));
    let again = orders.apply(at(1, 3), place(1, 2, &[line(2, "Tux", 1), line(1, "Tux", 2), line(2, "Tux", 1)]));
    assert_eq!(again, placed(&[PlaceOutcome::Placed(number(2)), already_placed(1), already_placed(2)]));
    assert_eq!(orders.count(), 2);
}

#[test]
fn an_id_is_forgotten_after_the_configured_number_of_later_orders() {
    let mut orders = begun(1, 3);
    orders.apply(at(1, 2), place(1, 1, &[line(1, "Tux", 1), line(2, "Tux", 1), line(3, "Tux", 1)]));
    let place_one = |orders: &mut Orders, n| match orders.apply(at(1, 3), place(1, 2, &[line(n, "Tux", 1)])) {
        OrderReply::Decided { orders, .. } => orders[0],
        reply => panic!("{reply:?}"),
    };
    assert_eq!(place_one(&mut orders, 1), already_placed(1));
    assert_eq!(place_one(&mut orders, 4), PlaceOutcome::Placed(number(4)));
    assert_eq!(place_one(&mut orders, 2), already_placed(2));
    assert_eq!(place_one(&mut orders, 1), PlaceOutcome::Placed(number(5)), "forgotten");
    assert_eq!(place_one(&mut orders, 2), PlaceOutcome::Placed(number(6)), "forgotten");
    assert_eq!(place_one(&mut orders, 1), already_placed(5));
}

#[test]
fn only_the_leader_that_began_its_term_places_in_it() {
    let one = [line(9, "Tux", 1)];
    let table = [
        ("the leader of the current term", 2, place(2, 1, &one), placed(&[PlaceOutcome::Placed(number(1))])),
        ("a batch of a deposed leader that was elected again", 3, place(2, 1, &one), OrderReply::StaleTerm),
        ("a term that has not begun", 3, place(3, 1, &one), OrderReply::StaleTerm),
        ("a batch of a later term", 2, place(3, 1, &one), OrderReply::StaleTerm),
        ("the same term begun again", 2, OrderCommand::Begin { term: Term(2) }, OrderReply::BegunBefore),
        (
            "a Begin command in an entry of a later leader",
            3,
            OrderCommand::Begin { term: Term(2) },
            OrderReply::StaleTerm,
        ),
        ("the next term", 3, OrderCommand::Begin { term: Term(3) }, OrderReply::Begun),
    ];
    for (case, entry_term, command, expected) in table {
        let mut orders = begun(2, 10);
        let count = u64::from(matches!(expected, OrderReply::Decided { .. }));
        assert_eq!(orders.apply(at(entry_term, 7), command), expected, "{case}");
        assert_eq!(orders.count(), count, "{case}");
    }
}

#[test]
fn restored_orders_are_what_they_were() {
    let mut orders = Orders::default();
    orders.apply(at(4, 1), OrderCommand::Begin { term: Term(4) });
    let lines: Vec<_> =
        (0..10_000_u64).map(|n| line(n.into(), if n % 2 == 0 { "Tux" } else { "Whale" }, 1 + n)).collect();
    orders.apply(at(4, 2), place(4, 1, &lines));

    let mut restored = Restored::new(DedupWindow::default());
    for order in orders.after(0) {
        assert_eq!(restored.next_number(), order.number);
        restored.push(order.name.as_str(), order.quantity, order.order_id).unwrap();
    }
    let restored = restored.finish(orders.begun(), &orders.encode_refusals()).unwrap();
    assert_eq!((restored.begun(), restored.count()), (Term(4), 10_000));
    assert!(restored.after(0).eq(orders.after(0)));
    assert_eq!(restored.find(id(1)), orders.find(id(1)));
}

fn refuse(batch: u64, placed: &[OrderLine], refused: &[OrderLine]) -> OrderCommand {
    let id = BatchId { term: Term(1), batch: BatchNumber(batch) };
    let refused =
        refused.iter().map(|line| RefusedOrder { line: line.clone(), reason: RefusalReason::OutOfStock }).collect();
    OrderCommand::Decide { id, orders: placed.to_vec(), refused }
}

#[test]
fn the_first_final_answer_of_an_id_stays_its_answer() {
    let mut orders = begun(1, 10);
    let (placed, refused) = (line(1, "Tux", 1), line(2, "Tux", 9));
    let reply = orders.apply(at(1, 2), refuse(1, std::slice::from_ref(&placed), std::slice::from_ref(&refused)));
    let refusal = FinalAnswer::Refused(RefusalReason::OutOfStock);
    assert_eq!(reply, OrderReply::Decided { orders: vec![PlaceOutcome::Placed(number(1))], refused: vec![refusal] });
    // A late attempt, when more is in stock; and a refusal of an order that is placed.
    let reply = orders.apply(at(1, 3), refuse(2, std::slice::from_ref(&refused), std::slice::from_ref(&placed)));
    let (already_refused, placed_before) = (PlaceOutcome::AlreadyDecided(refusal), FinalAnswer::Placed(number(1)));
    assert_eq!(reply, OrderReply::Decided { orders: vec![already_refused], refused: vec![placed_before] });
    let reply = orders.apply(at(1, 4), place(1, 3, &[line(2, "Fox", 1)]));
    let other_order = PlaceOutcome::AlreadyDecided(FinalAnswer::OtherOrder);
    assert_eq!(reply, OrderReply::Decided { orders: vec![other_order], refused: vec![] }, "nor as another order");
    assert_eq!(orders.decided(), DecidedCounts { placed: 1, refused: 1 });
    let table = [
        (placed, Some(FinalAnswer::Placed(number(1)))),
        (line(1, "Tux", 2), Some(FinalAnswer::OtherOrder)),
        (refused, Some(FinalAnswer::Refused(RefusalReason::OutOfStock))),
        (line(2, "Tux", 8), Some(FinalAnswer::OtherOrder)),
        (line(2, "Fox", 9), Some(FinalAnswer::OtherOrder)),
        (line(3, "Fox", 9), None),
    ];
    for (order, answer) in table {
        assert_eq!(orders.final_answer(&order), answer, "{order:?}");
    }
}

#[test]
fn an_attempt_that_knew_too_little_may_be_for_a_forgotten_order() {
    let mut orders = begun(1, 3);
    for n in 0..5 {
        orders.apply(at(1, 2), refuse(n, &[line(10 + u128::from(n), "Tux", 1)], &[line(20 + u128::from(n), "Tux", 9)]));
    }
    assert_eq!(orders.decided(), DecidedCounts { placed: 5, refused: 5 });
    for known in 0..=5 {
        // Every final answer after `known` is remembered unless it may have been forgotten.
        let forgotten = known < 2;
        let at_least = |n: u64| (n < 5).then_some(FinalAnswer::Placed(number(n + 1)));
        let next = orders.final_answer(&line(10 + u128::from(known), "Tux", 1));
        assert_eq!(next, if forgotten { None } else { at_least(known) });
        let far = u64::MAX;
        assert_eq!(orders.may_have_forgotten(DecidedCounts { placed: known, refused: far }, 0), forgotten, "{known}");
        assert_eq!(orders.may_have_forgotten(DecidedCounts { placed: far, refused: known }, 0), forgotten, "{known}");
        assert_eq!(orders.may_have_forgotten(DecidedCounts { placed: known, refused: far }, 2), known < 4, "{known}");
    }
}
