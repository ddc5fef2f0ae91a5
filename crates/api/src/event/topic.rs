//! What an event is about.

/// What an event is about: it decides the colour of its mark on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Who leads.
    Election,
    /// Who belongs to a group, and how a replica gets its state.
    Member,
    /// Orders and stock.
    Order,
    /// Caches, leases and invalidations.
    Cache,
    /// A process lacks what it needs.
    Fault,
    /// A process works, or has what it needs again.
    Good,
}

impl Topic {
    /// The name on the pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Election => "election",
            Self::Member => "member",
            Self::Order => "order",
            Self::Cache => "cache",
            Self::Fault => "fault",
            Self::Good => "good",
        }
    }
}
