//! The members as those who watch them know them: the console, and the recorder of a drill.

use api::{Address, Ordinal};
use store_console::{ProcessAddress, ServiceKind};

use super::layout::{Link, StoreLayout, StoreMember};

impl StoreLayout {
    /// The name and the internal address of each member.
    pub fn process_addresses(&self) -> Vec<ProcessAddress> {
        self.members().into_iter().map(|member| self.process_address(member)).collect()
    }

    fn process_address(&self, member: StoreMember) -> ProcessAddress {
        let internal = self.internal(member);
        let (service, ordinal) = match member {
            StoreMember::Catalog => (ServiceKind::Catalog, Ordinal(1)),
            StoreMember::Order(ordinal) => (ServiceKind::Order, ordinal),
            StoreMember::Frontend(n) => (ServiceKind::Frontend, Ordinal(n)),
        };
        // The catalog may know a frontend by the port of a proxy.
        let links = self.links().into_iter().filter(|link: &Link| link.to == member);
        let ports = links.map(|link| self.caller_port(link));
        let mut known_as: Vec<_> = ports.map(|port| Address::new(internal.host(), port)).collect();
        known_as.retain(|address| *address != internal);
        ProcessAddress { name: member.to_string(), service, ordinal, internal, known_as }
    }
}
