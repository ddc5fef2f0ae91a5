//! What a request of the console means for a store: which members, links and products it names.

use api::{Ordinal, ProductName};
use store_console::control::SHOPPERS_MAX;
use store_console::{Control, ControlError, Shoppers};

use crate::local::{Direction, StoreLayout, StoreMember};

/// A valid request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Kill(StoreMember),
    Restart(StoreMember),
    Freeze(StoreMember),
    Resume(StoreMember),
    /// An order replica.
    WipeDisk(Ordinal),
    SlowDisk(StoreMember, bool),
    FullDisk(StoreMember, bool),
    Cut(Vec<Direction>),
    Heal(StoreMember, StoreMember),
    HealAll,
    KillAll,
    RestartAll,
    Shoppers(Shoppers),
    Cache(bool),
}

impl Action {
    /// Checks a request for a store with that layout, which sells `products`.
    ///
    /// # Errors
    /// [`ControlError::Invalid`] with what is wrong, for the person who made the request.
    pub(super) fn of(control: Control, layout: &StoreLayout, products: &[ProductName]) -> Result<Self, ControlError> {
        let member = |name: &str| member(name, layout);
        Ok(match control {
            Control::Kill { process } => Self::Kill(member(&process)?),
            Control::Restart { process } => Self::Restart(member(&process)?),
            Control::Freeze { process } => Self::Freeze(member(&process)?),
            Control::Resume { process } => Self::Resume(member(&process)?),
            Control::WipeDisk { process } => Self::WipeDisk(replaceable(member(&process)?)?),
            Control::SlowDisk { process, on } => Self::SlowDisk(with_disk(member(&process)?)?, on),
            Control::FullDisk { process, on } => Self::FullDisk(with_disk(member(&process)?)?, on),
            Control::Partition { from, to, both } => {
                let (from, to) = linked(member(&from)?, member(&to)?, layout)?;
                Self::Cut([(from, to), (to, from)].into_iter().take(if both { 2 } else { 1 }).collect())
            }
            Control::Heal { from, to } => {
                let (from, to) = linked(member(&from)?, member(&to)?, layout)?;
                Self::Heal(from, to)
            }
            Control::HealAll => Self::HealAll,
            Control::KillAll => Self::KillAll,
            Control::RestartAll => Self::RestartAll,
            Control::Shoppers(shoppers) => Self::Shoppers(possible(shoppers, products)?),
            Control::Cache { on } => Self::Cache(on),
        })
    }
}

/// The member with that name. The first one of a kind may be named with or without its number.
fn member(name: &str, layout: &StoreLayout) -> Result<StoreMember, ControlError> {
    let plain = name.strip_suffix("-1").filter(|kind| ["catalog", "frontend"].contains(kind)).unwrap_or(name);
    let members = layout.members();
    members.iter().copied().find(|member| member.to_string() == plain).ok_or_else(|| {
        let names: Vec<_> = members.iter().map(ToString::to_string).collect();
        invalid(format!("there is no process {name:?}; there are {}", names.join(", ")))
    })
}

/// An order replica: the others have what its disk has.
fn replaceable(member: StoreMember) -> Result<Ordinal, ControlError> {
    match member {
        StoreMember::Order(ordinal) => Ok(ordinal),
        StoreMember::Catalog => Err(invalid(
            "the catalog has one replica only: what its disk has would be lost for good, and no order would be \
             accepted any more. Wipe the disk of an order replica",
        )),
        StoreMember::Frontend(_) => Err(no_disk(member)),
    }
}

fn with_disk(member: StoreMember) -> Result<StoreMember, ControlError> {
    match member {
        StoreMember::Frontend(_) => Err(no_disk(member)),
        StoreMember::Catalog | StoreMember::Order(_) => Ok(member),
    }
}

fn no_disk(member: StoreMember) -> ControlError {
    invalid(format!("{member} has no disk: it keeps its cache in memory"))
}

fn linked(from: StoreMember, to: StoreMember, layout: &StoreLayout) -> Result<Direction, ControlError> {
    let links = layout.links();
    let is_between = links.iter().any(|link| [(link.from, link.to), (link.to, link.from)].contains(&(from, to)));
    if is_between {
        Ok((from, to))
    } else {
        Err(invalid(format!("there is no connection between {from} and {to}: they never send each other anything")))
    }
}

fn possible(shoppers: Shoppers, products: &[ProductName]) -> Result<Shoppers, ControlError> {
    let Shoppers { count, order_probability, hot_product } = &shoppers;
    if *count > SHOPPERS_MAX {
        return Err(invalid(format!("{count} shoppers are too many: at most {SHOPPERS_MAX} are possible")));
    }
    if !(0.0..=1.0).contains(order_probability) {
        return Err(invalid(format!("{order_probability} is not a probability: it must be between 0 and 1")));
    }
    if let Some(name) = hot_product.as_ref().filter(|name| !products.contains(name)) {
        return Err(invalid(format!("the store does not sell \"{name}\"")));
    }
    Ok(shoppers)
}

