use std::time::Duration;

use api::{Price, Stock};

use super::*;

fn name(text: &str) -> ProductName {
    ProductName::new(text).unwrap()
}

fn product(text: &str) -> Product {
    Product { name: name(text), price: Price::from_cents(2599).unwrap(), quantity: Stock(100) }
}

fn version(number: u64) -> ProductVersion {
    ProductVersion(number)
}

fn invalidated(text: &str, number: u64) -> Invalidated {
    Invalidated { name: name(text), version: version(number) }
}

/// A cache with a lease of term 1 that lasts for a second, and the times at which it begins and
/// ends.
fn leased(capacity: usize) -> (LeasedCache, Instant, Instant) {
    let begin = Instant::now();
    let end = begin + Duration::from_secs(1);
    let mut cache = LeasedCache::new(capacity);
    cache.grant(Term(1), end, begin);
    (cache, begin, end)
}

/// Fills with a body that names the version.
fn fill(cache: &mut LeasedCache, ticket: FetchTicket, text: &str, number: u64, now: Instant) -> FillOutcome {
    cache.fill(ticket, product(text), version(number), Bytes::from(number.to_string()), now)
}

fn fetch(cache: &mut LeasedCache, text: &str, number: u64, now: Instant) -> FillOutcome {
    let ticket = cache.begin_fetch();
    fill(cache, ticket, text, number, now)
}

fn names(cache: &LeasedCache) -> Vec<String> {
    cache.products().iter().map(|product| product.name.to_string()).collect()
}

const KEPT: FillOutcome = FillOutcome::Kept { evicted: false };

#[test]
fn a_full_cache_evicts_the_least_recently_used_product() {
    let (mut cache, now, _) = leased(2);
    assert_eq!(fetch(&mut cache, "Tux", 1, now), KEPT);
    assert_eq!(fetch(&mut cache, "Whale", 1, now), KEPT);
    assert_eq!(cache.get("Tux", now).unwrap(), "1");
    assert_eq!(names(&cache), ["Tux", "Whale"], "most recently used first");
    assert_eq!(fetch(&mut cache, "Fox", 1, now), FillOutcome::Kept { evicted: true });
    assert_eq!(names(&cache), ["Fox", "Tux"]);
    assert_eq!(cache.get("Whale", now), None);
}

#[test]
fn a_product_that_is_fetched_twice_has_one_entry() {
    let (mut cache, now, _) = leased(1);
    assert_eq!(fetch(&mut cache, "Tux", 1, now), KEPT);
    assert_eq!(fetch(&mut cache, "Tux", 1, now), KEPT);
    assert_eq!(cache.len(), 1);
}

#[test]
fn a_cache_without_capacity_keeps_nothing() {
    let (mut cache, now, _) = leased(0);
    assert_eq!(fetch(&mut cache, "Tux", 1, now), FillOutcome::Refused);
    assert_eq!((cache.get("Tux", now), cache.capacity(), cache.len()), (None, 0, 0));
}

#[test]
fn the_list_is_served_under_the_lease_until_any_product_is_invalidated() {
    let (mut cache, begin, end) = leased(2);
    let fetch = |cache: &mut LeasedCache| {
        let ticket = cache.begin_fetch();
        cache.fill_list(ticket, Bytes::from_static(b"all"), begin)
    };
    assert!(fetch(&mut cache));
    assert_eq!((cache.get_list(begin).unwrap(), cache.get_list(end)), (Bytes::from_static(b"all"), None));
    cache.invalidate(&invalidated("Tux", 2));
    assert_eq!(cache.get_list(begin), None);

    let ticket = cache.begin_fetch();
    cache.invalidate(&invalidated("Whale", 2));
    assert!(!cache.fill_list(ticket, Bytes::from_static(b"all"), begin), "it may contain the old whale");
    assert!(fetch(&mut cache));
    cache.remove(&name("Tux"));
    assert_eq!(cache.get_list(begin), None);
    assert!(fetch(&mut cache));
    cache.grant(Term(2), end, begin);
    assert_eq!(cache.get_list(begin), None, "another leader does not know that it was fetched");
    assert!(fetch(&mut cache));
    cache.end_lease();
    assert!(cache.get_list(begin).is_none() && !fetch(&mut cache));
    assert!(!fetch(&mut leased(0).0), "the cache is switched off");
}

