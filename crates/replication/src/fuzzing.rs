//! What must hold for any bytes: nothing panics, and what is taken for a value is that value's own encoding.
//!
//! Driven by the property tests here and by the fuzz targets (`fuzz/`), which build this crate with `--cfg fuzzing`.

use std::fmt::Debug;

use futures::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::identity::Identity;
use crate::{file_store, log, peer_message, record, transfer};

/// A file of the log, and a record of it with `bytes` behind checksums that are right.
pub fn log_record(bytes: &[u8]) {
    log::any_file(bytes);
    log::any_record(bytes);
}

/// A message to a peer, found as `bytes` or with `bytes` behind a checksum that is right.
pub fn message(bytes: &[u8]) {
    for body in [bytes, &sealed(bytes)] {
        if let Ok(request) = peer_message::append(body) {
            let first = request.prev_log_id.map_or(0, |last| last.index + 1);
            assert!((first..).zip(&request.entries).all(|(index, entry)| entry.log_id.index == index));
            let again = peer_message::append(&record::encode(&request).expect("it was decoded")).expect("it was taken");
            assert_eq!(format!("{again:?}"), format!("{request:?}"));
        }
        if let Ok(request) = peer_message::vote(body) {
            let again = peer_message::vote(&record::encode(&request).expect("it was decoded"));
            assert_eq!(again.as_ref(), Ok(&request));
        }
        same_again::<api::NodeId>(body);
        same_again::<crate::peer_routes::PeerStatus>(body);
    }
}

/// The body of a state transfer, received whole from memory.
pub fn state_transfer(bytes: &[u8]) {
    let taken = transfer::take_apart(bytes).now_or_never().expect("nothing is waited for: all bytes are there");
    if let Ok((header, state)) = taken {
        let whole = transfer::put_together(&header, &state);
        let again = transfer::take_apart(&whole[..]).now_or_never().expect("likewise");
        assert_eq!(again.expect("it was taken"), (header, state));
    }
}

/// A state file.
pub fn state_file(bytes: &[u8]) {
    if let Ok((header, body)) = file_store::parse(bytes) {
        assert!(header.len() + body.len() < bytes.len());
    }
}

/// `identity.json`.
pub fn identity(bytes: &[u8]) {
    if let Ok(identity) = serde_json::from_slice::<Identity>(bytes) {
        let text = serde_json::to_vec(&identity).expect("it was decoded");
        assert_eq!(serde_json::from_slice::<Identity>(&text).expect("it was encoded"), identity);
    }
}

fn same_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(value) = record::decode::<T>(bytes) {
        let again = record::decode::<T>(&record::encode(&value).expect("it was decoded"));
        assert_eq!(again.expect("it was encoded"), value);
    }
}

/// `bytes` as a record whose checksum is right, so that what lies behind the checksum is tried, too.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    [&crc32c::crc32c(bytes).to_le_bytes(), bytes].concat()
}

#[cfg(test)]
mod tests;
