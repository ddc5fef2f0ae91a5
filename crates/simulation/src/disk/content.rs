//! The content of one file: what readers see, and what is on the platter.

use crate::random::Random;

/// A disk writes a sector completely or not at all.
const SECTOR: usize = 512;

/// A change that may or may not be on the platter.
#[derive(Clone, Debug)]
enum UnsyncedChange {
    Write { at: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<UnsyncedChange>,
}

impl Content {
    pub(super) fn now(&self) -> &[u8] {
        &self.now
    }

    pub(super) fn len(&self) -> u64 {
        self.now.len() as u64
    }

    pub(super) fn write(&mut self, bytes: &[u8], at: u64) {
        let at = usize::try_from(at).expect("a simulated file fits the memory");
        put(&mut self.now, bytes, at);
        self.unsynced.push(UnsyncedChange::Write { at, bytes: bytes.to_vec() });
    }

    pub(super) fn set_len(&mut self, len: u64) {
        let len = usize::try_from(len).expect("a simulated file fits the memory");
        self.now.resize(len, 0);
        self.unsynced.push(UnsyncedChange::Length(len));
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            apply(&mut self.synced, change);
        }
    }

    /// Loses changes in a crash. Returns how many writes were lost, and how many were torn.
    pub(super) fn crash(&mut self, random: &mut Random) -> (usize, usize) {
        let (mut lost, mut torn) = (0, 0);
        // Everything, nothing, or any part of it: a cache writes back in any order.
        let kept_per_mille = *random.pick(&[0, 0, 500, 900, 1000]);
        let newest = self.unsynced.len().saturating_sub(1);
        for (n, mut change) in std::mem::take(&mut self.unsynced).into_iter().enumerate() {
            if random.per_mille(kept_per_mille) {
                if let UnsyncedChange::Write { at, bytes } = &mut change
                    && n == newest
                    && random.per_mille(500)
                {
                    torn += usize::from(tear(*at, bytes, random));
                }
                apply(&mut self.synced, change);
            } else {
                lost += 1;
            }
        }
        self.now.clone_from(&self.synced);
        (lost, torn)
    }
}

/// Cuts a write at a random sector boundary within it; false if there is none.
fn tear(at: usize, bytes: &mut Vec<u8>, random: &mut Random) -> bool {
    let first_edge = SECTOR - at % SECTOR;
    if bytes.len() <= first_edge {
        return false;
    }
    let edges = (bytes.len() - first_edge - 1) / SECTOR + 1;
    bytes.truncate(first_edge + SECTOR * random.below(edges));
    true
}

fn apply(to: &mut Vec<u8>, change: UnsyncedChange) {
    match change {
        UnsyncedChange::Write { at, bytes } => put(to, &bytes, at),
        UnsyncedChange::Length(len) => to.resize(len, 0),
    }
}

fn put(to: &mut Vec<u8>, bytes: &[u8], at: usize) {
    let end = at + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[at..end].copy_from_slice(bytes);
}
