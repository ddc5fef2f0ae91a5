//! How events call processes: by address, or by group and ordinal. People know them by name.

use api::event::Event;
use api::{Address, NodeId, Ordinal};

use crate::source::{ProcessAddress, ServiceKind};

/// The names of all processes.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<ProcessAddress>);

impl Names {
    pub(crate) fn of(list: &[ProcessAddress]) -> Self {
        Self(list.to_vec())
    }

    /// The process at an address.
    pub(crate) fn at(&self, address: &Address) -> Option<&str> {
        let mut all = self.0.iter();
        all.find(|it| it.internal == *address || it.known_as.contains(address)).map(|it| it.name.as_str())
    }

    /// A replica by its ordinal.
    pub(crate) fn replica(&self, service: ServiceKind, ordinal: Ordinal) -> String {
        let known = self.0.iter().find(|it| it.service == service && it.ordinal == ordinal);
        known.map_or_else(|| format!("{}-{ordinal}", service.group()), |it| it.name.clone())
    }

    /// The sentence of an event of the process `name`.
    pub(crate) fn sentence(&self, name: &str, service: ServiceKind, event: &Event) -> String {
        let mut text = format!("{name} {event}");
        if let Some(node) = node(event) {
            replace(&mut text, &node.to_string(), &self.replica(service, node.ordinal()));
        }
        // Also those in the reason of a failure.
        for it in &self.0 {
            for address in std::iter::once(&it.internal).chain(&it.known_as) {
                replace(&mut text, address.as_str(), &it.name);
            }
        }
        for it in self.0.iter().filter(|it| it.service != ServiceKind::Frontend) {
            let called = format!("{}-{}", it.service.group(), it.ordinal);
            if called != it.name {
                replace(&mut text, &called, &it.name);
            }
        }
        text
    }
}

/// The replica of its own group that an event names by its disk.
fn node(event: &Event) -> Option<NodeId> {
    match event {
        Event::Voted { candidate: node, .. }
        | Event::Follows { leader: node, .. }
        | Event::LeadershipTransferred { successor: node }
        | Event::ReplicaJoining { joining: node }
        | Event::ReplicaJoined { joining: node }
        | Event::StateSent { target_id: node, .. }
        | Event::ReplicaStarted { node_id: node, .. } => Some(*node),
        _ => None,
    }
}

/// Replaces whole words only: `order-1` is not part of `order-12`.
fn replace(text: &mut String, from: &str, to: &str) {
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find(from)).map(|found| at + found) {
        let end = found + from.len();
        let is_inside = |next: Option<char>| next.is_some_and(|next| next.is_alphanumeric() || next == '-');
        if is_inside(text[..found].chars().next_back()) || is_inside(text[end..].chars().next()) {
            at = end;
        } else {
            text.replace_range(found..end, to);
            at = found + to.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use api::Term;

    use super::*;

    fn process(name: &str, service: ServiceKind, ordinal: u8, port: u16) -> ProcessAddress {
        let known_as = vec![Address::new("proxy", port)];
        let internal = Address::new("127.0.0.1", port);
        ProcessAddress { name: name.to_owned(), service, ordinal: Ordinal(ordinal), internal, known_as }
    }

    #[test]
    fn sentences_have_the_names_that_people_know() {
        let names = Names::of(&[
            process("frontend", ServiceKind::Frontend, 1, 1111),
            process("catalog", ServiceKind::Catalog, 1, 1130),
            process("order-3", ServiceKind::Order, 3, 1123),
        ]);
        let sentence = |name, service, event: Event| names.sentence(name, service, &event);
        let (term, candidate) = (Term(5), NodeId::new(Ordinal(3), 77));
        let voted = Event::Voted { term, candidate };
        assert_eq!(sentence("order-1", ServiceKind::Order, voted), "order-1 votes for order-3 in term 5");
        for host in ["127.0.0.1", "proxy"] {
            let granted = Event::LeaseGranted { address: Address::new(host, 1111) };
            assert_eq!(sentence("catalog", ServiceKind::Catalog, granted), "catalog grants a lease to frontend");
        }
        let granted = Event::LeaseGranted { address: Address::new("elsewhere", 1) };
        assert_eq!(sentence("catalog", ServiceKind::Catalog, granted), "catalog grants a lease to elsewhere:1");
        let lost = Event::LeaseLost { error: api::event::Text::of("proxy:1130: no answer in time") };
        let text = sentence("frontend", ServiceKind::Frontend, lost);
        assert!(text.ends_with("from the catalog: catalog: no answer in time"), "{text}");
        let suspected = Event::LeaderSuspected { group: "catalog".into(), ordinal: Ordinal(1), term };
        let text = sentence("frontend", ServiceKind::Frontend, suspected);
        assert_eq!(text, "frontend suspects catalog, the leader of term 5");
    }

    #[test]
    fn only_whole_words_are_replaced() {
        let mut text = "a-1 and a-12, xa-1 and a-1".to_owned();
        replace(&mut text, "a-1", "a-1b");
        assert_eq!(text, "a-1b and a-12, xa-1 and a-1b");
    }
}
