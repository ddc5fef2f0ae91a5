//! Properties that hold for any bytes: nothing panics, and what is read as a value is that value's
//! own encoding.
//!
//! Driven by the property tests here and by the fuzz targets (`fuzz/`), which build this crate with
//! `--cfg fuzzing`.

use std::fmt::Debug;

use futures::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::membership::identity::Identity;
use crate::peer::{state_transfer, validation};
use crate::{codec, file_store, log};

/// A file of the log, and a frame with `bytes` after correct checksums.
pub fn log_record(bytes: &[u8]) {
    log::fuzzing::any_file(bytes);
    log::fuzzing::any_record(bytes);
}

/// A message to a peer: `bytes` as they are, and `bytes` after a correct checksum.
pub fn message(bytes: &[u8]) {
    for body in [bytes, &sealed(bytes)] {
        if let Ok(request) = validation::append(body) {
            let first = request.prev_log_id.map_or(0, |last| last.index + 1);
            assert!((first..).zip(&request.entries).all(|(index, entry)| entry.log_id.index == index));
            let again = validation::append(&codec::encode(&request).expect("it was decoded")).expect("it was taken");
            assert_eq!(format!("{again:?}"), format!("{request:?}"));
        }
        if let Ok(request) = validation::vote(body) {
            let again = validation::vote(&codec::encode(&request).expect("it was decoded"));
            assert_eq!(again.as_ref(), Ok(&request));
        }
        encode_again::<api::NodeId>(body);
        encode_again::<crate::peer::messages::PeerStatus>(body);
    }
}

/// The body of a state transfer, read from memory.
pub fn state_transfer(bytes: &[u8]) {
    let taken = state_transfer::take_apart(bytes).now_or_never().expect("all bytes are there, so nothing has to wait");
    if let Ok((header, state)) = taken {
        let whole = state_transfer::put_together(&header, &state);
        let again = state_transfer::take_apart(&whole[..]).now_or_never().expect("likewise");
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

fn encode_again<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(value) = codec::decode::<T>(bytes) {
        let again = codec::decode::<T>(&codec::encode(&value).expect("it was decoded"));
        assert_eq!(again.expect("it was encoded"), value);
    }
}

/// `bytes` after a correct checksum, so that the decoder is tried, too.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    [&crc32c::crc32c(bytes).to_le_bytes(), bytes].concat()
}

#[cfg(test)]
mod tests;
