//! How a value travels to a peer: CRC32C of what follows (4 bytes, little-endian), then its
//! postcard encoding.
//!
//! Postcard tells nothing of a type, so nearly any short garbage is some message; the checksum is what keeps it out. (TCP's own
//! checksum lets one damaged segment in 65,536 through.)

use serde::Serialize;
use serde::de::DeserializeOwned;

const CRC_BYTES: usize = 4;

/// The record of `value`.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, String> {
    let record = vec![0; CRC_BYTES];
    let mut record = postcard::to_extend(value, record).map_err(|error| format!("cannot be encoded: {error}"))?;
    let crc = crc32c::crc32c(&record[CRC_BYTES..]);
    record[..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
    Ok(record)
}

/// The value of `record`, or what is wrong with it.
pub(crate) fn decode<T: DeserializeOwned>(record: &[u8]) -> Result<T, String> {
    let Some((stored, body)) = record.split_first_chunk::<CRC_BYTES>() else {
        return Err(format!("{} bytes are too few for a record", record.len()));
    };
    let (stored, actual) = (u32::from_le_bytes(*stored), crc32c::crc32c(body));
    if stored != actual {
        return Err(format!("its checksum is {actual:08x}, but {stored:08x} was written"));
    }
    decode_body(body)
}

/// The value whose encoding is all of `body`.
pub(crate) fn decode_body<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(format!("{} bytes follow its end", rest.len())),
        Err(error) => Err(format!("it cannot be decoded: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back() {
        let record = encode(&(7_u64, "tux")).unwrap();
        assert_eq!(decode::<(u64, String)>(&record), Ok((7, "tux".to_owned())));
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let record = encode(&(7_u64, "tux")).unwrap();
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<(u64, String)>(&damaged).is_err(), "bit {bit}");
        }
        for length in 0..record.len() {
            assert!(decode::<(u64, String)>(&record[..length]).is_err(), "cut to {length}");
        }
    }
}
