use super::*;
use api::BatchNumber;

fn at(term: u64, index: u64) -> LogPosition {
    LogPosition { term: Term(term), index }
}

fn id(n: u128) -> OrderId {
    OrderId(uuid::Uuid::from_u128(n))
}

fn line(n: u128, name: &str, quantity: u64) -> OrderLine {
    OrderLine { order_id: id(n), name: ProductName::new(name).unwrap(), quantity: Quantity::new(quantity).unwrap() }
}

fn place(term: u64, batch: u64, orders: &[OrderLine]) -> Command {
    Command::Place { id: BatchId { term: Term(term), batch: BatchNumber(batch) }, orders: orders.to_vec() }
}

fn number(n: u64) -> OrderNumber {
    OrderNumber::new(n).unwrap()
}

fn begun(term: u64, remembered: usize) -> Orders {
    let mut orders = Orders::remembering(remembered);
    assert_eq!(orders.apply(at(term, 1), Command::Begin { term: Term(term) }), Reply::Begun);
    orders
}

#[test]
fn orders_are_numbered_in_their_order_without_gaps() {
    let mut orders = begun(1, 10);
    let first = orders.apply(at(1, 2), place(1, 1, &[line(1, "Tux", 2), line(2, "Whale", 1)]));
    let second = orders.apply(at(1, 3), place(1, 2, &[line(3, "Tux", 5)]));
    assert_eq!(first, Reply::Placed(vec![Placement::Placed(number(1)), Placement::Placed(number(2))]));
    assert_eq!(second, Reply::Placed(vec![Placement::Placed(number(3))]));
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
    let expected =
        [Placement::Placed(number(2)), Placement::AlreadyPlaced(number(1)), Placement::AlreadyPlaced(number(2))];
    assert_eq!(again, Reply::Placed(expected.to_vec()));
    assert_eq!(orders.count(), 2);
}

#[test]
fn an_id_is_forgotten_after_so_many_later_orders_and_no_sooner() {
    let mut orders = begun(1, 3);
    orders.apply(at(1, 2), place(1, 1, &[line(1, "Tux", 1), line(2, "Tux", 1), line(3, "Tux", 1)]));
    let place_one = |orders: &mut Orders, n| match orders.apply(at(1, 3), place(1, 2, &[line(n, "Tux", 1)])) {
        Reply::Placed(placements) => placements[0],
        reply => panic!("{reply:?}"),
    };
    assert_eq!(place_one(&mut orders, 1), Placement::AlreadyPlaced(number(1)));
    assert_eq!(place_one(&mut orders, 4), Placement::Placed(number(4)));
    assert_eq!(place_one(&mut orders, 2), Placement::AlreadyPlaced(number(2)));
    assert_eq!(place_one(&mut orders, 1), Placement::Placed(number(5)), "forgotten");
    assert_eq!(place_one(&mut orders, 2), Placement::Placed(number(6)), "forgotten");
    assert_eq!(place_one(&mut orders, 1), Placement::AlreadyPlaced(number(5)));
}

#[test]
fn only_the_leader_that_opened_its_term_places_in_it() {
    let one = [line(9, "Tux", 1)];
    let table = [
        ("the open term's own leader", 2, place(2, 1, &one), Reply::Placed(vec![Placement::Placed(number(1))])),
        ("a batch of a deposed leader that was elected again", 3, place(2, 1, &one), Reply::StaleTerm),
        ("a term that nobody opened", 3, place(3, 1, &one), Reply::StaleTerm),
        ("a batch from the future", 2, place(3, 1, &one), Reply::StaleTerm),
        ("the same term opened again", 2, Command::Begin { term: Term(2) }, Reply::BegunBefore),
        ("a beginning that a later leader wrote", 3, Command::Begin { term: Term(2) }, Reply::StaleTerm),
        ("the next term", 3, Command::Begin { term: Term(3) }, Reply::Begun),
    ];
    for (case, entry_term, command, expected) in table {
        let mut orders = begun(2, 10);
        let placed = u64::from(matches!(expected, Reply::Placed(_)));
        assert_eq!(orders.apply(at(entry_term, 7), command), expected, "{case}");
        assert_eq!(orders.count(), placed, "{case}");
    }
}

#[test]
fn restored_orders_are_what_they_were() {
    let mut orders = Orders::default();
    orders.apply(at(4, 1), Command::Begin { term: Term(4) });
    let lines: Vec<_> =
        (0..10_000_u64).map(|n| line(n.into(), if n % 2 == 0 { "Tux" } else { "Whale" }, 1 + n)).collect();
    orders.apply(at(4, 2), place(4, 1, &lines));

    let mut restored = Restored::new();
    for order in orders.after(0) {
        assert_eq!(restored.next_number(), order.number);
        restored.push(order.name.as_str(), order.quantity, order.order_id).unwrap();
    }
    let restored = restored.finish(orders.begun());
    assert_eq!((restored.begun(), restored.count()), (Term(4), 10_000));
    assert!(restored.after(0).eq(orders.after(0)));
    assert_eq!(restored.find(id(1)), orders.find(id(1)));
}
