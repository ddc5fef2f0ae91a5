//! What can be done to a store.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// One kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Its word on the command line and in the report.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

faults! {
    /// `kill -9` of the order leader; restarted a little later.
    KillLeader = "kill-leader";
    /// `kill -9` of an order follower; restarted a little later.
    KillFollower = "kill-follower";
    /// `kill -9` of the catalog; restarted at once, since nothing goes on without it.
    KillCatalog = "kill-catalog";
    /// `kill -9` of a frontend; restarted a little later.
    KillFrontend = "kill-frontend";
    /// `kill -9` of every process at the same moment; all restarted at once.
    KillAll = "kill-all";
    /// SIGSTOP of the order leader, and SIGCONT when others have long gone on.
    PauseLeader = "pause-leader";
    /// The order leader and its followers do not reach each other; frontends and catalog reach all of them.
    PartitionLeader = "partition-leader";
    /// An order follower and the other replicas do not reach each other.
    PartitionFollower = "partition-follower";
    /// What the order leader sends to its followers is lost, what they send is not.
    PartitionMuteLeader = "partition-mute-leader";
    /// What the followers send to their leader is lost, what it sends is not.
    PartitionDeafLeader = "partition-deaf-leader";
    /// The order leader and the catalog do not reach each other.
    PartitionCatalog = "partition-catalog";
    /// A frontend and the catalog do not reach each other.
    PartitionFrontend = "partition-frontend";
    /// What the catalog sends to a frontend is lost: invalidations, and the answers to its requests.
    PartitionDeafFrontend = "partition-deaf-frontend";
    /// What a frontend sends to the catalog is lost: its requests, and the confirmations of invalidations.
    PartitionMuteFrontend = "partition-mute-frontend";
    /// 50 ms for each sync of one replica's disk, or of all.
    SlowDisk = "slow-disk";
    /// No room on one replica's disk, or on all.
    FullDisk = "full-disk";
    /// An order follower loses its disk.
    WipeFollower = "wipe-follower";
    /// SIGTERM and a new start of every process, one after the other.
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

/// Kinds of faults to choose from, each once: `all`, or names with commas between; `partition` stands for all partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl FromStr for Faults {
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
                return Err(format!("there is no fault {word:?}; there are all, partition, {}", names.join(", ")));
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
        let chosen = |text: &str| text.parse::<Faults>().unwrap().0;
        assert_eq!(chosen("kill-all, kill-leader,kill-all"), [Fault::KillLeader, Fault::KillAll]);
        assert_eq!(chosen("all"), Fault::ALL);
        let partitions = chosen("partition");
        assert!(partitions.len() > 5 && partitions.iter().all(|fault| fault.is_partition()), "{partitions:?}");
        let error = "kill-leader,,".parse::<Faults>().unwrap_err();
        assert!(error.contains("there is no fault \"\"") && error.contains("rolling-restart"), "{error}");
    }
}
