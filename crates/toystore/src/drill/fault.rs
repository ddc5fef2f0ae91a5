//! The kinds of faults that a drill can inject.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its name on the command line and in the report.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

faults! {
    /// `kill -9` of the order leader; it is restarted a little later.
    KillLeader = "kill-leader";
    /// `kill -9` of an order follower; it is restarted a little later.
    KillFollower = "kill-follower";
    /// `kill -9` of the catalog; it is restarted at once, because no order can be placed without
    /// it.
    KillCatalog = "kill-catalog";
    /// `kill -9` of a frontend; it is restarted a little later.
    KillFrontend = "kill-frontend";
    /// `kill -9` of all processes at the same moment; all are restarted at once.
    KillAll = "kill-all";
    /// SIGSTOP of the order leader, and SIGCONT long after a new leader was elected.
    PauseLeader = "pause-leader";
    /// The order leader and its followers cannot reach each other; frontends and catalog can reach
    /// all of them.
    PartitionLeader = "partition-leader";
    /// An order follower and the other replicas cannot reach each other.
    PartitionFollower = "partition-follower";
    /// The order leader's messages to its followers are lost; theirs are not.
    PartitionMuteLeader = "partition-mute-leader";
    /// The followers' messages to their leader are lost; its messages are not.
    PartitionDeafLeader = "partition-deaf-leader";
    /// The order leader and the catalog cannot reach each other.
    PartitionCatalog = "partition-catalog";
    /// A frontend and the catalog cannot reach each other.
    PartitionFrontend = "partition-frontend";
    /// The catalog's messages to a frontend are lost: invalidations, and responses to its requests.
    PartitionDeafFrontend = "partition-deaf-frontend";
    /// A frontend's messages to the catalog are lost: its requests, and confirmations of
    /// invalidations.
    PartitionMuteFrontend = "partition-mute-frontend";
    /// Every sync takes 50 ms, on the disk of one member or of all.
    SlowDisk = "slow-disk";
    /// The disk of one member is full, or those of all.
    FullDisk = "full-disk";
    /// An order follower is killed and loses its disk.
    WipeFollower = "wipe-follower";
    /// SIGTERM and restart of every process, one after the other.
    RollingRestart = "rolling-restart";
}

impl Fault {
    /// Whether it needs proxies between the members.
    pub fn is_partition(self) -> bool {
        self.name().starts_with(PARTITION)
    }
}

const PARTITION: &str = "partition-";

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A selection of faults without duplicates: `all`, or names separated by commas; `partition`
/// selects all partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultSelection(pub Vec<Fault>);

impl FromStr for FaultSelection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut chosen = Vec::new();
        for word in text.split(',').map(str::trim) {
            let meant =
                |fault: &&Fault| word == "all" || word == fault.name() || (word == "partition" && fault.is_partition());
            let before = chosen.len();
            chosen.extend(Fault::ALL.iter().filter(meant).copied());
            if chosen.len() == before {
                let names: Vec<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
                return Err(format!("there is no fault {word:?}; choose from all, partition, {}", names.join(", ")));
            }
        }
        chosen.sort_unstable();
        chosen.dedup();
        Ok(Self(chosen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_chosen_by_name_or_in_groups() {
        let chosen = |text: &str| text.parse::<FaultSelection>().unwrap().0;
        assert_eq!(chosen("kill-all, kill-leader,kill-all"), [Fault::KillLeader, Fault::KillAll]);
        assert_eq!(chosen("all"), Fault::ALL);
        let partitions = chosen("partition");
        assert!(partitions.len() > 5 && partitions.iter().all(|fault| fault.is_partition()), "{partitions:?}");
        let error = "kill-leader,,".parse::<FaultSelection>().unwrap_err();
        assert!(error.contains("there is no fault \"\"") && error.contains("rolling-restart"), "{error}");
    }
}
