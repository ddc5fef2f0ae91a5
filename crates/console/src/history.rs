//! The frames of the last ten minutes, for pages that are opened or come back.
//!
//! Frames that are dropped are folded into a *base*, so that the history always begins with a
//! complete frame. Details of events that are older than a minute are left out: a page shows them
//! as flows.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::frame::{Changes, Frame};

/// How long frames are kept, in ms.
pub(crate) const KEPT_MS: u64 = 600_000;

/// How long the details of events are kept, in ms.
const DETAILS_KEPT_MS: u64 = 60_000;

/// The most bytes of all frames: what a busy store sends in ten minutes. A busier one has a shorter
/// history.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// The newest frames.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Everything there was before the first frame; `None` until a frame was dropped.
    base: Option<Frame>,
    frames: VecDeque<Entry>,
    bytes: usize,
    /// Everything there is after the last frame.
    current: Changes,
}

#[derive(Debug)]
struct Entry {
    n: u64,
    at_ms: u64,
    changes: Changes,
    complete: bool,
    json: Bytes,
    /// The same without details, if it has any.
    short: Option<Bytes>,
}

impl History {
    /// Adds the next frame. Returns it as it is sent.
    pub(crate) fn push(&mut self, frame: &Frame) -> Bytes {
        let json = frame.json();
        let has_details = frame.events.iter().any(|event| !event.notable);
        let short = has_details.then(|| frame.without_details().json());
        self.current.fold(&frame.changes, frame.complete);
        self.bytes += json.len();
        let (n, at_ms, complete, changes) = (frame.n, frame.at_ms, frame.complete, frame.changes.clone());
        self.frames.push_back(Entry { n, at_ms, changes, complete, json: json.clone(), short });
        self.shorten(at_ms);
        self.drop_old(at_ms, BYTES_MAX);
        json
    }

    /// Everything there is now.
    pub(crate) fn current(&self) -> &Changes {
        &self.current
    }

    /// All frames that are kept. The first one is complete.
    pub(crate) fn all(&self) -> Vec<Bytes> {
        self.base.iter().map(Frame::json).chain(self.frames.iter().map(|entry| entry.json.clone())).collect()
    }

    /// What a page needs that has the frames up to number `after`: the frames after it, if all of
    /// them are kept; otherwise one complete frame. Each with its number.
    pub(crate) fn since(&self, after: Option<u64>) -> Vec<(u64, Bytes)> {
        let Some(newest) = self.frames.back() else { return Vec::new() };
        let first = self.frames.front().map_or(u64::MAX, |entry| entry.n);
        if let Some(after) =
            after.filter(|after| after.checked_add(1).is_some_and(|n| n >= first) && *after <= newest.n)
        {
            let later = self.frames.iter().filter(|entry| entry.n > after);
            return later.map(|entry| (entry.n, entry.json.clone())).collect();
        }
        let complete = Frame { n: newest.n, at_ms: newest.at_ms, ..complete(self.current.clone()) };
        vec![(newest.n, complete.json())]
    }

    fn shorten(&mut self, now_ms: u64) {
        // Times may go back with the clock; then frames are shortened later.
        for entry in self.frames.iter_mut().take_while(|entry| entry.at_ms + DETAILS_KEPT_MS < now_ms) {
            if let Some(short) = entry.short.take() {
                self.bytes = self.bytes + short.len() - entry.json.len();
                entry.json = short;
            }
        }
    }

    fn drop_old(&mut self, now_ms: u64, bytes_max: usize) {
        while self.frames.len() > 1
            && let Some(old) = self.frames.pop_front_if(|old| old.at_ms + KEPT_MS < now_ms || self.bytes > bytes_max)
        {
            self.bytes -= old.json.len();
            let base = self.base.get_or_insert_with(|| complete(Changes::default()));
            (base.n, base.at_ms) = (old.n, old.at_ms);
            base.changes.fold(&old.changes, old.complete);
        }
    }
}

fn complete(changes: Changes) -> Frame {
    Frame { n: 0, at_ms: 0, complete: true, changes, flows: Vec::new(), events: Vec::new(), dropped: 0 }
}

#[cfg(test)]
mod tests;