#[test]
fn products_are_served_only_under_a_valid_lease() {
    let (mut cache, begin, end) = leased(2);
    fetch(&mut cache, "Tux", 1, begin);
    assert!(cache.get("Tux", begin + Duration::from_nanos(999_999_999)).is_some());
    assert_eq!(cache.get("Tux", end), None, "the lease is invalid from its end on");
    assert_eq!(fetch(&mut cache, "Fox", 1, end), FillOutcome::Refused);
    cache.expire(end);
    assert!(cache.is_empty());
}

#[test]
fn a_renewal_keeps_what_was_fetched_only_if_the_catalog_still_tracks_it() {
    let after = Duration::from_millis(300);
    let table = [
        ("renewed in time", Term(1), Duration::from_millis(900), true),
        ("renewed too late: the catalog may no longer track us", Term(1), Duration::from_secs(1), false),
        ("granted by another leader, which does not know what we fetched", Term(2), Duration::from_millis(900), false),
    ];
    for (case, term, at, kept) in table {
        let (mut cache, begin, _) = leased(2);
        fetch(&mut cache, "Tux", 1, begin);
        cache.grant(term, begin + at + after, begin + at);
        assert_eq!(cache.get("Tux", begin + at).is_some(), kept, "{case}");
        assert_eq!(fetch(&mut cache, "Fox", 1, begin + at), KEPT, "{case}");
    }
}

/// A fetch of `Tux` before, during and after every other event.
#[test]
fn a_fetched_product_is_kept_only_if_nothing_happened_to_it_since_the_fetch_began() {
    type Action = fn(&mut LeasedCache, Instant);
    let events: [(&str, Action); 6] = [
        ("its invalidation", |cache, _| {
            cache.invalidate(&invalidated("Tux", 6));
        }),
        ("its removal by hand", |cache, _| {
            cache.remove(&name("Tux"));
        }),
        ("a lease of another term", |cache, now| cache.grant(Term(2), now + Duration::from_secs(1), now)),
        ("the lease's end and a new one of the same term", |cache, now| {
            cache.end_lease();
            cache.grant(Term(1), now + Duration::from_secs(1), now);
        }),
        ("another product's invalidation", |cache, _| {
            cache.invalidate(&invalidated("Fox", 6));
        }),
        ("a renewal", |cache, now| cache.grant(Term(1), now + Duration::from_secs(2), now)),
    ];
    for (what, act) in events {
        let harmless = what.starts_with("another product") || what == "a renewal";

        let (mut cache, now, _) = leased(2);
        let ticket = cache.begin_fetch();
        act(&mut cache, now);
        let expected = if harmless { KEPT } else { FillOutcome::Refused };
        assert_eq!(fill(&mut cache, ticket, "Tux", 6, now), expected, "{what} during the fetch");

        let (mut cache, now, _) = leased(2);
        act(&mut cache, now);
        assert_eq!(fetch(&mut cache, "Tux", 6, now), KEPT, "{what} before the fetch");

        let (mut cache, now, _) = leased(2);
        fetch(&mut cache, "Tux", 5, now);
        act(&mut cache, now);
        assert_eq!(cache.get("Tux", now).is_some(), harmless, "{what} after the fetch");
    }
}

#[test]
fn a_version_below_the_last_one_invalidated_is_refused() {
    let (mut cache, now, _) = leased(2);
    cache.invalidate(&invalidated("Tux", 6));
    assert_eq!(fetch(&mut cache, "Tux", 5, now), FillOutcome::Refused);
    cache.remove(&name("Tux"));
    assert_eq!(
        fetch(&mut cache, "Tux", 5, now),
        FillOutcome::Refused,
        "removal by hand has no version and does not lower the known one"
    );
    assert_eq!(fetch(&mut cache, "Tux", 6, now), KEPT);
}

#[test]
fn the_newer_version_of_two_fetches_stays() {
    let (mut cache, now, _) = leased(2);
    let (slow, quick) = (cache.begin_fetch(), cache.begin_fetch());
    assert_eq!(fill(&mut cache, quick, "Tux", 7, now), KEPT);
    assert_eq!(fill(&mut cache, slow, "Tux", 6, now), FillOutcome::Refused);
    assert_eq!(cache.get("Tux", now).unwrap(), "7");
}