pub(super) fn invalid(what: impl Into<String>) -> ControlError {
    ControlError::Invalid(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tux() -> ProductName {
        ProductName::new("Tux").unwrap()
    }

    fn of(control: Control) -> Result<Action, ControlError> {
        Action::of(control, &StoreLayout::default().with_frontends(2), &[tux()])
    }

    /// Why a request is refused.
    fn refusal(control: Control) -> String {
        match of(control).unwrap_err() {
            ControlError::Invalid(what) => what,
            ControlError::Failed(what) => panic!("it is not called invalid: {what}"),
        }
    }

    fn partition(from: &str, to: &str, both: bool) -> Control {
        Control::Partition { from: from.into(), to: to.into(), both }
    }

    fn shoppers(count: u16, order_probability: f64, hot: Option<&str>) -> Control {
        let hot_product = hot.map(|name| ProductName::new(name).unwrap());
        Control::Shoppers(Shoppers { count, order_probability, hot_product })
    }

    #[test]
    fn an_unknown_process_is_refused_by_every_request_that_names_one() {
        let process = || "order-4".to_owned();
        let controls = [
            Control::Kill { process: process() },
            Control::Restart { process: process() },
            Control::Freeze { process: process() },
            Control::Resume { process: process() },
            Control::WipeDisk { process: process() },
            Control::SlowDisk { process: process(), on: true },
            Control::FullDisk { process: process(), on: true },
            partition("order-4", "order-1", true),
            partition("order-1", "order-4", false),
            Control::Heal { from: "order-1".into(), to: process() },
        ];
        for control in controls {
            let known = "catalog, order-1, order-2, order-3, frontend, frontend-2";
            assert_eq!(refusal(control), format!("there is no process \"order-4\"; there are {known}"));
        }
        for name in ["", "order", "frontend-3", "catalog-2", "order-1-1", "frontend-1-1"] {
            assert!(of(Control::Kill { process: name.into() }).is_err(), "{name:?}");
        }
    }

    #[test]
    fn the_first_process_of_a_kind_has_two_names() {
        let named = |process: &str| of(Control::Freeze { process: process.into() }).unwrap();
        assert_eq!(named("frontend-1"), Action::Freeze(StoreMember::Frontend(1)));
        assert_eq!(named("frontend"), named("frontend-1"));
        assert_eq!(named("catalog"), named("catalog-1"));
        assert_eq!(named("order-1"), Action::Freeze(StoreMember::Order(Ordinal(1))));
    }

    #[test]
    fn only_disks_that_exist_are_slow_full_or_wiped() {
        let process = || "frontend-2".to_owned();
        let [slow, full] =
            [Control::SlowDisk { process: process(), on: true }, Control::FullDisk { process: process(), on: false }];
        for control in [slow, full, Control::WipeDisk { process: process() }] {
            assert_eq!(refusal(control), "frontend-2 has no disk: it keeps its cache in memory");
        }
        assert!(refusal(Control::WipeDisk { process: "catalog".into() }).contains("one replica only"));
        assert_eq!(of(Control::WipeDisk { process: "order-2".into() }), Ok(Action::WipeDisk(Ordinal(2))));
        let slow = Control::SlowDisk { process: "catalog".into(), on: true };
        assert_eq!(of(slow), Ok(Action::SlowDisk(StoreMember::Catalog, true)));
    }

    #[test]
    fn only_links_that_exist_are_cut_and_healed() {
        let (order, catalog) = (StoreMember::Order(Ordinal(1)), StoreMember::Catalog);
        for (from, to) in [("frontend", "frontend-2"), ("order-1", "order-1")] {
            for control in [partition(from, to, true), Control::Heal { from: from.into(), to: to.into() }] {
                let refusal = refusal(control);
                assert!(refusal.starts_with(&format!("there is no connection between {from} and {to}")), "{refusal}");
            }
        }
        assert_eq!(of(partition("catalog", "order-1", false)), Ok(Action::Cut(vec![(catalog, order)])));
        assert_eq!(
            of(partition("order-1", "catalog-1", true)),
            Ok(Action::Cut(vec![(order, catalog), (catalog, order)]))
        );
        assert_eq!(
            of(Control::Heal { from: "order-1".into(), to: "catalog".into() }),
            Ok(Action::Heal(order, catalog))
        );
    }

    #[test]
    fn impossible_shoppers_are_refused() {
        assert!(of(shoppers(SHOPPERS_MAX, 1.0, Some("Tux"))).is_ok());
        assert!(of(shoppers(0, 0.0, None)).is_ok());
        assert_eq!(refusal(shoppers(257, 0.5, None)), "257 shoppers are too many: at most 256 are possible");
        for wrong in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(refusal(shoppers(1, wrong, None)).contains("must be between 0 and 1"), "{wrong}");
        }
        assert_eq!(refusal(shoppers(1, 0.5, Some("Unobtainium"))), "the store does not sell \"Unobtainium\"");
    }
}
