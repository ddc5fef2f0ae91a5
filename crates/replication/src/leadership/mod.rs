//! Who leads, and what a leader may do.
//!
//! openraft's own election timer is off. A frontend that watches the group asks a replica to stand
//! for election. Votes still decide, so a wrong or repeated request costs time and never an entry.
//!
//! # Reading order
//! 1. [`leader_contact`]: how recently a replica heard from its leader.
//! 2. [`campaign`]: standing for election, and [`campaign_limit`]: how often others can request it.
//! 3. [`read_index`]: how a leader confirms that it still leads, before it answers a read.
//! 4. [`transfer`]: how a leader passes leadership on before it stops.
//! 5. [`term_loop`]: what a service does in each term in which its replica leads.
//! 6. [`readiness`]: whether this replica has caught up with its leader.

pub(crate) mod campaign;
pub(crate) mod campaign_limit;
pub(crate) mod leader_contact;
pub(crate) mod read_index;
pub(crate) mod readiness;
pub(crate) mod term_loop;
pub(crate) mod transfer;
