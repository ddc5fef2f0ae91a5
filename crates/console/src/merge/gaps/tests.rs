use super::*;

const ORDER: ServiceKind = ServiceKind::Order;

/// ms to µs.
fn at(ms: u64) -> u64 {
    ms * 1000
}

fn leads(gaps: &mut Gaps, ordinal: u8, term: u64, ms: u64) {
    gaps.event(ORDER, Ordinal(ordinal), &Event::Leads { group: "order".into(), term: Term(term) }, at(ms));
}

fn suspects(gaps: &mut Gaps, ordinal: u8, term: u64, ms: u64) {
    let event = Event::LeaderSuspected { group: "order".into(), ordinal: Ordinal(ordinal), term: Term(term) };
    gaps.event(ServiceKind::Frontend, Ordinal(1), &event, at(ms));
}

fn places(gaps: &mut Gaps, ordinal: u8, term: u64, ms: u64) {
    let event = serde_json::from_value(serde_json::json!({
        "kind": "batch_placed", "term": term, "batch": 1, "orders": 1, "last": 1, "elapsed_us": 1
    }));
    gaps.event(ORDER, Ordinal(ordinal), &event.unwrap(), at(ms));
}

fn sentences(gaps: &mut Gaps, now_ms: u64) -> Vec<String> {
    gaps.take(at(now_ms)).iter().map(ToString::to_string).collect()
}

#[test]
fn from_the_first_suspicion_to_the_next_order() {
    let mut gaps = Gaps::default();
    leads(&mut gaps, 1, 4, 100);
    assert_eq!(sentences(&mut gaps, 10_000), [""; 0], "the first leader ends no gap");
    // The events of different processes arrive in any order.
    leads(&mut gaps, 3, 5, 20_012);
    suspects(&mut gaps, 1, 4, 20_003);
    places(&mut gaps, 3, 5, 20_017);
    suspects(&mut gaps, 1, 4, 20_000);
    places(&mut gaps, 3, 5, 20_015);
    assert_eq!(sentences(&mut gaps, 20_100), [""; 0], "earlier events may still arrive");
    assert_eq!(sentences(&mut gaps, 20_500), ["12 ms without a leader, 15 ms until the next order"]);
    assert_eq!(sentences(&mut gaps, 21_000), [""; 0], "it is reported once");
    assert_eq!(gaps.longest_ms(at(21_000)), Some(15.0));
    assert_eq!(gaps.longest_ms(at(700_000)), None, "after ten minutes it is forgotten");
}

#[test]
fn without_orders_the_gap_ends_with_the_election() {
    let mut gaps = Gaps::default();
    leads(&mut gaps, 1, 4, 100);
    gaps.ended(ORDER, Ordinal(2), at(900));
    gaps.ended(ORDER, Ordinal(1), at(1000));
    suspects(&mut gaps, 1, 4, 1150);
    leads(&mut gaps, 2, 5, 1200);
    assert_eq!(sentences(&mut gaps, 2000), [""; 0]);
    assert_eq!(sentences(&mut gaps, 3000), ["200 ms without a leader; no order was placed soon after"]);
}

#[test]
fn of_several_elections_the_last_one_ends_the_gap() {
    let mut gaps = Gaps::default();
    leads(&mut gaps, 1, 4, 100);
    suspects(&mut gaps, 1, 4, 1000);
    leads(&mut gaps, 2, 5, 1010);
    leads(&mut gaps, 3, 6, 1030);
    leads(&mut gaps, 3, 6, 1030);
    places(&mut gaps, 3, 6, 1040);
    assert_eq!(sentences(&mut gaps, 2000), ["30 ms without a leader, 40 ms until the next order"]);
}

#[test]
fn a_leader_that_was_silent_had_ended_before_it_was_suspected() {
    let mut gaps = Gaps::default();
    leads(&mut gaps, 1, 4, 100);
    suspects(&mut gaps, 1, 4, 1100);
    leads(&mut gaps, 2, 5, 1110);
    let confirmed = |reason: &'static str| Event::LeaderConfirmed {
        group: "order".into(),
        ordinal: Ordinal(2),
        term: Term(5),
        reason: reason.into(),
        elapsed_ms: api::event::Milliseconds(120),
    };
    gaps.event(ServiceKind::Frontend, Ordinal(1), &confirmed("silent"), at(1120));
    assert_eq!(sentences(&mut gaps, 3000), ["110 ms without a leader; no order was placed soon after"]);
}

#[test]
fn a_wrong_suspicion_is_no_end() {
    let mut gaps = Gaps::default();
    leads(&mut gaps, 1, 4, 100);
    suspects(&mut gaps, 1, 4, 1000);
    let found = Event::LeaderFound { group: "order".into(), ordinal: Ordinal(1), term: Term(4) };
    gaps.event(ServiceKind::Frontend, Ordinal(1), &found, at(1020));
    gaps.ended(ORDER, Ordinal(1), at(2000));
    gaps.leads(ORDER, Ordinal(1), Term(4), at(2900));
    gaps.leads(ORDER, Ordinal(1), Term(4), at(3100));
    leads(&mut gaps, 2, 5, 60_000);
    assert_eq!(sentences(&mut gaps, 70_000), [""; 0], "nothing is known of the end of the first leader");
}

#[test]
fn a_console_that_comes_later_learns_who_leads_from_the_status() {
    let mut gaps = Gaps::default();
    gaps.leads(ORDER, Ordinal(1), Term(4), at(0));
    suspects(&mut gaps, 1, 4, 1000);
    // The status of the new leader may arrive before its event.
    gaps.leads(ORDER, Ordinal(2), Term(5), at(1020));
    leads(&mut gaps, 2, 5, 1010);
    assert_eq!(sentences(&mut gaps, 3000), ["10 ms without a leader; no order was placed soon after"]);
}

#[test]
fn orders_wait_for_the_catalog_too() {
    let mut gaps = Gaps::default();
    let leads = |term| Event::Leads { group: "catalog".into(), term: Term(term) };
    gaps.event(ServiceKind::Catalog, Ordinal(1), &leads(1), at(0));
    gaps.ended(ServiceKind::Catalog, Ordinal(1), at(1000));
    gaps.event(ServiceKind::Catalog, Ordinal(1), &leads(2), at(1300));
    places(&mut gaps, 1, 4, 1200);
    places(&mut gaps, 1, 4, 1400);
    assert_eq!(sentences(&mut gaps, 2000), ["300 ms without a catalog leader, 400 ms until the next order"]);
}
