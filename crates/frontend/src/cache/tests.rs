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

/// A cache with a lease of term 1 from its first second to its second one, and those two moments.
fn leased(capacity: usize) -> (Cache, Instant, Instant) {
    let begin = Instant::now();
    let end = begin + Duration::from_secs(1);
    let mut cache = Cache::new(capacity);
    cache.grant(Term(1), end, begin);
    (cache, begin, end)
}

/// The body says which version it is.
fn fill(cache: &mut Cache, ticket: Ticket, text: &str, number: u64, now: Instant) -> Fill {
    cache.fill(ticket, product(text), version(number), Bytes::from(number.to_string()), now)
}

fn fetch(cache: &mut Cache, text: &str, number: u64, now: Instant) -> Fill {
    let ticket = cache.begin_fetch();
    fill(cache, ticket, text, number, now)
}

fn names(cache: &Cache) -> Vec<String> {
    cache.products().iter().map(|product| product.name.to_string()).collect()
}

const KEPT: Fill = Fill::Kept { evicted: false };

#[test]
fn one_more_than_fits_evicts_the_least_recently_used() {
    let (mut cache, now, _) = leased(2);
    assert_eq!(fetch(&mut cache, "Tux", 1, now), KEPT);
    assert_eq!(fetch(&mut cache, "Whale", 1, now), KEPT);
    assert_eq!(cache.hit("Tux", now).unwrap(), "1");
    assert_eq!(names(&cache), ["Tux", "Whale"], "most recently used first");
    assert_eq!(fetch(&mut cache, "Fox", 1, now), Fill::Kept { evicted: true });
    assert_eq!(names(&cache), ["Fox", "Tux"]);
    assert_eq!(cache.hit("Whale", now), None);
}

#[test]
fn a_product_that_is_fetched_twice_takes_one_place() {
    let (mut cache, now, _) = leased(1);
    assert_eq!(fetch(&mut cache, "Tux", 1, now), KEPT);
    assert_eq!(fetch(&mut cache, "Tux", 1, now), KEPT);
    assert_eq!(cache.len(), 1);
}

#[test]
fn a_cache_of_none_keeps_nothing() {
    let (mut cache, now, _) = leased(0);
    assert_eq!(fetch(&mut cache, "Tux", 1, now), Fill::Refused);
    assert_eq!((cache.hit("Tux", now), cache.capacity(), cache.len()), (None, 0, 0));
}

#[test]
fn answers_are_served_only_under_a_valid_lease() {
    let (mut cache, begin, end) = leased(2);
    fetch(&mut cache, "Tux", 1, begin);
    assert!(cache.hit("Tux", begin + Duration::from_nanos(999_999_999)).is_some());
    assert_eq!(cache.hit("Tux", end), None, "the lease ends at its end");
    assert_eq!(fetch(&mut cache, "Fox", 1, end), Fill::Refused);
    cache.expire(end);
    assert!(cache.is_empty());
}

#[test]
fn what_a_lease_leaves_behind() {
    let after = Duration::from_millis(300);
    let table = [
        ("renewed in time", Term(1), Duration::from_millis(900), true),
        ("renewed too late: the catalog may have forgotten us", Term(1), Duration::from_secs(1), false),
        ("granted by another leader, who does not know what we fetched", Term(2), Duration::from_millis(900), false),
    ];
    for (case, term, at, kept) in table {
        let (mut cache, begin, _) = leased(2);
        fetch(&mut cache, "Tux", 1, begin);
        cache.grant(term, begin + at + after, begin + at);
        assert_eq!(cache.hit("Tux", begin + at).is_some(), kept, "{case}");
        assert_eq!(fetch(&mut cache, "Fox", 1, begin + at), KEPT, "{case}");
    }
}

