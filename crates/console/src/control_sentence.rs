//! What a click does, for the list of events.

use std::fmt;

use crate::control::{Control, Shoppers};

impl Control {
    /// The name of the action on the wire.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::Restart { .. } => "restart",
            Self::Freeze { .. } => "freeze",
            Self::Resume { .. } => "resume",
            Self::WipeDisk { .. } => "wipe_disk",
            Self::SlowDisk { .. } => "slow_disk",
            Self::FullDisk { .. } => "full_disk",
            Self::Partition { .. } => "partition",
            Self::Heal { .. } => "heal",
            Self::HealAll => "heal_all",
            Self::KillAll => "kill_all",
            Self::RestartAll => "restart_all",
            Self::Shoppers(_) => "shoppers",
            Self::Cache { .. } => "cache",
        }
    }

    /// The process to which it is done, if it is one.
    pub(crate) fn process(&self) -> Option<&str> {
        match self {
            Self::Kill { process }
            | Self::Restart { process }
            | Self::Freeze { process }
            | Self::Resume { process }
            | Self::WipeDisk { process }
            | Self::SlowDisk { process, .. }
            | Self::FullDisk { process, .. } => Some(process),
            _ => None,
        }
    }

    /// Whether the process does not lead any more after this, if it led before.
    pub(crate) fn may_end_leadership_of(&self, name: &str) -> bool {
        match self {
            Self::Kill { process }
            | Self::Restart { process }
            | Self::Freeze { process }
            | Self::WipeDisk { process } => process == name,
            Self::KillAll => true,
            _ => false,
        }
    }
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { process } => write!(f, "{process} is killed from the console (kill -9)"),
            Self::Restart { process } => write!(f, "{process} is restarted from the console"),
            Self::Freeze { process } => write!(f, "{process} is frozen from the console"),
            Self::Resume { process } => write!(f, "{process} is resumed from the console"),
            Self::WipeDisk { process } => write!(f, "{process} loses its disk from the console"),
            Self::SlowDisk { process, on: true } => write!(f, "{process} gets a slow disk from the console"),
            Self::SlowDisk { process, on: false } => write!(f, "{process} has a fast disk again"),
            Self::FullDisk { process, on: true } => write!(f, "{process} gets a full disk from the console"),
            Self::FullDisk { process, on: false } => write!(f, "{process} has free disk space again"),
            Self::Partition { from, to, both: true } => write!(f, "{from} and {to} are cut off from each other"),
            Self::Partition { from, to, both: false } => write!(f, "nothing that {from} sends reaches {to} any more"),
            Self::Heal { from, to } => write!(f, "{from} and {to} reach each other again"),
            Self::HealAll => f.write_str("all faults are ended from the console"),
            Self::KillAll => f.write_str("all processes are killed from the console at the same moment"),
            Self::RestartAll => f.write_str("all processes are restarted from the console, one after the other"),
            Self::Shoppers(Shoppers { count: 0, .. }) => f.write_str("the shoppers leave"),
            Self::Shoppers(Shoppers { count, order_probability, hot_product }) => {
                write!(f, "{count} shoppers order what they look at with probability {order_probability}")?;
                hot_product.as_ref().map_or(Ok(()), |product| write!(f, "; nearly all of them want {product}"))
            }
            Self::Cache { on: true } => f.write_str("the caches are switched on"),
            Self::Cache { on: false } => f.write_str("the caches are switched off"),
        }
    }
}