#[test]
fn versions_may_start_over_under_a_new_leader() {
    let (mut cache, now, end) = leased(2);
    cache.invalidate(&invalidated("Tux", 900));
    cache.grant(Term(2), end, now);
    assert_eq!(fetch(&mut cache, "Tux", 1, now), KEPT);
}

#[test]
fn a_forgotten_invalidation_refuses_too_many_fetches_rather_than_too_few() {
    let mut cache = LeasedCache::with_history(8, NonZeroUsize::MIN);
    let now = Instant::now();
    cache.grant(Term(1), now + Duration::from_secs(1), now);
    let early = cache.begin_fetch();
    cache.invalidate(&invalidated("Tux", 6));
    let late = cache.begin_fetch();
    cache.invalidate(&invalidated("Fox", 6));
    assert_eq!(
        fill(&mut cache, early, "Tux", 6, now),
        FillOutcome::Refused,
        "although only the invalidation of Fox is remembered"
    );
    assert_eq!(fill(&mut cache, early, "Owl", 1, now), FillOutcome::Refused, "the price of forgetting");
    assert_eq!(fill(&mut cache, late, "Tux", 6, now), KEPT);
}

/// The cache against a model of the catalog, with messages in any order: it only serves what is
/// visible at the catalog.
mod against_a_catalog {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 3] = ["Tux", "Fox", "Owl"];
    const LEASE: Duration = Duration::from_secs(1);

    #[derive(Clone, Copy, Debug)]
    enum Event {
        SendFetch(usize),
        AnswerFetch(usize),
        FinishFetch(usize),
        BeginChange(usize),
        DeliverInvalidation(usize),
        Publish(usize),
        SendLease,
        AnswerLease,
        FinishLease,
        RestartCatalog,
        Wait(u64),
        /// Send, answer and finish, so that long runs contain enough complete fetches.
        Fetch(usize),
        Renew,
    }

    fn event() -> impl Strategy<Value = Event> {
        let which = || 0..8_usize;
        prop_oneof![
            4 => which().prop_map(Event::SendFetch),
            4 => which().prop_map(Event::AnswerFetch),
            4 => which().prop_map(Event::FinishFetch),
            4 => which().prop_map(Event::BeginChange),
            4 => which().prop_map(Event::DeliverInvalidation),
            4 => which().prop_map(Event::Publish),
            2 => Just(Event::SendLease),
            2 => Just(Event::AnswerLease),
            2 => Just(Event::FinishLease),
            1 => Just(Event::RestartCatalog),
            4 => (1..700_u64).prop_map(Event::Wait),
            4 => which().prop_map(Event::Fetch),
            6 => Just(Event::Renew),
        ]
    }

    /// One product at the catalog.
    #[derive(Clone, Copy, Default)]
    struct Item {
        visible: u64,
        changing: bool,
        /// Its change waits for our confirmation.
        awaited: bool,
    }

    struct Fetch {
        item: usize,
        ticket: FetchTicket,
        answer: Option<(u64, bool)>,
    }

    struct World {
        now: Instant,
        cache: LeasedCache,
        items: [Item; 3],
        term: Term,
        lease_until: Option<Instant>,
        quiet_until: Instant,
        fetched: BTreeSet<usize>,
        fetches: Vec<Fetch>,
        invalidations: Vec<(usize, u64)>,
        lease_request: Option<(Instant, Option<Term>)>,
        served: usize,
    }

    impl World {
        fn new() -> Self {
            let now = Instant::now();
            Self {
                now,
                cache: LeasedCache::with_history(2, NonZeroUsize::new(2).unwrap()),
                items: [Item::default(); 3],
                term: Term(1),
                lease_until: None,
                quiet_until: now,
                fetched: BTreeSet::new(),
                fetches: Vec::new(),
                invalidations: Vec::new(),
                lease_request: None,
                served: 0,
            }
        }

        fn lease_held(&self) -> bool {
            self.lease_until.is_some_and(|until| self.now < until)
        }

        fn apply(&mut self, event: Event) {
            match event {
                Event::SendFetch(item) => {
                    let fetch = Fetch { item: item % NAMES.len(), ticket: self.cache.begin_fetch(), answer: None };
                    self.fetches.push(fetch);
                }
                Event::AnswerFetch(which) => self.answer_fetch(which),
                Event::FinishFetch(which) => self.finish_fetch(which),
                Event::BeginChange(item) => self.begin_change(item % NAMES.len()),
                Event::DeliverInvalidation(which) => self.deliver_invalidation(which),
                Event::Publish(item) => self.publish(item % NAMES.len()),
                Event::SendLease => self.lease_request = Some((self.now, None)),
                Event::AnswerLease => self.answer_lease(),
                Event::FinishLease => {
                    if let Some((sent, Some(term))) = self.lease_request {
                        self.lease_request = None;
                        self.cache.grant(term, sent + LEASE, self.now);
                    }
                }
                Event::RestartCatalog => self.restart(),
                Event::Wait(ms) => self.now += Duration::from_millis(ms),
                Event::Fetch(item) => {
                    self.apply(Event::SendFetch(item));
                    let last = self.fetches.len() - 1;
                    self.apply(Event::AnswerFetch(last));
                    self.apply(Event::FinishFetch(last));
                }
                Event::Renew => {
                    for event in [Event::SendLease, Event::AnswerLease, Event::FinishLease] {
                        self.apply(event);
                    }
                }
            }
        }

        fn answer_fetch(&mut self, which: usize) {
            let held = self.lease_held();
            let Some(index) = which.checked_rem(self.fetches.len()) else { return };
            let fetch = &mut self.fetches[index];
            if fetch.answer.is_none() {
                let item = self.items[fetch.item];
                let cacheable = held && !item.changing;
                fetch.answer = Some((item.visible, cacheable));
                if cacheable {
                    self.fetched.insert(fetch.item);
                }
            }
        }

        fn finish_fetch(&mut self, which: usize) {
            let Some(index) = which.checked_rem(self.fetches.len()) else { return };
            if let Some((number, cacheable)) = self.fetches[index].answer {
                let fetch = self.fetches.swap_remove(index);
                if cacheable {
                    fill(&mut self.cache, fetch.ticket, NAMES[fetch.item], number, self.now);
                }
            }
        }

        fn begin_change(&mut self, item: usize) {
            if self.items[item].changing {
                return;
            }
            let awaited = self.lease_held() && self.fetched.contains(&item);
            if awaited {
                self.invalidations.push((item, self.items[item].visible + 1));
            }
            self.items[item] = Item { changing: true, awaited, ..self.items[item] };
        }

        fn deliver_invalidation(&mut self, which: usize) {
            let Some(index) = which.checked_rem(self.invalidations.len()) else { return };
            let (item, number) = self.invalidations.swap_remove(index);
            self.cache.invalidate(&invalidated(NAMES[item], number));
            if self.items[item].changing && self.items[item].visible + 1 == number {
                self.items[item].awaited = false;
                self.fetched.remove(&item);
            }
        }

        fn publish(&mut self, item: usize) {
            let confirmed = !self.items[item].awaited || !self.lease_held();
            if self.items[item].changing && confirmed && self.now >= self.quiet_until {
                self.items[item] = Item { visible: self.items[item].visible + 1, changing: false, awaited: false };
            }
        }

        fn answer_lease(&mut self) {
            let held = self.lease_held();
            if let Some((_, answer @ None)) = &mut self.lease_request {
                if !held {
                    self.fetched.clear();
                }
                *answer = Some(self.term);
                self.lease_until = Some(self.now + LEASE);
            }
        }

        /// A change that was in progress is either undone or complete after the restart. The
        /// catalog has lost its leases, and waits for as long as a lease may last.
        fn restart(&mut self) {
            self.term.0 += 1;
            self.lease_until = None;
            self.quiet_until = self.now + LEASE;
            self.fetched.clear();
            for item in &mut self.items {
                item.awaited = false;
            }
        }

        fn check(&mut self) -> Result<(), TestCaseError> {
            for (item, text) in self.items.iter().zip(NAMES) {
                if let Some(body) = self.cache.get(text, self.now) {
                    self.served += 1;
                    prop_assert_eq!(body, item.visible.to_string(), "{} is stale", text);
                }
            }
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn only_visible_versions_are_served(events in prop::collection::vec(event(), 1..120)) {
            let mut world = World::new();
            for event in events {
                world.apply(event);
                world.check()?;
            }
        }
    }

    #[test]
    fn the_model_serves_from_the_cache() {
        let mut world = World::new();
        world.apply(Event::Renew);
        world.apply(Event::Fetch(0));
        world.check().unwrap();
        assert_eq!(world.served, 1);
    }
}
