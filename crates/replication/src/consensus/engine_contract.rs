//! Where openraft is told something that is not true yet, and the gate that makes it true before
//! anything relies on it.
//!
//! openraft 0.9 waits for the disk in its own loop: while a leader's disk syncs, the leader sends
//! nothing and accepts nothing. So it is told some things early. For each of them, a *gate* outside
//! openraft holds back everything that depends on it. A change to one of these places has to
//! show that its gate still holds. Read this page before you update openraft.
//!
//! # 1. Entries count as flushed when they are queued
//! [`LogStore::append`](openraft::storage::RaftLogStorage::append) in
//! [`log_storage`](super::log_storage) calls `log_io_completed` before the sync. So a leader sends
//! entries to its followers while its own disk works (the Raft thesis, §10.2.1, allows this), and
//! openraft counts them as stored on this replica. Nothing that depends on an entry leaves the
//! process before the entry is on this disk ([`Flushed`](crate::log::Flushed)):
//!
//! | depends on it | gate |
//! |---|---|
//! | a follower's answer to the leader | [`Core::append_flushed`](crate::core::Core::append_flushed) waits for the entries that the answer acknowledges |
//! | applying an entry, and so every reply, checkpoint and read | [`MachineStore::apply`](openraft::storage::RaftStateMachine::apply) waits for the last entry |
//! | a commit index told to followers, which counts the leader's own copy | [`RaftConnection`](super::raft_network::RaftConnection) caps `leader_commit` at what is flushed |
//! | the commit index in the replica's status | [`Core::status`](crate::core::Core::status) caps it likewise |
//!
//! Therefore, whatever is reported as committed is on the disks of a majority, this one included.
//! Votes and truncations are not told early: [`LogStore::write`](crate::log::LogStore::write)
//! returns when they are on disk.
//!
//! # 2. A received state counts as installed while the log is still purged
//! openraft asks for a purge as soon as it has *begun* to install a state. A crash in between would
//! leave a log that starts after the state ends. Gate:
//! [`LogStore::purge`](openraft::storage::RaftLogStorage::purge) waits until a durable checkpoint
//! covers the entries. Conversely, the state is ahead of the log on disk until the purge is
//! flushed. Gate: the received file is [kept](super::checkpoint::ReceivedFile::keep) until then,
//! and tells the next start why the state may be ahead.
//!
//! # 3. An append that only reports commits is answered locally
//! After each commit openraft sends every follower an append without entries. The
//! [`RaftConnection`](super::raft_network::RaftConnection) answers it with `Success` itself. That
//! is true of the log: the follower's last answer has acknowledged the same entries. It is not yet
//! true of the commit index. Gate: the commit index travels with the next entries, or after 5 ms;
//! nothing waits for what a follower applies. It also pretends that the follower has just confirmed
//! the leader. Gate: an append that reports nothing new (a heartbeat), or that comes more than half
//! a heartbeat after the last answer, is always sent. A leader that confirms its leadership
//! ([`read_index`](crate::leadership::read_index)) uses new connections, over which nothing was
//! acknowledged yet, so its requests are always sent, too.
//!
//! # 4. A follower with a full disk reports partial success
//! openraft ends a replica whose append fails. A follower without disk space drops the entries and
//! answers the rest of the request: [`Core::append_entries`](crate::core::Core::append_entries)
//! turns `Success` into `PartialSuccess` up to the entry *before* those that it dropped, which is
//! all that it acknowledges. If there is no such entry, it answers with an HTTP error, since
//! openraft has no partial success of nothing. A pause of half a heartbeat keeps the leader from
//! repeating the entries in a loop.
//!
//! # 5. A replica that has forgotten what it acknowledged counts as unreachable
//! openraft takes a follower's acknowledgement as permanent. If a follower whose disk rolled back
//! answers `Conflict` for an entry that it had acknowledged, the
//! [`RaftConnection`](super::raft_network::RaftConnection) hides the answer and reports the
//! follower as unreachable. Gate: the follower gives up its id
//! ([`membership::rollback`](crate::membership::rollback)), so the answer can never become true
//! again under the old one.
//!
//! # 6. A restarted leader is no leader
//! The log's vote says "elected", and openraft would remain leader of that term. Gate:
//! [`LogStore::resign`](crate::log::LogStore::resign), before openraft starts, turns the vote into
//! the candidate's vote for itself that it was before the election.
//!
//! # 7. A replica that may be an older copy elects no shorter log
//! Until a leader has confirmed its log, a replica may have forgotten entries that it had
//! acknowledged ([`membership::rollback`](crate::membership::rollback)), and openraft votes and
//! campaigns by the log that it has. Gates: a vote that openraft has granted is not sent, and the
//! [`RaftConnection`](super::raft_network::RaftConnection) sends no request for a vote, while
//! another voter that answers has a longer log than the candidate. To openraft both look like lost
//! messages.