/// All ways in which a fetch of `Tux` can lie among what else happens to the cache.
#[test]
fn a_fetch_is_kept_only_if_nothing_happened_to_its_product_since_it_began() {
    type Event = fn(&mut Cache, Instant);
    let happens: [(&str, Event); 6] = [
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
    for (what, happen) in happens {
        let harmless = what.starts_with("another product") || what == "a renewal";

        let (mut cache, now, _) = leased(2);
        let ticket = cache.begin_fetch();
        happen(&mut cache, now);
        let expected = if harmless { KEPT } else { Fill::Refused };
        assert_eq!(fill(&mut cache, ticket, "Tux", 6, now), expected, "{what} during the fetch");

        let (mut cache, now, _) = leased(2);
        happen(&mut cache, now);
        assert_eq!(fetch(&mut cache, "Tux", 6, now), KEPT, "{what} before the fetch");

        let (mut cache, now, _) = leased(2);
        fetch(&mut cache, "Tux", 5, now);
        happen(&mut cache, now);
        assert_eq!(cache.hit("Tux", now).is_some(), harmless, "{what} after the fetch");
    }
}

#[test]
fn a_version_below_the_last_one_invalidated_is_refused() {
    let (mut cache, now, _) = leased(2);
    cache.invalidate(&invalidated("Tux", 6));
    assert_eq!(fetch(&mut cache, "Tux", 5, now), Fill::Refused);
    cache.remove(&name("Tux"));
    assert_eq!(fetch(&mut cache, "Tux", 5, now), Fill::Refused, "removal by hand knows no version, and loosens none");
    assert_eq!(fetch(&mut cache, "Tux", 6, now), KEPT);
}

#[test]
fn of_two_fetches_the_newer_version_stays() {
    let (mut cache, now, _) = leased(2);
    let (slow, quick) = (cache.begin_fetch(), cache.begin_fetch());
    assert_eq!(fill(&mut cache, quick, "Tux", 7, now), KEPT);
    assert_eq!(fill(&mut cache, slow, "Tux", 6, now), Fill::Refused);
    assert_eq!(cache.hit("Tux", now).unwrap(), "7");
}

#[test]
fn a_new_leaders_versions_may_begin_anew() {
    let (mut cache, now, end) = leased(2);
    cache.invalidate(&invalidated("Tux", 900));
    cache.grant(Term(2), end, now);
    assert_eq!(fetch(&mut cache, "Tux", 1, now), KEPT);
}

#[test]
fn forgotten_invalidations_refuse_too_many_fetches_rather_than_too_few() {
    let mut cache = Cache::remembering(8, NonZeroUsize::MIN);
    let now = Instant::now();
    cache.grant(Term(1), now + Duration::from_secs(1), now);
    let early = cache.begin_fetch();
    cache.invalidate(&invalidated("Tux", 6));
    let late = cache.begin_fetch();
    cache.invalidate(&invalidated("Fox", 6));
    assert_eq!(fill(&mut cache, early, "Tux", 6, now), Fill::Refused, "although only Fox's is remembered");
    assert_eq!(fill(&mut cache, early, "Owl", 1, now), Fill::Refused, "the price of forgetting");
    assert_eq!(fill(&mut cache, late, "Tux", 6, now), KEPT);
}

/// The cache against a model of the catalog, over every order of messages: what is served is what is visible.
mod against_a_catalog {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 3] = ["Tux", "Fox", "Owl"];
    const LEASE: Duration = Duration::from_secs(1);

    #[derive(Clone, Copy, Debug)]
    enum Step {
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
        /// Send, answer and finish: long stories need many that go well.
        Fetch(usize),
        Renew,
    }

    fn step() -> impl Strategy<Value = Step> {
        let which = || 0..8_usize;
        prop_oneof![
            4 => which().prop_map(Step::SendFetch),
            4 => which().prop_map(Step::AnswerFetch),
            4 => which().prop_map(Step::FinishFetch),
            4 => which().prop_map(Step::BeginChange),
            4 => which().prop_map(Step::DeliverInvalidation),
            4 => which().prop_map(Step::Publish),
            2 => Just(Step::SendLease),
            2 => Just(Step::AnswerLease),
            2 => Just(Step::FinishLease),
            1 => Just(Step::RestartCatalog),
            4 => (1..700_u64).prop_map(Step::Wait),
            4 => which().prop_map(Step::Fetch),
            6 => Just(Step::Renew),
        ]
    }

    /// One product at the catalog.
    #[derive(Clone, Copy, Default)]
    struct Item {
        visible: u64,
        changing: bool,
        /// Its change waits for us.
        awaited: bool,
    }

    struct Fetch {
        item: usize,
        ticket: Ticket,
        answer: Option<(u64, bool)>,
    }

    struct World {
        now: Instant,
        cache: Cache,
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
                cache: Cache::remembering(2, NonZeroUsize::new(2).unwrap()),
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

        fn take(&mut self, step: Step) {
            match step {
                Step::SendFetch(item) => {
                    let fetch = Fetch { item: item % NAMES.len(), ticket: self.cache.begin_fetch(), answer: None };
                    self.fetches.push(fetch);
                }
                Step::AnswerFetch(which) => self.answer_fetch(which),
                Step::FinishFetch(which) => self.finish_fetch(which),
                Step::BeginChange(item) => self.begin_change(item % NAMES.len()),
                Step::DeliverInvalidation(which) => self.deliver_invalidation(which),
                Step::Publish(item) => self.publish(item % NAMES.len()),
                Step::SendLease => self.lease_request = Some((self.now, None)),
                Step::AnswerLease => self.answer_lease(),
                Step::FinishLease => {
                    if let Some((sent, Some(term))) = self.lease_request {
                        self.lease_request = None;
                        self.cache.grant(term, sent + LEASE, self.now);
                    }
                }
                Step::RestartCatalog => self.restart(),
                Step::Wait(ms) => self.now += Duration::from_millis(ms),
                Step::Fetch(item) => {
                    self.take(Step::SendFetch(item));
                    let last = self.fetches.len() - 1;
                    self.take(Step::AnswerFetch(last));
                    self.take(Step::FinishFetch(last));
                }
                Step::Renew => {
                    for step in [Step::SendLease, Step::AnswerLease, Step::FinishLease] {
                        self.take(step);
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

        /// What was about to change has not, or will be found changed; it knows no leases, and waits for one to pass.
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
                if let Some(body) = self.cache.hit(text, self.now) {
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
        fn what_is_served_is_what_is_visible(steps in prop::collection::vec(step(), 1..120)) {
            let mut world = World::new();
            for step in steps {
                world.take(step);
                world.check()?;
            }
        }
    }

    #[test]
    fn the_model_does_serve_from_the_cache() {
        let mut world = World::new();
        world.take(Step::Renew);
        world.take(Step::Fetch(0));
        world.check().unwrap();
        assert_eq!(world.served, 1);
    }
}
